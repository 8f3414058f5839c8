"""Stages from the shards of a pool to prepared, distinct rows in parts.

They repeat `al_tf.inputs.preparation.working_copy` and `duplicate_rows` piece
by piece. The center is a sum of `group_sums`, added in the order of the rows;
the scale comes from a maximum; everything else happens row by row.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from al_tf.clustering.average_linkage import duplicate_rows
from al_tf.distributed.stages.parts import find
from al_tf.inputs.columns import open_columns
from al_tf.inputs.embeddings import (
    open_embeddings,
    open_npy,
    read_vectors,
    vector_column,
)
from al_tf.inputs.ids import ExampleIds, sorted_rows
from al_tf.inputs.pool_files import open_files
from al_tf.inputs.preparation import block_checksum, group_sums, normalized
from al_tf.neighbors import row_kernels
from runkit import InputError

# Rows of the pool, and what is in them.
PlacedRows = tuple[np.ndarray, np.ndarray]


class Shard(NamedTuple):
    """A file of a pool, or an array, and where its rows belong.

    Attributes:
        source: path of a table or an `.npy` file, or `[m, d]` floating point.
        name: for messages.
        places: `[m]` int64 row of the pool for each row of the shard.
        column: of the vectors in a table; None: the usual one.
    """

    source: Any
    name: str
    places: np.ndarray
    column: str | None = None

    def rows(self) -> np.ndarray:
        """Reads the shard."""
        if isinstance(self.source, np.ndarray):
            return self.source
        if str(self.source).endswith(".npy"):
            return open_embeddings(self.source).parts[0]
        file = open_columns(self.source)
        column = vector_column(file, self.column)
        return read_vectors([(file, column, file.count(column))])


def shards_of(
    source: str | os.PathLike,
    id_column: str | None = None,
    embedding_column: str | None = None,
    where: str = "--embeddings",
) -> tuple[list[Shard], ExampleIds | None]:
    """Finds the shards of a pool and reads their ids, not their vectors.

    Args:
        source: a file, a folder of shards, or a pattern.
        id_column: see `pool_files.open_files`.
        embedding_column: None: `embedding`, or the only column of lists.
        where: flag, for messages.

    Returns:
        (shards, ids of the pool by row): with ids, the rows are in the order
        of the ids; without, in that of the files.

    Raises:
        InputError: bad files, or ids that occur twice.
    """
    files = open_files(source, where, id_column)
    columns = [
        None if table is None else vector_column(table, embedding_column)
        for table in files.tables
    ]
    if files.ids is None:
        counts = [
            len(open_npy(path)) if table is None else table.count(str(column))
            for path, table, column in zip(
                files.paths, files.tables, columns, strict=True
            )
        ]
        places, ids = np.arange(sum(counts)), None
    else:
        ids, counts = files.ids.settled(), list(files.counts)
        places = sorted_rows(ids, where)
        order = np.empty(len(ids), np.int64)
        order[places] = np.arange(len(ids))
        ids = ids.take(order)
    shards = [
        Shard(str(path.absolute()), str(path), own, column)
        for path, own, column in zip(
            files.paths,
            np.split(places, np.cumsum(counts)[:-1]),
            columns,
            strict=True,
        )
    ]
    return shards, ids


class Described(NamedTuple):
    """What a shard holds.

    Attributes:
        dtype: name of the floating type.
        shape: of its rows.
    """

    dtype: str
    shape: tuple[int, int]


def described(shard: Shard, rows: np.ndarray | None = None) -> Described:
    """Looks at a shard, or at its rows if they have been read.

    Raises:
        InputError: it cannot be read, or has not as many rows as ids.
    """
    if rows is None:
        rows = shard.rows()
    if len(rows) != len(shard.places):
        raise InputError(
            "not as many rows as ids",
            where=shard.name,
            got=len(rows),
            expected=str(len(shard.places)),
        )
    return Described(rows.dtype.name, (len(rows), rows.shape[1]))


def check_shards(found: Sequence[Described], names: Sequence[str]) -> None:
    """Refuses shards that do not belong together.

    Raises:
        InputError: other dimensions or types than the first; it is named.
    """
    for what, values in (
        ("dimension", [shard.shape[1] for shard in found]),
        ("type", [shard.dtype for shard in found]),
    ):
        for name, value in zip(names, values, strict=True):
            if value != values[0]:
                raise InputError(
                    f"shards of different {what}",
                    where=name,
                    got=value,
                    expected=f"{values[0]}, as in {names[0]}",
                )


def scattered(shard: Shard, edges: np.ndarray, pieces: int) -> tuple[Any, ...]:
    """The rows of a shard for each part of the pool.

    Args:
        shard: to read.
        edges: `[parts + 1]` rows at which the parts begin.
        pieces: into which the shard's rows are cut, so that none is large.

    Returns:
        What the shard holds; then for each part `pieces` times (places, rows
        as float32 or float64).

    Raises:
        InputError: it cannot be read, or has not as many rows as ids.
    """
    rows = shard.rows()
    about = described(shard, rows)
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float32)
    owner = np.searchsorted(edges, shard.places, "right") - 1
    sent: list[tuple] = [about]
    for part in range(len(edges) - 1):
        for piece in np.array_split(np.flatnonzero(owner == part), pieces):
            sent.append((shard.places[piece], np.asarray(rows[piece])))
    return tuple(sent)


def gathered(start: int, stop: int, *pieces: PlacedRows) -> np.ndarray:
    """The rows `start` to `stop` of the pool, in their order."""
    places = np.concatenate([places for places, _ in pieces])
    rows = np.concatenate([rows for _, rows in pieces])
    out = np.empty((stop - start, rows.shape[1]), rows.dtype)
    out[places - start] = rows
    return out


def checksummed(rows: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Continues the pool's checksum, `[1]` int64."""
    return np.array([block_checksum(rows, int(before[0]))])


def summed(rows: np.ndarray, start: int, metric: str) -> np.ndarray:
    """`group_sums` of the normalized rows; `start` names bad ones."""
    return group_sums(normalized(rows, start, metric))


def taken(rows: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Some rows as float32."""
    with np.errstate(over="ignore"):  # Refused later, if it matters.
        return rows[which].astype(np.float32)


def longest(
    rows: np.ndarray, start: int, metric: str, center: np.ndarray
) -> np.ndarray:
    """`[1]` largest squared norm of the centered rows."""
    centered = normalized(rows, start, metric) - center
    square = np.einsum("nd,nd->n", centered, centered)
    return np.array([square.max(initial=0.0)])


def prepared(
    rows: np.ndarray,
    start: int,
    metric: str,
    center: np.ndarray,
    exponent: int,
) -> np.ndarray:
    """The rows of the working copy, `[m, d]` float64."""
    centered = normalized(rows, start, metric) - center
    return centered * 2.0**-exponent


class Copies(NamedTuple):
    """Rows that are identical to earlier ones.

    Attributes:
        copies: `[m]` int64 rows of the pool.
        originals: `[m]` int64 for each, the first row of its kind.
    """

    copies: np.ndarray
    originals: np.ndarray


def own_copies(
    rows: np.ndarray, start: int, num_buckets: int
) -> tuple[Any, ...]:
    """Copies within a part, and what other parts have to know of the rest.

    Returns:
        (`Copies` within the part; then for each of the buckets, which share
        the hashes, (hashes, rows of the pool) of the part's distinct rows).
    """
    distinct, copies, originals = duplicate_rows(rows)
    hashes = row_kernels.hash_rows(rows[distinct].view(np.uint64))
    bucket = (hashes % np.uint64(num_buckets)).astype(np.int64)
    sent = [
        (hashes[bucket == b], distinct[bucket == b] + start)
        for b in range(num_buckets)
    ]
    return (Copies(copies + start, originals + start), *sent)


def suspects(*sent: tuple[np.ndarray, np.ndarray]) -> Copies:
    """Rows of a bucket that share the hash of an earlier part's row."""
    hashes, rows = map(np.concatenate, zip(*sent, strict=True))
    order = np.lexsort((rows, hashes))
    first = np.ones(len(hashes), bool)
    first[1:] = hashes[order[1:]] != hashes[order[:-1]]
    at = np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))
    later = np.flatnonzero(~first)
    return Copies(rows[order[later]], rows[order[at[later]]])


def wanted_rows(rows: np.ndarray, start: int, which: np.ndarray) -> PlacedRows:
    """Rows of the pool that a part has, among `which`: (places, rows)."""
    own = which[(which >= start) & (which < start + len(rows))]
    return own, rows[own - start]


def confirmed(
    rows: np.ndarray,
    start: int,
    suspected: Copies,
    *originals: PlacedRows,
) -> np.ndarray:
    """Whether the suspected copies of a part equal their originals.

    Args:
        rows: of the part.
        start: row of the pool of the first.
        suspected: copies that the part has.
        originals: (places, rows) from all parts.
    """
    places, values = map(np.concatenate, zip(*originals, strict=True))
    order = np.argsort(places)
    at = order[find(places[order], suspected.originals)]
    return (rows[suspected.copies - start] == values[at]).all(1)
