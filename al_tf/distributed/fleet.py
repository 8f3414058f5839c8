"""The parts of a pool, and what is done with all of them at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from al_tf.distributed import engine as engines
from al_tf.distributed.engine import Engine, Handle
from al_tf.distributed.stages import parts as stages
from al_tf.distributed.stages import search
from al_tf.neighbors import exact_index, tiles
from al_tf.neighbors.row_order import spread_sample

# Rows that a driver looks at to choose a contraction.
_SAMPLED_ROWS = 4096


@dataclasses.dataclass
class Fleet:
    """The parts of a pool.

    Attributes:
        parts: handles of `Part`, in the order of their origins.
        starts: `[parts + 1]` int64, see `parts`.
        counts: rows of each part.
        dimension: d.
        width: length of the lists, 2 k.
    """

    parts: list[Handle]
    starts: np.ndarray
    counts: list[int]
    dimension: int
    width: int

    @property
    def num_rows(self) -> int:
        """Rows of all parts."""
        return sum(self.counts)

    def message_rows(self, row_bytes: int) -> int:
        """Rows of so many bytes that one message may have."""
        return max(1, engines.MAX_MESSAGE_BYTES // row_bytes)

    def tile_aligned(self, row_bytes: int) -> int:
        """The same in whole tiles; at least one."""
        size = tiles.TILE_ROWS
        return max(size, self.message_rows(row_bytes) // size * size)


def is_large(num_queries: int, fleet: Fleet) -> bool:
    """Whether a search is worth a contraction; see `ExactIndex`."""
    work = num_queries * fleet.num_rows * fleet.dimension
    enough = num_queries >= exact_index.MANY_QUERIES
    return enough and work >= exact_index.MUCH_WORK


def blocks(
    counts: Sequence[int], size: int
) -> Iterator[list[tuple[int, slice]]]:
    """Cuts rows that lie in parts one after the other into blocks.

    Args:
        counts: rows in each part.
        size: rows of a block.

    Yields:
        For each block (part, rows of that part's), without empty ones.
    """
    edges = np.concatenate([[0], np.cumsum(counts)]).tolist()
    for start in range(0, edges[-1], size):
        stop = start + size
        yield [
            (part, slice(max(start - a, 0), min(stop, b) - a))
            for part, (a, b) in enumerate(
                zip(edges[:-1], edges[1:], strict=True)
            )
            if max(start, a) < min(stop, b)
        ]


def take_positions(
    counts: Sequence[int], positions: np.ndarray
) -> list[np.ndarray]:
    """Splits ascending positions of all rows into those of each part."""
    edges = np.concatenate([[0], np.cumsum(counts)])
    cuts = np.searchsorted(positions, edges)
    return [
        positions[a:b] - edge
        for a, b, edge in zip(cuts[:-1], cuts[1:], edges, strict=False)
    ]


def choose_axes(
    engine: Engine,
    fleet: Fleet,
    asked: list[Handle],
    counts: Sequence[int],
    first: int,
    k: int,
    threshold: float,
    largest: float,
) -> search.Axes | None:
    """Chooses by what to rule out, from the samples of `ExactIndex`.

    Args:
        engine: where the parts are.
        fleet: the parts.
        asked: rows of each part that are asked for.
        counts: number of these.
        first: so many of them are the first search.
        k: length of its lists.
        threshold: see `search.search_part`.
        largest: see `search.search_part`.
    """
    which = spread_sample(np.arange(first), exact_index.SAMPLE_QUERIES)
    pieces = engine.map(
        "contraction",
        search.sampled_queries,
        [
            (part, rows, at)
            for part, rows, at in zip(
                fleet.parts, asked, take_positions(counts, which), strict=True
            )
        ],
    )
    lists = engine.map(
        "contraction",
        search.search_part,
        [(part, k, threshold, largest, None, *pieces) for part in fleet.parts],
        returns=len(pieces),
    )
    every = np.arange(fleet.num_rows)
    sampled = engine.map(
        "contraction",
        search.sampled,
        list(
            zip(
                fleet.parts,
                take_positions(
                    fleet.counts, spread_sample(every, _SAMPLED_ROWS)
                ),
                strict=True,
            )
        ),
        returns=2,
    )
    positions = engine.map(
        "contraction",
        search.positions_of,
        [
            (part, start, *pieces)
            for part, start in zip(
                fleet.parts,
                np.cumsum([0, *fleet.counts[:-1]]).tolist(),
                strict=True,
            )
        ],
    )
    found = [
        search.merged(*(engine.get(row))) for row in zip(*lists, strict=True)
    ]
    rows, bias = (
        np.concatenate(engine.get(column))
        for column in zip(*sampled, strict=True)
    )
    queries = search.Queries(
        *map(np.concatenate, zip(*engine.get(pieces), strict=True))
    )
    return search.chosen_axes(
        queries,
        np.concatenate([f.values[:, -1] for f in found]),
        fleet.num_rows,
        rows,
        bias,
        np.max(engine.get(positions), axis=0),
    )


def ask_owners(
    engine: Engine,
    fleet: Fleet,
    stage: str,
    ask: Callable[..., Any],
    questions: Sequence[Sequence[Any]],
    answer: Callable[..., Any],
) -> list[tuple[Handle, ...]]:
    """Lets some parts ask the owners of clusters.

    Args:
        engine: where the parts are.
        fleet: the parts.
        stage: name for costs.
        ask: `ask(*question)` returns a request for each part.
        questions: one of each part that asks.
        answer: `answer(part, *requests)` returns an answer for each request.

    Returns:
        For each question the answers of all parts.
    """
    requests = engine.map(stage, ask, questions, returns=len(fleet.parts))
    answers = engine.map(
        stage,
        answer,
        [
            (part, *asked)
            for part, asked in zip(
                fleet.parts, zip(*requests, strict=True), strict=True
            )
        ],
        returns=len(questions),
    )
    return list(zip(*answers, strict=True))


def renew(
    engine: Engine,
    fleet: Fleet,
    pending: dict[int, Handle],
    counts: dict[int, int],
) -> None:
    """Renews lists, so many at a time that no message is too large.

    Args:
        engine: where the parts are.
        fleet: the parts; changed.
        pending: `Pending` of parts.
        counts: rows of each of these.
    """
    longest = 2 * fleet.width + 1
    size = fleet.message_rows(longest * (8 * fleet.dimension + 16))
    updates: dict[int, list[Handle]] = {p: [] for p in pending}
    for start in range(0, max(counts.values(), default=0), size):
        having = [p for p in pending if counts[p] > start]
        cut = slice(start, start + size)
        answers = ask_owners(
            engine,
            fleet,
            "lists",
            stages.needed,
            [(fleet.parts[p], pending[p], cut, fleet.starts) for p in having],
            stages.moments,
        )
        made = engine.map(
            "lists",
            stages.renewed,
            [
                (fleet.parts[p], pending[p], cut, *got)
                for p, got in zip(having, answers, strict=True)
            ],
            keeps=1,
        )
        for p, update in zip(having, made, strict=True):
            updates[p].append(update)
    changed = [p for p, made in updates.items() if made]
    after = engine.map(
        "lists",
        stages.with_renewed,
        [(fleet.parts[p], *updates[p]) for p in changed],
        keeps=1,
    )
    for p, part in zip(changed, after, strict=True):
        fleet.parts[p] = part


def tile_edges(num_rows: int, num_parts: int) -> list[int]:
    """Rows at which equal parts of whole tiles begin, and the end."""
    count = len(tiles.tiles_of(num_rows))
    num_parts = max(1, min(num_parts, count))
    cuts = [count * p // num_parts for p in range(num_parts)]
    return [cut * tiles.TILE_ROWS for cut in cuts] + [num_rows]


def repartition(
    engine: Engine, fleet: Fleet, counts: Sequence[int], *, only_open: bool
) -> None:
    """Makes parts of equal size, of whole tiles, from the rows that are left.

    Args:
        engine: where the parts are.
        fleet: the parts; changed.
        counts: rows of each part that are left.
        only_open: the others are dropped; else all are left.
    """
    row_bytes = 8 * fleet.dimension + 4 * fleet.width + 64
    size = fleet.message_rows(row_bytes)
    ends = np.concatenate([[0], np.cumsum(counts)])
    edges = tile_edges(int(ends[-1]), len(fleet.parts))
    moved: list[tuple[Handle, slice, bool]] = []
    joined: list[list[int]] = []
    for a, b in zip(edges[:-1], edges[1:], strict=True):
        joined.append([])
        for p, part in enumerate(fleet.parts):
            first, last = max(a, int(ends[p])), min(b, int(ends[p + 1]))
            for start in range(first, last, size):
                stop = min(start + size, last)
                cut = slice(start - int(ends[p]), stop - int(ends[p]))
                joined[-1].append(len(moved))
                moved.append((part, cut, only_open))
    pieces = engine.map("move", stages.extracted, moved)
    fleet.parts = engine.map(
        "move",
        stages.joined,
        [[pieces[i] for i in own] for own in joined],
        keeps=1,
    )
    fleet.counts = np.diff(edges).tolist()
    origins = engine.get(
        engine.map("move", stages.first_origin, [(x,) for x in fleet.parts])
    )
    last = fleet.starts[-1]
    fleet.starts = np.array([*(int(o[0]) for o in origins), last])
