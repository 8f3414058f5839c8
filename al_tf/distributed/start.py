"""From shards to distinct, prepared rows in parts: the driver's side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from al_tf.distributed import engine as engines
from al_tf.distributed.engine import Engine, Handle
from al_tf.distributed.fleet import take_positions, tile_edges
from al_tf.distributed.stages import preparation as stages
from al_tf.distributed.stages.preparation import Copies, Shard
from al_tf.inputs.preparation import (
    SUMMED_ROWS,
    needs_sample,
    outlier_proof,
    sample_rows,
    unit_exponent,
)
from runkit import InputError

# Pairs of clusters with their linkage, hashes with rows, and the like.
_TOLD_BYTES = 24


class RawPool(NamedTuple):
    """A pool as it was read.

    Attributes:
        parts: handles of `[m, d]` float32 or float64 rows.
        edges: `[parts + 1]` rows at which they begin, and the end.
        dimension: d.
        checksum: that of `al_tf.inputs.preparation.checksum`.
    """

    parts: list[Handle]
    edges: list[int]
    dimension: int
    checksum: int


class PreparedPool(NamedTuple):
    """Rows of a working copy.

    Attributes:
        parts: handles of `[m, d]` float64 rows.
        unit: distance that 1.0 between two rows stands for.
        copies: rows identical to earlier ones.
    """

    parts: list[Handle]
    unit: float
    copies: Copies


def read_pool(
    engine: Engine,
    shards: Sequence[Shard],
    num_parts: int,
    part_bytes: int,
    row_overhead: int,
) -> RawPool:
    """Reads shards into parts of whole tiles, in the order of the rows.

    Args:
        engine: the engine that reads.
        shards: the shards whose places are 0 to n - 1, each once.
        num_parts: parts to make; fewer where there are not enough tiles.
        part_bytes: the most memory that the work on a part may take.
        row_overhead: bytes of a row beside its vector.

    Raises:
        InputError: shards that cannot be read or do not fit each other, or
            parts that do not fit.
    """
    num_rows = sum(len(shard.places) for shard in shards)
    if not num_rows:
        raise InputError("an empty pool has no clusters", where="embeddings")
    if num_rows >= 2**31:
        raise InputError(
            "too many rows", where="embeddings", got=num_rows, expected="< 2^31"
        )
    first = engine.get([engine.call("read", stages.described, shards[0])])[0]
    dimension = first.shape[1]
    edges = tile_edges(num_rows, num_parts)
    rows = int(np.diff(edges).max())
    # Rows, their working copy, and what a stage makes of it.
    needed = rows * (3 * 8 * dimension + row_overhead)
    allowed = min(part_bytes, engine.worker_bytes())
    if needed > allowed:
        raise InputError(
            "the parts do not fit into the memory of a worker",
            where="num_parts",
            got=f"{needed:,} bytes for each of {len(edges) - 1} parts",
            expected=f"at most {allowed:,}, what is allowed and what the "
            "poorest worker has",
            remedy="Make more parts, or allow more memory for each",
        )
    # What is told of every row of a part: in one message, while rows
    # themselves travel in pieces.
    told = max(_TOLD_BYTES, 8 * dimension // SUMMED_ROWS + 1)
    if rows * told > engines.MAX_MESSAGE_BYTES:
        raise InputError(
            "the parts are too large",
            where="num_parts",
            got=f"{rows:,} rows in each of {len(edges) - 1} parts",
            expected=f"at most {engines.MAX_MESSAGE_BYTES // told:,}",
            remedy="Make more parts",
        )
    row_bytes = 8 * dimension + 8
    # Those that are cut into equally many pieces are read at the same time.
    items = [
        (shard, 1 + len(shard.places) * row_bytes // engines.MAX_MESSAGE_BYTES)
        for shard in shards
    ]
    pieces: list[list[Handle]] = [[] for _ in edges[:-1]]
    seen: list[tuple[str, Handle]] = []
    for cuts in sorted({c for _, c in items}):
        alike = [shard for shard, c in items if c == cuts]
        made = engine.map(
            "read",
            stages.scattered,
            [(shard, np.array(edges), cuts) for shard in alike],
            returns=1 + cuts * len(pieces),
        )
        for shard, (about, *sent) in zip(alike, made, strict=True):
            seen.append((shard.name, about))
            for part, own in enumerate(pieces):
                own += sent[part * cuts : (part + 1) * cuts]
    stages.check_shards(
        [first, *engine.get([about for _, about in seen])],
        [shards[0].name, *(name for name, _ in seen)],
    )
    parts = engine.map(
        "read",
        stages.gathered,
        [
            (a, b, *own)
            for a, b, own in zip(edges[:-1], edges[1:], pieces, strict=True)
        ],
        keeps=1,
    )
    crc = engine.put(np.array([0]))
    for part in parts:
        crc = engine.call("read", stages.checksummed, part, crc)
    checksum = int(engine.get([crc])[0][0])
    return RawPool(parts, edges, dimension, checksum)


def prepare(engine: Engine, pool: RawPool, metric: str) -> PreparedPool:
    """Centers and scales all rows, and finds identical ones.

    Raises:
        InputError: rows that the metric cannot take; they are named.
    """
    n, starts = pool.edges[-1], pool.edges[:-1]
    located = list(zip(pool.parts, starts, strict=True))
    sums = engine.map(
        "prepare", stages.summed, [(x, a, metric) for x, a in located]
    )
    center = np.zeros(pool.dimension)
    for groups in engine.get(sums):
        for total in groups:
            center += total
    center /= max(n, 1)
    if needs_sample(n, metric):
        where = take_positions(np.diff(pool.edges).tolist(), sample_rows(n))
        taken = engine.map(
            "prepare", stages.taken, list(zip(pool.parts, where, strict=True))
        )
        center = outlier_proof(center, np.concatenate(engine.get(taken)))
    longest = engine.map(
        "prepare", stages.longest, [(x, a, metric, center) for x, a in located]
    )
    exponent = unit_exponent(max(float(s[0]) for s in engine.get(longest)))
    rows = engine.map(
        "prepare",
        stages.prepared,
        [(x, a, metric, center, exponent) for x, a in located],
        keeps=1,
    )
    return PreparedPool(rows, 4.0**exponent, _copies(engine, pool, rows))


def _copies(engine: Engine, pool: RawPool, rows: list[Handle]) -> Copies:
    """Finds identical rows: in each part, then among those of equal hash."""
    count = len(rows)
    located = list(zip(rows, pool.edges[:-1], strict=True))
    made = engine.map(
        "copies",
        stages.own_copies,
        [(x, a, count) for x, a in located],
        returns=1 + count,
        keeps=1,
    )
    own = engine.get([m[0] for m in made])
    sent = zip(*(m[1:] for m in made), strict=True)
    found = engine.get(engine.map("copies", stages.suspects, list(sent)))
    suspected = Copies(*map(np.concatenate, zip(*found, strict=True)))
    size = max(1, engines.MAX_MESSAGE_BYTES // (8 * pool.dimension + 16))
    same = []
    for start in range(0, len(suspected.copies), size):
        cut = Copies(*(a[start : start + size] for a in suspected))
        originals = engine.map(
            "copies",
            stages.wanted_rows,
            [(x, a, np.unique(cut.originals)) for x, a in located],
        )
        owner = np.searchsorted(pool.edges, cut.copies, "right") - 1
        answers = engine.map(
            "copies",
            stages.confirmed,
            [
                (x, a, Copies(*(c[owner == p] for c in cut)), *originals)
                for p, (x, a) in enumerate(located)
            ],
        )
        equal = np.empty(len(cut.copies), bool)
        for p, answer in enumerate(engine.get(answers)):
            equal[owner == p] = answer
        same.append(equal)
    if same:
        is_same = np.concatenate(same)
        suspected = Copies(*(a[is_same] for a in suspected))
    # The original of a part's copy may be a copy itself.
    first = np.arange(pool.edges[-1])
    first[suspected.copies] = suspected.originals
    copies = Copies(*map(np.concatenate, zip(*own, suspected, strict=True)))
    return Copies(copies.copies, first[copies.originals])
