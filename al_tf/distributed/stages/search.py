"""Exact neighbors over parts: the same lists as one machine's, bit by bit.

One machine keeps, for a row, the k smallest by (float32 value, the time at
which the other row came along). Parts do the same with what they hold, and
lists are merged by the same order, so two things have to be as on one machine:

* The values. A product of two tiles is the same number wherever it is computed
  as long as the tiles are the same; so all parts but the last hold whole tiles,
  and queries are cut into tiles as they are there. Beyond a certain amount of
  work the values are sums in float64, which need no tiles. `contraction` makes
  that choice from the same samples of rows and queries as one machine.
* The times. A search by queries meets the rows in their order. The first
  search, in which all rows meet each other, is a tournament of blocks; the
  time is (round in which the two blocks meet, the other row).

The bound comes from the last value of the merged list, as it does there. What
is beyond the last value of a list so far cannot come onto it any more: that is
told to whoever searches on (`listed`), who would begin anew otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from al_tf.distributed.stages.parts import (
    Answer,
    Part,
    Pending,
    find,
    named,
)
from al_tf.neighbors import tiles
from al_tf.neighbors.contraction import (
    Contraction,
    best_width,
    contract,
    principal_axes,
)
from al_tf.neighbors.exact_index import ExactIndex
from al_tf.neighbors.lists import answer_of, rounding_error


class Axes(NamedTuple):
    """How rows are contracted, see `al_tf.neighbors.contraction`.

    Attributes:
        axes: `[d, d]` float64.
        width: dimensions to keep.
    """

    axes: np.ndarray
    width: int

    def of(self, rows: np.ndarray) -> Contraction:
        """Contracts rows."""
        return Contraction(self.axes, contract(rows, self.axes, self.width))


class Queries(NamedTuple):
    """Clusters to find the neighbors of.

    Attributes:
        rows: `[q, d]` float32 means.
        variance: `[q]` float64.
        origin: `[q]` int64.
    """

    rows: np.ndarray
    variance: np.ndarray
    origin: np.ndarray


class Lists(NamedTuple):
    """Neighbors found so far.

    Attributes:
        ids: `[q, k]` int32 origins, -1 where there are fewer.
        values: `[q, k]` float32 ascending, see `row_kernels.Side`.
        times: `[q, k]` int32 order of arrival before that of the origins.
    """

    ids: np.ndarray
    values: np.ndarray
    times: np.ndarray


def offsets_of(part: Part) -> np.ndarray:
    """Variances; those that must not be found are infinite."""
    return np.where(part.is_open, part.variance, np.inf)


def sampled(part: Part, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some rows in float32, and what is added to their products."""
    means = part.mean[rows].astype(np.float32)
    square = np.einsum("nd,nd->n", means, means, dtype=np.float64)
    return means, (square + offsets_of(part)[rows]).astype(np.float32)


def largest_bias(part: Part) -> np.ndarray:
    """`[1]` largest squared norm with variance of an open cluster."""
    rows = part.mean.astype(np.float32)
    return np.array([ExactIndex(rows, offsets_of(part)).largest])


def queries_of(part: Part, rows: np.ndarray, cut: slice) -> Queries:
    """Some of the clusters, as queries."""
    rows = rows[cut]
    means = part.mean[rows].astype(np.float32)
    return Queries(means, part.variance[rows], part.origin[rows])


def sampled_queries(part: Part, rows: np.ndarray, which: np.ndarray) -> Queries:
    """Some of the clusters that are asked for, as queries."""
    return queries_of(part, rows[which], slice(None))


def positions_of(part: Part, start: int, *pieces: Queries) -> np.ndarray:
    """Rows of queries among all rows where the part has them, else -1."""
    rows = find(part.origin, np.concatenate([p.origin for p in pieces]))
    return np.where(rows >= 0, rows + start, -1)


def search_part(
    part: Part,
    k: int,
    threshold: float,
    largest: float,
    axes: Axes | None,
    *pieces: Queries,
) -> tuple[Lists, ...]:
    """Lists of the queries, from the clusters of a part.

    Args:
        part: only its open clusters are found.
        k: length of the lists.
        threshold: linkages beyond it need not be listed.
        largest: `largest_bias` of all parts together.
        axes: rule out by these, or by nothing.
        pieces: consecutive queries that make whole tiles.

    Returns:
        `Lists` for each piece.
    """
    queries = Queries(*map(np.concatenate, zip(*pieces, strict=True)))
    rows = part.mean.astype(np.float32)
    index = ExactIndex(
        rows,
        offsets_of(part),
        contraction=None if axes is None else axes.of(rows),
        largest=largest,
    )
    found = index.lists(
        queries.rows,
        k,
        find(part.origin, queries.origin),
        threshold - queries.variance,
    )
    ids = named(part.origin, found.ids)
    no_times = np.zeros(ids.shape, np.int32)
    cuts = np.cumsum([len(piece.origin) for piece in pieces])[:-1]
    split = [np.split(a, cuts) for a in (ids, found.values, no_times)]
    lists = [Lists(*arrays) for arrays in zip(*split, strict=True)]
    return tuple(lists)


def merged(*lists: Lists) -> Lists:
    """The k first of several lists, by (value, time, origin)."""
    ids, values, times = (
        np.concatenate(arrays, axis=1) for arrays in zip(*lists, strict=True)
    )
    k = lists[0].ids.shape[1]
    # An empty place has the value below which rows are kept: it is last.
    order = np.lexsort((ids, times, ids < 0, values), axis=1)[:, :k]
    return Lists(
        *(np.take_along_axis(a, order, 1) for a in (ids, values, times))
    )


def listed(*lists: Lists) -> tuple[Lists, np.ndarray]:
    """Merges lists of the same queries.

    Returns:
        (the lists, `[q]` float32 their last values).
    """
    found = merged(*lists)
    return found, found.values[:, -1].copy()


def wanted_within(
    threshold: float, queries: Queries, cuts: np.ndarray | None
) -> np.ndarray:
    """Distances, offsets included, beyond which nothing comes onto lists.

    Args:
        threshold: linkages beyond it need not be listed.
        queries: who searches.
        cuts: last values of the lists so far, or None.
    """
    within = threshold - queries.variance
    if cuts is None:
        return within
    square = np.einsum("qd,qd->q", queries.rows, queries.rows, dtype=np.float64)
    # A list that is not full ends with the limit that the threshold gives: that
    # has to stay the same number.
    return np.fmin(within, cuts + square)


def answered(queries: Queries, largest: float, *lists: Lists) -> Answer:
    """The answer of all parts to some queries."""
    ids, values, _ = merged(*lists)
    square = np.einsum("qd,qd->q", queries.rows, queries.rows, dtype=np.float64)
    error = rounding_error(square, largest, queries.rows.shape[1])
    answer = answer_of(ids, values, square, error)
    return Answer(queries.origin, ids, answer.bound + queries.variance)


def pending_of(part: Part, *answers: Answer) -> Pending:
    """The answers to a part's queries as lists to renew."""
    origin, ids, bound = map(np.concatenate, zip(*answers, strict=True))
    return Pending(find(part.origin, origin), ids, bound)


def chosen_axes(
    queries: Queries,
    cuts: np.ndarray,
    num_rows: int,
    rows: np.ndarray,
    bias: np.ndarray,
    positions: np.ndarray,
) -> Axes | None:
    """Chooses the contraction as `ExactIndex` does.

    Args:
        queries: the sample of the queries.
        cuts: `[q]` last values of their lists.
        num_rows: of all parts.
        rows: `[s, d]` float32 `spread_sample` of all rows.
        bias: `[s]` float32 that of what is added to their products.
        positions: `[q]` rows that the queries are.
    """
    step = -(-num_rows // len(rows))
    exclude = np.where(positions % step == 0, positions // step, -1)
    axes = principal_axes(rows)
    width = best_width(rows, bias, axes, queries.rows, exclude, cuts)
    return None if width is None else Axes(axes, width)


def lists_of_pair(
    k: int,
    threshold: float,
    num_rows: int,
    largest: float,
    axes: Axes | None,
    first: Queries,
    start: int,
    second: Queries | None,
    second_start: int,
    *cuts: np.ndarray,
) -> tuple[Lists, ...]:
    """Lets two blocks of single points find each other, or one itself.

    Args:
        k: length of the lists.
        threshold: distances beyond it need not be listed.
        num_rows: number of all points: with it goes the tournament.
        largest: as in `search_part`.
        axes: as in `search_part`.
        first: whole tiles, the first of which begins at row `start`.
        start: see `first`.
        second: later tiles; None: the first block meets itself.
        second_start: see `second`.
        cuts: last values of the lists of all blocks so far, or nothing.

    Returns:
        `Lists` of the first block, or of both.
    """
    rows, origin, ids = first.rows, first.origin, np.arange(len(first.rows))
    ids = ids + start
    if second is not None:
        rows = np.concatenate([rows, second.rows])
        origin = np.concatenate([origin, second.origin])
        ids = np.concatenate([ids, np.arange(len(second.rows)) + second_start])
    index = ExactIndex(
        rows,
        np.zeros(len(rows)),
        contraction=None if axes is None else axes.of(rows),
        largest=largest,
    )
    block_rows = tiles.tiles_per_block(num_rows) * tiles.TILE_ROWS
    num_players = -(-num_rows // block_rows)
    player = ids // block_rows
    count = len(tiles.tiles_of(len(first.rows)))
    if second is None:
        a, b = np.triu_indices(count)
    else:
        others = len(tiles.tiles_of(len(second.rows)))
        a, b = np.divmod(np.arange(count * others), others)
        b = b + count
    times = tiles.round_of(
        player[a * tiles.TILE_ROWS], player[b * tiles.TILE_ROWS], num_players
    )
    order = np.lexsort((b, a, times))
    pairs = zip(a[order].tolist(), b[order].tolist(), strict=True)
    blocks = [first] if second is None else [first, second]
    within = np.concatenate(
        [
            wanted_within(threshold, block, cut)
            for block, cut in zip(blocks, cuts or (None, None), strict=False)
        ]
    )
    asked = index.lists_of_pairs(k, within, pairs)
    met = np.where(
        asked.ids >= 0,
        tiles.round_of(
            np.broadcast_to(player[:, None], asked.ids.shape),
            player[asked.ids],
            num_players,
        ),
        0,
    )
    lists = Lists(named(origin, asked.ids), asked.values, met.astype(np.int32))
    if second is None:
        return (lists,)
    m = len(first.rows)
    return (
        Lists(*(array[:m] for array in lists)),
        Lists(*(array[m:] for array in lists)),
    )
