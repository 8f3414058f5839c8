"""State and rounds of the clustering that `average_linkage` explains.

Rows are clusters; a merge keeps the smaller row number. When half of the rows
are absorbed or retired, the others move to the front and are renumbered, so
that late rounds cost what is left and not what there was.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import numba
import numpy as np

from al_tf.clustering import hac_kernels as kernels
from al_tf.clustering.cluster_search import (
    QUERY_BLOCK,
    ClusterSearch,
    Effort,
    IndexFactory,
    Search,
    exact_search,
    locality_order,
)
from al_tf.neighbors import row_kernels
from al_tf.neighbors.protocol import Neighbors
from runkit import Progress

# Multiply-adds that are not worth waking other threads for.
_SERIAL_WORK = 2e7
_ROW_FIELDS = (
    "_variance",
    "_size",
    "_origin",
    "_height",
    "_radius",
    "_nearest",
    "_distance",
)


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


class Agglomeration:
    """The state of one clustering: see `al_tf.clustering.average_linkage`."""

    def __init__(
        self,
        rows: np.ndarray,
        *,
        size: np.ndarray,
        origin: np.ndarray,
        threshold: float,
        num_neighbors: int,
        make_index: IndexFactory | None,
        verbose: bool,
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
        self._search = ClusterSearch(make_index, self.k, self.effort)
        self._recorded: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._num_points = n
        self._progress = Progress(n, "points settled", "clustering")
        self._verbose = verbose

    def record(
        self, first: np.ndarray, second: np.ndarray, distance: np.ndarray
    ) -> None:
        """Adds merges, in ids of points."""
        self._recorded.append((first, second, distance))

    def merges(self) -> Merges:
        """All merges at or below the threshold, nearest first."""
        first, second, distance = map(
            np.concatenate, zip(*self._recorded, strict=True)
        )
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

    # Nearest neighbors.

    def first_answer(self, threshold: float) -> Neighbors:
        """Asks for the neighbors of all points, up to a distance."""
        rows = np.arange(len(self._mean), dtype=np.int32)
        progress = Progress(len(rows), "queries", "neighbors")

        def report(done: int) -> None:
            if self._verbose:
                progress.update(done)

        answer = self._search.first(
            self._mean32, self._variance, threshold, report
        )
        self.take_answer(rows, answer)
        self.effort.queries += len(rows)
        return answer

    def take_answer(self, rows: np.ndarray, answer: Neighbors) -> None:
        """Merges an answer into the lists; the better bound becomes R."""
        rows = rows.astype(np.int32, copy=False)
        self._radius[rows] = np.maximum(self._radius[rows], answer.bound)
        with self._threads_for(len(rows)):
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

    def _wanted(self, certified: np.ndarray) -> np.ndarray:
        """Clusters that are the nearest of a certified one."""
        wanted = np.zeros(len(certified), bool)
        near = (self._distance <= self.threshold) & (self._nearest >= 0)
        wanted[self._nearest[certified & near]] = True
        return wanted

    def _ask_cheapest(self, rows: np.ndarray) -> None:
        num_open = int(self._open.sum())
        if not self._search.prefers_index(len(rows), self._mean32, num_open):
            self._ask_exact(rows)
            return
        if self._search.is_old(num_open):
            # Only open rows are left, in their order.
            rows = np.searchsorted(np.flatnonzero(self._open), rows)
            rows = rows.astype(np.int32)
            self._compact()
            self._search.build(self._mean32, self._variance)
        rows = rows[locality_order(self._mean32[rows])]
        self._ask(rows, self._search.indexed(self._mean32))

    def _ask_exact(self, rows: np.ndarray) -> None:
        offsets = np.where(self._open, self._variance, np.inf)
        width = self._lists.shape[1]
        self._ask(
            rows, exact_search(self._mean32, offsets, width, self.threshold)
        )

    def _ask_everyone(self, rows: np.ndarray) -> None:
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

    def _ask(self, rows: np.ndarray, search: Search) -> None:
        for start in range(0, len(rows), QUERY_BLOCK):
            part = rows[start : start + QUERY_BLOCK]
            answer = search(part)
            bound = answer.bound + self._variance[part]
            self.take_answer(part, Neighbors(answer.ids, bound))
            if self._verbose:
                self._report(
                    self.effort.queries - len(rows) + start + len(part)
                )

    def _report(self, queries: int) -> None:
        """Points absorbed or retired, of all; the rest follows from that."""
        num_open = int(self._open.sum())
        self._progress.update(
            self._num_points - num_open,
            f"{queries / self._num_points:.2f} queries a point, "
            f"round {self.effort.rounds}, {num_open:,} clusters open",
        )

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
        with self._threads_for(len(kept)):
            kernels.merge_moments(
                kept,
                absorbed,
                self._mean,
                self._variance,
                self._size,
                self._radius,
                self._parent,
            )
            kernels.flatten_parents(self._parent)
        if self._mean32 is not self._mean:
            self._mean32[kept] = self._mean[kept]
        self._open[absorbed] = False
        self._update_lists(kept, absorbed)
        if 2 * int(self._open.sum()) < len(self._mean):
            self._compact()
        return True

    def _update_lists(self, kept: np.ndarray, absorbed: np.ndarray) -> None:
        """New lists of the unions; new nearest where the old one merged."""
        merged = np.zeros(len(self._mean), bool)
        merged[kept] = merged[absorbed] = True
        lost = merged[self._nearest] & (self._nearest >= 0)
        lost &= self._open & ~merged
        rows = np.flatnonzero(lost).astype(np.int32)
        others = self._lists[absorbed]
        with self._threads_for(len(rows) + len(kept)):
            kernels.unite_lists(kept, others, *self._lists_state())
            kernels.refresh_nearest(rows, *self._lists_state())

    @contextlib.contextmanager
    def _threads_for(self, num_rows: int) -> Iterator[None]:
        """One thread for little work: waking and waiting would cost more."""
        threads = numba.get_num_threads()
        if num_rows * self._lists.shape[1] * self._mean.shape[1] < _SERIAL_WORK:
            numba.set_num_threads(1)
        try:
            yield
        finally:
            numba.set_num_threads(threads)

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
            row_kernels.compact_rows(array, rows)
        if self._mean32 is not self._mean:
            row_kernels.compact_rows(self._mean32, rows)
            self._mean32 = self._mean32[:m]
            self._mean = self._mean[:m]
        else:
            self._mean = self._mean32 = self._mean[:m]
        self._lists = self._lists[:m]
        for name in _ROW_FIELDS:
            setattr(self, name, getattr(self, name)[rows])
        row_kernels.renumber(self._lists, new_row)
        known = self._nearest >= 0
        self._nearest[known] = new_row[self._nearest[known]]
        self._parent = np.arange(m, dtype=np.int32)
        self._open = np.ones(m, bool)
        self._search.renumber(new_row)
