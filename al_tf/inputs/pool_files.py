"""Files of one pool, joined by their ids.

Embeddings, margins and labels may be in different files, in any order.
Where they carry an `id` column, the pool's rows are in the order of the ids and
everything else is placed by id; where none has ids, the place of a row is its
identity. A mixture of both is refused: nobody could check it.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from al_tf.inputs.column_values import numbers, vectors
from al_tf.inputs.columns import ColumnFile, open_columns
from al_tf.inputs.embeddings import (
    Embeddings,
    open_embeddings,
    open_npy,
    read_vectors,
    vector_column,
)
from al_tf.inputs.ids import (
    ExampleIds,
    ids_in_blocks,
    joined,
    naming,
    positions,
    sorted_rows,
)
from al_tf.inputs.shards import find_shards, in_order
from runkit import InputError
from runkit.datasets.inputs import plain_suffix

USUAL_IDS = ("id", "ids")
_BY_POSITION = "Give both files ids, or join them by position: --id_column="
_FLAG = "--id_column"


@dataclasses.dataclass(frozen=True)
class PoolFiles:
    """Files of a kind, such as the shards of the embeddings.

    Attributes:
        where: flag that named them.
        paths: in the order of their names.
        tables: the same, opened; None for `.npy`, which has no columns.
        ids: of all rows in the order of the files; None without an id column.
        counts: number of ids in each file; empty without ids.
    """

    where: str
    paths: list[pathlib.Path]
    tables: list[ColumnFile | None]
    ids: ExampleIds | None
    counts: Sequence[int] = ()

    def column(self, number: int, name: str) -> Iterator[Any]:
        """Yields blocks of a column of a table, one row for each of its ids."""
        table = self.tables[number]
        assert table is not None
        count = self.counts[number] if self.counts else table.count(name)
        return table.column(name, count)


def open_files(
    source: str | os.PathLike, where: str, id_column: str | None
) -> PoolFiles:
    """Finds the files of a flag and reads their ids.

    Args:
        source: a file, a folder of shards, or a pattern.
        where: the flag, for messages.
        id_column: the column that all of them must have; None: `id`, if the
            first file has it; "": none, rows are known by their places.

    Raises:
        InputError: nothing is there, a file without the column that others
            have, or ids that cannot be used.
    """
    paths = find_shards(source)
    tables = [
        None if plain_suffix(path) == ".npy" else open_columns(path)
        for path in paths
    ]
    if id_column == "":
        return PoolFiles(where, in_order(paths, source), tables, None)
    if id_column and None in tables:
        raise InputError(
            "has no columns",
            where=f"{where}: {paths[tables.index(None)]}",
            expected=f"a column {id_column} of ids, as {_FLAG} says",
            remedy="Write Parquet, .npz, csv or JSON Lines",
        )
    named = [
        None if table is None else table.find(id_column, USUAL_IDS, _FLAG)
        for table in tables
    ]
    if any(name is not None for name in named) and None in named:
        lacking = paths[named.index(None)]
        raise InputError(
            "has no ids, but other files have",
            where=f"{where}: {lacking}",
            expected="an id column in all files or in none",
        )
    parts = [
        (str(table.path), _file_ids(table, name), table.is_typed)
        for table, name in zip(tables, named, strict=True)
        if table is not None and name is not None
    ]
    if not parts:
        return PoolFiles(where, in_order(paths, source), tables, None)
    counts = [len(ids) for _, ids, _ in parts]
    return PoolFiles(where, paths, tables, joined(parts), counts)


def read_pool(
    source: str | os.PathLike,
    *,
    id_column: str | None = None,
    embedding_column: str | None = None,
    where: str = "--embeddings",
) -> Embeddings:
    """Opens the embeddings of a pool; with ids, in the order of the ids.

    With ids the files are read twice: their ids, then their vectors, each
    straight into its row of one array.

    Args:
        source: a file, a folder of shards, or a pattern.
        id_column: see `open_files`.
        embedding_column: None: `embedding`, or the only column of lists.
        where: flag, for messages.

    Raises:
        InputError: bad files, ids that occur twice, or rows of different
            length.
    """
    files = open_files(source, where, id_column)
    if files.ids is None:
        listed: list[Any] = list(files.paths)
        return open_embeddings(listed, embedding_column)
    ids = files.ids.settled()
    places = sorted_rows(ids, where)
    columns = [
        (table, vector_column(table, embedding_column), count)
        for table, count in zip(files.tables, files.counts, strict=True)
        if table is not None
    ]
    rows = read_vectors(columns, places)
    order = np.empty(len(ids), np.int64)
    order[places] = np.arange(len(ids))
    return Embeddings((rows,), (where,), ids.take(order))


def places_of(
    files: PoolFiles, pool: ExampleIds | None, *, is_complete: bool = True
) -> np.ndarray | None:
    """Returns the pool's row of each row of other files.

    Args:
        files: of the pool's margins, labels and the like.
        pool: ids of the pool by row, if it has any.
        is_complete: every example of the pool has to be there.

    Returns:
        `[rows]` int64; None where neither has ids.

    Raises:
        InputError: only one of them has ids; duplicates, strangers, or
            missing ids.
    """
    if files.ids is None and pool is None:
        return None
    if files.ids is None or pool is None:
        has, lacks = files.where, "--embeddings"
        if files.ids is None:
            has, lacks = lacks, has
        raise InputError(
            f"no ids here, but in {has}",
            where=lacks,
            expected="a column `id` in both",
            remedy=_BY_POSITION,
        )
    return positions(pool, files.ids, files.where, is_complete=is_complete)


def read_numbers(
    files: PoolFiles, column: str | None, usual: Sequence[str], flag: str
) -> np.ndarray:
    """Reads a column of numbers, `[rows]` in the order of the files.

    Args:
        files: tables, or `.npy` files of one axis.
        column: name of the column; None: one of `usual`.
        usual: names that are looked for.
        flag: the flag of the name, for messages.

    Raises:
        InputError: no such column, or other things than numbers in it.
    """
    parts = []
    for number, path in enumerate(files.paths):
        table = files.tables[number]
        if table is None:
            parts.append(np.asarray(open_npy(path, where=files.where)))
            continue
        name = _column(table, column, usual, flag)
        where = f"{path}: column {name}"
        parts += [numbers(b, where) for b in files.column(number, name)]
    return np.concatenate(parts) if len(parts) != 1 else parts[0]


def vector_blocks(
    files: PoolFiles, column: str | None, usual: Sequence[str], flag: str
) -> Iterator[np.ndarray]:
    """Yields blocks `[rows, d]` of a column of vectors; see `read_numbers`."""
    for number, path in enumerate(files.paths):
        table = files.tables[number]
        if table is None:
            yield from (b for _, b in open_embeddings(path).blocks())
            continue
        name = _column(table, column, usual, flag)
        for block in files.column(number, name):
            yield vectors(block, f"{path}: column {name}")


def _column(
    table: ColumnFile, asked: str | None, usual: Sequence[str], flag: str
) -> str:
    name = table.find(asked, usual, flag)
    # Without a usual name, the error names the columns that are there.
    return name or str(table.find(usual[0], (), flag))


def _file_ids(table: ColumnFile, name: str) -> Any:
    import pyarrow as pa

    where = f"{table.path}: column {name}"
    parts = ids_in_blocks((block for (block,) in table.blocks(name)), where)
    if not parts:
        raise InputError("holds no rows", where=str(table.path))
    if len({part.type for part in parts}) > 1:
        raise InputError("holds texts and whole numbers", where=where)
    return pa.concat_arrays(parts)


__all__ = [
    "PoolFiles",
    "naming",
    "open_files",
    "places_of",
    "read_numbers",
    "read_pool",
    "vector_blocks",
]
