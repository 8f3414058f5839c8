"""Average-linkage clustering of millions of points: certified moment-RAC.

The average linkage of clusters A and B is the mean squared distance over all
pairs (a in A, b in B). It needs no pair: with size, mean and variance,

    d(A, B) = |mean_A - mean_B|^2 + variance_A + variance_B.            (1)

Reciprocal agglomerative clustering (RAC; Sumengen et al. 2021) merges, round
by round, *all* pairs that are each other's nearest cluster. What is left to
find is the nearest cluster. Each cluster A keeps a short list of candidates
and a radius R_A, with the invariant

    d(A, C) >= R_A for every live cluster C that is not on the list.    (2)

Why the result is exactly average linkage:

* Convexity. By (1), d(A, C u C') is the size-weighted mean of d(A, C) and
  d(A, C'), hence never below the smaller of them. So a merge of others keeps
  (2); and for A u A' with the union of both lists, (2) holds with the weighted
  mean of R_A and R_A'. A list is cut to k entries by lowering R to the
  smallest distance that is dropped.
* Certificate. If the nearest candidate is no farther than R_A, by (2) it is
  the nearest cluster of all. Otherwise the index is asked again, and R_A
  becomes the bound that comes with its answer. An old index serves too: its
  rows are parts of today's clusters, and convexity carries their bound over.
* Retirement. If A's nearest cluster and R_A both lie above the threshold,
  nothing ever comes nearer (convexity again): A is finished.
* RAC. Convexity makes average linkage reducible: two clusters that are each
  other's nearest stay so whatever else merges, so the greedy algorithm merges
  them too, at the same height (Bruynooghe 1977). Merging all such pairs at
  once builds the greedy algorithm's tree.

Without ties the tree is unique. Tied pairs are ordered by `pair_key`, so that
the nearest pair of all always merges and every round makes progress; identical
rows are merged first, at height zero.

The index only *proposes*. With an exact index the result is exact for every
list length k; with an approximate one the only error is a neighbour it missed.
Memory is O(n (d + k)); no pair distances are stored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from al_tf import hac_kernels as kernels
from al_tf.neighbors import BruteForceIndex, NeighborIndex, Neighbors
from runkit import Progress

IndexFactory = Callable[[np.ndarray, np.ndarray, int], NeighborIndex]
_QUERY_BLOCK = 65536
# Multiply-adds for which an exact answer is preferred to an approximate one.
_CHEAP_WORK = 2e10


@dataclasses.dataclass(frozen=True)
class Merges:
    """The tree below the threshold, one entry a merge.

    Attributes:
        first: `[m]` int64 id of a point in one cluster (its smallest).
        second: `[m]` int64 id of a point in the other (its smallest).
        distance: `[m]` float64 average linkage; never below that of the
            merges that made the two clusters.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray


@dataclasses.dataclass
class Effort:
    """What a clustering cost.

    Attributes:
        rounds: rounds of simultaneous merges.
        queries: nearest-neighbour queries answered, all indices together.
        full_scans: of these, queries that read every cluster in float64.
        index_builds: approximate indices built.
    """

    rounds: int = 0
    queries: int = 0
    full_scans: int = 0
    index_builds: int = 0


def average_linkage(
    rows: np.ndarray,
    *,
    distance_threshold: float = np.inf,
    num_clusters: int | None = None,
    num_neighbors: int = 16,
    make_index: IndexFactory | None = None,
    first_answer: Neighbors | None = None,
    on_first_answer: Callable[[Neighbors], None] | None = None,
    verbose: bool = False,
) -> tuple[Merges, Effort]:
    """Clusters rows by average linkage of squared Euclidean distance.

    Args:
        rows: `[n, d]` float32 or float64; *overwritten* (it holds the means).
        distance_threshold: clusters farther apart are not merged.
        num_clusters: lower the threshold to where so many clusters are left.
        num_neighbors: length k of the candidate lists.
        make_index: builds an approximate index from (rows, offsets, k); None:
            all queries are exact.
        first_answer: the neighbours of all distinct rows, where an earlier
            run has kept them.
        on_first_answer: called with them otherwise, to keep them.
        verbose: print progress.

    Returns:
        The merges at or below the threshold, and the effort.
    """
    n = len(rows)
    distinct, copies, originals = duplicate_rows(rows)
    if len(distinct) < n:
        kernels.compact_rows(rows, distinct)
    run = _Agglomeration(
        rows[: len(distinct)],
        size=np.bincount(originals, minlength=n)[distinct] + 1.0,
        origin=distinct,
        threshold=distance_threshold,
        num_neighbors=num_neighbors,
        make_index=make_index,
        verbose=verbose,
    )
    run.record(originals, copies, np.zeros(len(copies)))
    merges_wanted = None if num_clusters is None else n - num_clusters
    if first_answer is not None:
        run.take_answer(np.arange(len(distinct)), first_answer)
    elif len(distinct) > 1:
        first_answer = run.first_answer()
        if on_first_answer is not None:
            on_first_answer(first_answer)
    while True:
        run.tighten(merges_wanted)
        run.certify(only_wanted=True)
        if run.merge_round():
            continue
        run.certify(only_wanted=False)
        if not run.merge_round():
            break
    return run.merges(), run.effort


def duplicate_rows(
    rows: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds identical rows.

    Returns:
        (distinct, copies, originals): ids of the first row of each kind,
        ascending; ids of the other rows; for each of those its first row.
    """
    n = len(rows)
    words = rows.view(np.uint32 if rows.dtype == np.float32 else np.uint64)
    hashes = kernels.hash_rows(words)
    order = np.argsort(hashes, kind="stable")
    starts = np.ones(n, bool)
    starts[1:] = hashes[order[1:]] != hashes[order[:-1]]
    head = order[np.maximum.accumulate(np.where(starts, np.arange(n), 0))]
    # Rows that share a hash by accident are told apart here; they stay.
    suspects = np.flatnonzero(~starts)
    copies, originals = order[suspects], head[suspects]
    same = np.array(
        [np.array_equal(rows[a], rows[b]) for a, b in zip(copies, originals)],
        bool,
    )
    copies, originals = copies[same], originals[same]
    is_copy = np.zeros(n, bool)
    is_copy[copies] = True
    return np.flatnonzero(~is_copy), copies, originals


class _Agglomeration:
    """The state of one clustering: see the module's docstring."""

    def __init__(
        self,
        rows,
        *,
        size,
        origin,
        threshold,
        num_neighbors,
        make_index,
        verbose,
    ):
        n = len(rows)
        self.k = max(1, min(num_neighbors, n - 1))
        self.threshold = threshold
        self.effort = Effort()
        self._mean = rows
        self._mean32 = rows.astype(np.float32, copy=False)
        self._variance = np.zeros(n)
        self._size = size
        self._origin = origin
        self._height = np.zeros(n)
        self._radius = np.full(n, -np.inf)
        # Unions have room for the candidates of both sides.
        self._lists = np.full((n, 2 * self.k), -1, np.int32)
        self._nearest = np.full(n, -1, np.int32)
        self._distance = np.full(n, np.inf)
        self._parent = np.arange(n, dtype=np.int32)
        # Neither absorbed nor retired.
        self._open = np.ones(n, bool)
        self._make_index = make_index
        self._index: NeighborIndex | None = None
        # Cluster that each index row is part of now; -1: retired.
        self._index_rows = np.zeros(0, np.int32)
        self._recorded: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._num_points = n
        self._progress = Progress(None, "queries", "clustering")
        self._verbose = verbose

    def record(self, first, second, distance) -> None:
        """Adds merges, in ids of points."""
        self._recorded.append((first, second, distance))

    def merges(self) -> Merges:
        """All merges at or below the threshold, nearest first."""
        first, second, distance = map(np.concatenate, zip(*self._recorded))
        keep = np.flatnonzero(distance <= self.threshold)
        keep = keep[np.argsort(distance[keep], kind="stable")]
        return Merges(
            first[keep].astype(np.int64),
            second[keep].astype(np.int64),
            distance[keep],
        )

    def tighten(self, merges_wanted: int | None) -> None:
        """Lowers the threshold once it is known to be too high.

        Any `merges_wanted` merges of the tree reach at least as high as the
        lowest ones; so the highest of them bounds the wanted threshold.
        """
        if merges_wanted is None:
            return
        distance = np.concatenate([d for _, _, d in self._recorded])
        if merges_wanted <= 0:
            # Identical rows stay together all the same.
            self.threshold = 0.0
        elif len(distance) >= merges_wanted:
            bound = np.partition(distance, merges_wanted - 1)
            self.threshold = min(self.threshold, bound[merges_wanted - 1])

    # Nearest neighbours.

    def first_answer(self) -> Neighbors:
        """Asks for the neighbours of all points."""
        rows = np.arange(len(self._mean), dtype=np.int32)
        if self._make_index is not None:
            self._build_index()
        ids = np.empty((len(rows), self.k), np.int32)
        bound = np.empty(len(rows))
        progress = Progress(len(rows), "queries", "neighbours")
        search = self._searcher()
        for start in range(0, len(rows), _QUERY_BLOCK):
            block = slice(start, start + _QUERY_BLOCK)
            answer = search(rows[block])
            ids[block], bound[block] = answer.ids, answer.bound
            if self._verbose:
                progress.update(min(start + _QUERY_BLOCK, len(rows)))
        if self._index is not None and not self._index.is_exact:
            ids = kernels.mutual_lists(ids, 2 * self.k)
        answer = Neighbors(ids, bound)
        self.take_answer(rows, answer)
        self.effort.queries += len(rows)
        return answer

    def take_answer(self, rows, answer: Neighbors) -> None:
        """Merges an answer into the lists; the better bound becomes R."""
        rows = rows.astype(np.int32, copy=False)
        self._radius[rows] = np.maximum(self._radius[rows], answer.bound)
        kernels.unite_lists(rows, answer.ids, *self._lists_state())

    def certify(self, *, only_wanted: bool) -> None:
        """Asks until open clusters know their nearest, or retires them.

        Args:
            only_wanted: leave those alone that no certified cluster calls its
                nearest. They cannot merge in this round, and asked later they
                are asked less often.
        """
        for ask in (self._ask_cheapest, self._ask_exact, self._ask_everyone):
            uncertain = self._uncertain()
            if only_wanted:
                uncertain &= self._wanted(self._open & ~uncertain)
            rows = np.flatnonzero(uncertain).astype(np.int32)
            if len(rows) == 0:
                break
            self.effort.queries += len(rows)
            ask(rows)
        nothing_near = (self._distance > self.threshold) | (self._nearest < 0)
        nothing_else = (self._radius > self.threshold) | np.isinf(self._radius)
        self._open &= ~(nothing_near & nothing_else)

    def _uncertain(self) -> np.ndarray:
        """Open clusters whose nearest candidate is not certified."""
        unproven = self._distance > self._radius
        return self._open & unproven & (self._radius <= self.threshold)

    def _wanted(self, certified) -> np.ndarray:
        """Clusters that are the nearest of a certified one."""
        wanted = np.zeros(len(certified), bool)
        near = (self._distance <= self.threshold) & (self._nearest >= 0)
        wanted[self._nearest[certified & near]] = True
        return wanted

    def _ask_cheapest(self, rows) -> None:
        if self._make_index is not None and self._index_is_worth_it(len(rows)):
            if self._index_is_old():
                # Only open rows are left, in their order.
                rows = np.searchsorted(np.flatnonzero(self._open), rows)
                rows = rows.astype(np.int32)
                self._build_index()
            self._ask(rows, self._searcher())
        else:
            self._ask_exact(rows)

    def _ask_exact(self, rows) -> None:
        offsets = np.where(self._open, self._variance, np.inf)
        index = BruteForceIndex(self._mean32, offsets)
        width = self._lists.shape[1]
        self._ask(
            rows, lambda part: index.search(self._mean32[part], width, part)
        )

    def _ask_everyone(self, rows) -> None:
        """For ties closer than the rounding error of an exact search."""
        self.effort.full_scans += len(rows)
        ids = np.empty((len(rows), self._lists.shape[1]), np.int32)
        bound = np.empty(len(rows))
        kernels.scan_all(
            rows, self._open, self._mean, self._variance, ids, bound
        )
        self.take_answer(rows, Neighbors(ids, bound))
        self._radius[rows] = np.maximum(
            self._radius[rows], self._distance[rows]
        )

    def _ask(self, rows, search: Callable[[np.ndarray], Neighbors]) -> None:
        for start in range(0, len(rows), _QUERY_BLOCK):
            part = rows[start : start + _QUERY_BLOCK]
            answer = search(part)
            bound = answer.bound + self._variance[part]
            self.take_answer(part, Neighbors(answer.ids, bound))
            if self._verbose:
                self._progress.update(
                    self.effort.queries - len(rows) + start + len(part),
                    f"{self.effort.queries / self._num_points:.2f} a point, "
                    f"round {self.effort.rounds}, "
                    f"{int(self._open.sum()):,} clusters open",
                )

    # The approximate index.

    def _searcher(self) -> Callable[[np.ndarray], Neighbors]:
        if self._index is None:
            index = BruteForceIndex(self._mean32)
            return lambda part: index.search(self._mean32[part], self.k, part)
        return self._search_index

    def _search_index(self, part) -> Neighbors:
        assert self._index is not None
        fresh = len(self._index_rows) == len(self._mean)
        answer = self._index.search(
            self._mean32[part],
            self.k,
            part if fresh else np.full(len(part), -1),
        )
        known = answer.ids >= 0
        ids = np.where(known, self._index_rows[answer.ids], -1)
        return Neighbors(ids.astype(np.int32), answer.bound)

    def _build_index(self) -> None:
        assert self._make_index is not None
        self._index = None
        self._compact()
        self._index = self._make_index(self._mean32, self._variance, self.k)
        self._index_rows = np.arange(len(self._mean), dtype=np.int32)
        self.effort.index_builds += 1

    def _index_is_old(self) -> bool:
        return self._index is None or (
            int(self._open.sum()) < 0.7 * len(self._index_rows)
        )

    def _index_is_worth_it(self, num_queries: int) -> bool:
        # A fraction of a second buys certainty; beyond, a tree of 2 sqrt(n)
        # leaves costs about as much as 16 sqrt(n) queries that read
        # everything, and a query to a standing tree far less.
        n, d = self._mean.shape
        if float(num_queries) * n * d < _CHEAP_WORK:
            return False
        return not self._index_is_old() or num_queries > 16 * np.sqrt(n)

    # Merging.

    def merge_round(self) -> bool:
        """Merges all mutual nearest pairs; False if there are none."""
        kept, absorbed, heights = kernels.mutual_pairs(
            self._open & ~self._uncertain(),
            self._nearest,
            self._distance,
            self.threshold,
        )
        if len(kept) == 0:
            return False
        self.effort.rounds += 1
        heights = np.maximum(
            heights, np.maximum(self._height[kept], self._height[absorbed])
        )
        self._height[kept] = heights
        self.record(self._origin[kept], self._origin[absorbed], heights)
        kernels.merge_moments(
            kept,
            absorbed,
            self._mean,
            self._variance,
            self._size,
            self._radius,
            self._parent,
        )
        if self._mean32 is not self._mean:
            self._mean32[kept] = self._mean[kept]
        kernels.flatten_parents(self._parent)
        self._open[absorbed] = False
        self._open[kept] = True
        merged = np.zeros(len(self._mean), bool)
        merged[kept] = merged[absorbed] = True
        kernels.unite_lists(kept, self._lists[absorbed], *self._lists_state())
        lost = merged[self._nearest] & (self._nearest >= 0)
        lost &= self._open & ~merged
        kernels.refresh_nearest(
            np.flatnonzero(lost).astype(np.int32), *self._lists_state()
        )
        if 2 * int(self._open.sum()) < len(self._mean):
            self._compact()
        return True

    def _lists_state(self):
        return (
            self._mean,
            self._variance,
            self._parent,
            self._lists,
            self._radius,
            self._nearest,
            self._distance,
        )

    def _compact(self) -> None:
        """Drops absorbed and retired rows, in place."""
        rows = np.flatnonzero(self._open)
        m = len(rows)
        if m == len(self._mean):
            return
        new_row = np.full(len(self._mean), -1, np.int32)
        new_row[rows] = np.arange(m, dtype=np.int32)
        new_row = new_row[self._parent]
        for array in (self._mean, self._lists):
            kernels.compact_rows(array, rows)
        if self._mean32 is not self._mean:
            kernels.compact_rows(self._mean32, rows)
            self._mean32 = self._mean32[:m]
            self._mean = self._mean[:m]
        else:
            self._mean = self._mean32 = self._mean[:m]
        self._lists = self._lists[:m]
        for name in (
            "_variance _size _origin _height _radius _nearest _distance".split()
        ):
            setattr(self, name, getattr(self, name)[rows])
        kernels.renumber(self._lists, new_row)
        known = self._nearest >= 0
        self._nearest[known] = new_row[self._nearest[known]]
        self._parent = np.arange(m, dtype=np.int32)
        self._open = np.ones(m, bool)
        standing = self._index_rows >= 0
        self._index_rows[standing] = new_row[self._index_rows[standing]]
