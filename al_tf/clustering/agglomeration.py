"""State and rounds of the clustering that `average_linkage` explains.

Rows are clusters; a merge keeps the smaller row number. When half of the rows
are absorbed or retired, the others move to the front and are renumbered, so
that the cost of a round follows the number of clusters that are left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numba
import numpy as np

from al_tf.clustering import hac_kernels as kernels
from al_tf.clustering.cluster_search import (
    QUERY_BLOCK,
    ClusterSearch,
    Effort,
    FirstAnswer,
    IndexFactory,
    Search,
    exact_search,
)
from al_tf.clustering.hac_kernels import Clusters
from al_tf.clustering.merges import MergeRecord, Merges
from al_tf.neighbors import row_kernels
from al_tf.neighbors.protocol import Neighbors
from al_tf.neighbors.row_order import locality_order
from runkit import Progress

# With fewer multiply-adds it is not worth waking other threads.
_SERIAL_WORK = 2e7


class Agglomeration:
    """The state of one clustering: see `al_tf.clustering.average_linkage`.

    Args:
        clusters: single points, no two alike, or what rounds elsewhere have
            left; overwritten. Unions need room for the candidates of both
            sides: the lists have 2 k places.
        threshold: clusters farther apart are not merged.
        make_index: builds an approximate index; None: all answers are exact.
        verbose: print progress.
    """

    def __init__(
        self,
        clusters: Clusters,
        *,
        threshold: float,
        make_index: IndexFactory | None = None,
        verbose: bool = False,
    ):
        n = len(clusters.mean)
        self.threshold = threshold
        self.effort = Effort()
        self._clusters = clusters
        # What the indices search; the means themselves if they are float32.
        self._mean32 = clusters.mean.astype(np.float32, copy=False)
        k = clusters.lists.shape[1] // 2
        self._search = ClusterSearch(make_index, k, self.effort)
        self._recorded = MergeRecord()
        self._num_points = n
        self._progress = Progress(n, "points settled", "clustering")
        self._verbose = verbose

    def record(self, merges: Merges) -> None:
        """Adds merges."""
        self._recorded.add(merges)

    def merges(self) -> Merges:
        """All merges at or below the threshold, nearest first."""
        return self._recorded.within(self.threshold)

    def tighten(self, merges_wanted: int | None) -> None:
        """Lowers the threshold once it is known to be too high."""
        self.threshold = self._recorded.tightened(self.threshold, merges_wanted)

    # Nearest neighbors.

    def ask_all(self, threshold: float) -> FirstAnswer:
        """Asks for the neighbors of all points, up to a distance."""
        n = len(self._mean32)
        progress = Progress(n, "queries", "neighbors")

        def report(done: int) -> None:
            if self._verbose:
                progress.update(done)

        answer = self._search.first(
            self._mean32, self._clusters.variance, threshold, report
        )
        self.take_answer(np.arange(n), answer.neighbors)
        self.effort.queries += n
        return answer

    def take_answer(self, rows: np.ndarray, answer: Neighbors) -> None:
        """Merges an answer into the lists; the better bound becomes R."""
        rows = rows.astype(np.int32, copy=False)
        radius = self._clusters.radius
        radius[rows] = np.maximum(radius[rows], answer.bound)
        with self._threads_for(len(rows)):
            kernels.unite_lists(rows, answer.ids, self._clusters)

    def certify(self, *, only_wanted: bool) -> None:
        """Asks until open clusters know their nearest, or retires them.

        Args:
            only_wanted: skip those that no certified cluster calls its
                nearest. They cannot merge in this round, and asked later they
                are asked less often.
        """
        for ask in (self._ask_cheapest, self._ask_exact, self._ask_everyone):
            uncertain = self._uncertain()
            if only_wanted:
                certified = self._clusters.is_open & ~uncertain
                wanted = np.zeros(len(certified), bool)
                near = self._clusters.nearest[certified & self._has_near()]
                wanted[near] = True
                uncertain &= wanted
            rows = np.flatnonzero(uncertain).astype(np.int32)
            if len(rows) == 0:
                break
            self.effort.queries += len(rows)
            ask(rows)
        radius = self._clusters.radius
        nothing_else = (radius > self.threshold) | np.isinf(radius)
        self._clusters.is_open[nothing_else & ~self._has_near()] = False

    def _has_near(self) -> np.ndarray:
        """Clusters with a candidate within the threshold."""
        state = self._clusters
        return (state.distance <= self.threshold) & (state.nearest >= 0)

    def _uncertain(self) -> np.ndarray:
        """Open clusters whose nearest candidate is not certified."""
        state = self._clusters
        unproven = state.distance > state.radius
        return state.is_open & unproven & (state.radius <= self.threshold)

    def _ask_cheapest(self, rows: np.ndarray) -> None:
        is_open = self._clusters.is_open
        num_open = int(is_open.sum())
        if not self._search.prefers_index(len(rows), self._mean32, num_open):
            self._ask_exact(rows)
            return
        if self._search.is_old(num_open):
            # Only open rows are left, in their order.
            rows = np.searchsorted(np.flatnonzero(is_open), rows)
            rows = rows.astype(np.int32)
            self._compact()
            self._search.build(self._mean32, self._clusters.variance)
        rows = rows[locality_order(self._mean32[rows])]
        self._ask(rows, self._search.indexed(self._mean32))

    def _ask_exact(self, rows: np.ndarray) -> None:
        state = self._clusters
        offsets = np.where(state.is_open, state.variance, np.inf)
        width = state.lists.shape[1]
        self._ask(
            rows, exact_search(self._mean32, offsets, width, self.threshold)
        )

    def _ask_everyone(self, rows: np.ndarray) -> None:
        """For ties closer than the rounding error of an exact search."""
        state = self._clusters
        self.effort.full_scans += len(rows)
        ids = np.empty((len(rows), state.lists.shape[1]), np.int32)
        distances, bound = np.empty(ids.shape), np.empty(len(rows))
        kernels.scan_all(rows, state, ids, distances, bound)
        self.take_answer(rows, Neighbors(ids, bound))
        state.radius[rows] = np.maximum(
            state.radius[rows], state.distance[rows]
        )

    def _ask(self, rows: np.ndarray, search: Search) -> None:
        for start in range(0, len(rows), QUERY_BLOCK):
            part = rows[start : start + QUERY_BLOCK]
            answer = search(part)
            bound = answer.bound + self._clusters.variance[part]
            self.take_answer(part, Neighbors(answer.ids, bound))
            if self._verbose:
                answered = self.effort.queries - len(rows) + start + len(part)
                num_open = int(self._clusters.is_open.sum())
                self._progress.update(
                    self._num_points - num_open,
                    f"{answered / self._num_points:.2f} queries per point, "
                    f"round {self.effort.rounds}, {num_open:,} clusters open",
                )

    # Merging.

    def merge_round(self) -> bool:
        """Merges all mutual nearest pairs; False if there are none."""
        state = self._clusters
        kept, absorbed, heights = kernels.mutual_pairs(
            state.is_open & ~self._uncertain(),
            state.nearest,
            state.distance,
            state.origin,
            self.threshold,
        )
        if len(kept) == 0:
            return False
        self.effort.rounds += 1
        heights = np.maximum(
            heights, np.maximum(state.height[kept], state.height[absorbed])
        )
        state.height[kept] = heights
        self.record(Merges(state.origin[kept], state.origin[absorbed], heights))
        with self._threads_for(len(kept)):
            kernels.merge_moments(kept, absorbed, state)
            kernels.flatten_parents(state.parent)
        if self._mean32 is not state.mean:
            self._mean32[kept] = state.mean[kept]
        state.is_open[absorbed] = False
        self._update_lists(kept, absorbed)
        if 2 * int(state.is_open.sum()) < len(state.mean):
            self._compact()
        return True

    def _update_lists(self, kept: np.ndarray, absorbed: np.ndarray) -> None:
        """New lists of the unions; new nearest where the old one merged."""
        state = self._clusters
        merged = np.zeros(len(state.mean), bool)
        merged[kept] = merged[absorbed] = True
        lost = merged[state.nearest] & (state.nearest >= 0)
        lost &= state.is_open & ~merged
        rows = np.flatnonzero(lost).astype(np.int32)
        with self._threads_for(len(rows) + len(kept)):
            kernels.unite_lists(kept, state.lists[absorbed], state)
            kernels.refresh_nearest(rows, state)

    @contextlib.contextmanager
    def _threads_for(self, num_rows: int) -> Iterator[None]:
        """One thread for little work: waking and waiting would cost more."""
        state, threads = self._clusters, numba.get_num_threads()
        if num_rows * state.lists.shape[1] * state.mean.shape[1] < _SERIAL_WORK:
            numba.set_num_threads(1)
        try:
            yield
        finally:
            numba.set_num_threads(threads)

    def _compact(self) -> None:
        """Drops absorbed and retired rows; the large arrays in place."""
        state = self._clusters
        rows = np.flatnonzero(state.is_open)
        m = len(rows)
        if m == len(state.mean):
            return
        new_row = np.full(len(state.mean), -1, np.int32)
        new_row[rows] = np.arange(m, dtype=np.int32)
        new_row = new_row[state.parent]
        for large in (state.mean, state.lists):
            row_kernels.compact_rows(large, rows)
        if self._mean32 is state.mean:
            mean = self._mean32 = state.mean[:m]
        else:
            row_kernels.compact_rows(self._mean32, rows)
            mean, self._mean32 = state.mean[:m], self._mean32[:m]
        lists = state.lists[:m]
        row_kernels.renumber(lists, new_row)
        nearest = state.nearest[rows]
        known = nearest >= 0
        nearest[known] = new_row[nearest[known]]
        self._clusters = Clusters(
            mean=mean,
            variance=state.variance[rows],
            size=state.size[rows],
            origin=state.origin[rows],
            height=state.height[rows],
            lists=lists,
            radius=state.radius[rows],
            nearest=nearest,
            distance=state.distance[rows],
            parent=np.arange(m, dtype=np.int32),
            is_open=np.ones(m, bool),
        )
        self._search.renumber(new_row)
