"""Which index answers the queries of a clustering, and when it is rebuilt."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from al_tf.neighbors.exact_index import ExactIndex
from al_tf.neighbors.protocol import NeighborIndex, Neighbors, Probe

# Builds an approximate index from (rows, offsets, k).
IndexFactory = Callable[[np.ndarray, np.ndarray, int], NeighborIndex]
# Finds the neighbors of clusters, given by row number.
Search = Callable[[np.ndarray], Neighbors]

# Queries of one search: this bounds its memory and paces the progress.
QUERY_BLOCK = 65536
# Multiply-adds for which an exact answer is preferred to an approximate one.
CHEAP_WORK = 2e10
# An index is old when less than this share of its rows are clusters still.
OLD_SHARE = 0.7


class FirstAnswer(NamedTuple):
    """What the first search of a clustering, among single points, found.

    Attributes:
        neighbors: of all distinct points.
        probe: how well the index that answered does so.
    """

    neighbors: Neighbors
    probe: Probe


@dataclasses.dataclass
class Effort:
    """What a clustering cost.

    Attributes:
        rounds: rounds of simultaneous merges.
        queries: nearest-neighbor queries answered, all indices together.
        full_scans: of these, queries that read every cluster in float64.
        index_builds: approximate indices built.
    """

    rounds: int = 0
    queries: int = 0
    full_scans: int = 0
    index_builds: int = 0


def exact_search(
    means: np.ndarray,
    variances: np.ndarray,
    num_neighbors: int,
    threshold: float = np.inf,
) -> Search:
    """Exact answers of the present clusters (infinite variance: hidden).

    Clusters whose average linkage is above the threshold are not listed.
    """
    index = ExactIndex(means, variances)

    def search(rows: np.ndarray) -> Neighbors:
        within = threshold - variances[rows]
        return index.search(means[rows], num_neighbors, rows, within)

    return search


class ClusterSearch:
    """An approximate index over the clusters of some earlier round, if any.

    Args:
        make_index: builds it; None: every search is exact.
        k: neighbors per query.
        effort: where builds are counted.
    """

    def __init__(self, make_index: IndexFactory | None, k: int, effort: Effort):
        self._make_index, self._k, self._effort = make_index, k, effort
        self._index: NeighborIndex | None = None
        # Cluster that each row of the index is part of now; -1: retired.
        self._members = np.zeros(0, np.int32)

    def first(
        self,
        means: np.ndarray,
        variances: np.ndarray,
        threshold: float,
        report: Callable[[int], None],
    ) -> FirstAnswer:
        """Finds the neighbors of all points at the beginning.

        The index is not kept: it may read the means, which change from now on,
        and a copy of millions would be the largest thing in memory.

        Args:
            means: `[n, d]` float32.
            variances: `[n]` float64.
            threshold: neighbors farther away need not be listed.
            report: called with the number of points answered.
        """
        index: NeighborIndex
        if self._make_index is None:
            index = ExactIndex(means, variances)
        else:
            index = self._make_index(means, variances, self._k)
            self._effort.index_builds += 1
        neighbors = index.search_all(self._k, threshold - variances, report)
        return FirstAnswer(neighbors, index.probe)

    def build(self, means: np.ndarray, variances: np.ndarray) -> None:
        """Builds the index anew over the present clusters."""
        assert self._make_index is not None
        self._index = None  # Its memory is needed.
        self._index = self._make_index(means.copy(), variances.copy(), self._k)
        self._members = np.arange(len(means), dtype=np.int32)
        self._effort.index_builds += 1

    def indexed(self, means: np.ndarray) -> Search:
        """Searches the index; `means` are those of the present clusters."""

        def search(rows: np.ndarray) -> Neighbors:
            assert self._index is not None
            # A query must not find itself. In an old index it may be several
            # rows, which are told apart after the search.
            is_fresh = len(self._members) == len(means)
            exclude = rows if is_fresh else np.full(len(rows), -1)
            found = self._index.search(means[rows], self._k, exclude)
            ids = np.where(found.ids >= 0, self._members[found.ids], -1)
            return Neighbors(ids.astype(np.int32), found.bound)

        return search

    def renumber(self, new_row: np.ndarray) -> None:
        """Follows a renumbering of the clusters (-1: retired)."""
        if self._index is None:
            return
        standing = self._members >= 0
        self._members[standing] = new_row[self._members[standing]]

    def is_old(self, num_open: int) -> bool:
        """Whether it is missing or describes too early a round."""
        return self._index is None or (
            num_open < OLD_SHARE * len(self._members)
        )

    def prefers_index(
        self, num_queries: int, means: np.ndarray, num_open: int
    ) -> bool:
        """Whether the index, rebuilt if it is old, should answer.

        A fraction of a second buys an exact answer. Beyond that, a tree of
        2 sqrt(n) leaves costs about as much to build as 16 sqrt(n) queries
        that read everything, and a query to a standing tree far less.
        """
        n, d = means.shape
        if self._make_index is None or float(num_queries) * n * d < CHEAP_WORK:
            return False
        return not self.is_old(num_open) or num_queries > 16 * np.sqrt(n)
