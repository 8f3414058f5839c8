"""Nearest neighbors: the interface that every index implements.

All distances are squared Euclidean. A database row may carry an `offset`
that is added to its distances; the clustering uses it for the variance of a
cluster, so that the same index finds points and clusters. Cosine distance is
the squared Euclidean distance of rows scaled to length sqrt(1/2)
(`al_tf.inputs.preparation` does that).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np


@dataclasses.dataclass(frozen=True)
class Neighbors:
    """The answer of a search.

    Attributes:
        ids: `[queries, k]` int32 database rows, -1 where there are fewer.
        bound: `[queries]` float64; every database row that is not in `ids`
            is at least this far away (infinite when all rows are listed).
            Rigorous for an exact index, an estimate for an approximate one.
    """

    ids: np.ndarray
    bound: np.ndarray


@dataclasses.dataclass(frozen=True)
class Probe:
    """How well an index answers, measured on a sample.

    Attributes:
        recall: share of the true neighbors that it finds, in [0, 1].
        leaves_to_search: leaves of a tree that a query visits; None for an
            index without a tree.
        num_leaves: leaves of the tree.
    """

    recall: float = 1.0
    leaves_to_search: int | None = None
    num_leaves: int | None = None

    def facts(self) -> dict[str, float | int]:
        """The attributes that are known, by name."""
        values = dataclasses.asdict(self)
        return {name: v for name, v in values.items() if v is not None}


class NeighborIndex(Protocol):
    """A built index over `[n, d]` float32 rows.

    The clustering uses an index through these members alone, so that a new
    one needs to implement nothing else.
    """

    @property
    def probe(self) -> Probe:
        """How well the index answers."""

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: np.ndarray,
        within: np.ndarray | None = None,
    ) -> Neighbors:
        """Finds the k nearest rows of each query.

        Args:
            queries: `[q, d]` float32.
            k: neighbors per query.
            exclude: `[q]` the row that a query must not find (itself), or -1.
            within: `[q]` distances beyond which rows need not be listed. An
                index may ignore it. `bound` lies above it where no nearer row
                was left out.

        Returns:
            `[q, k]` neighbors, nearest first.
        """

    def search_all(
        self,
        k: int,
        within: np.ndarray | None = None,
        report: Callable[[int], None] | None = None,
    ) -> Neighbors:
        """Finds the k nearest other rows of each row.

        An index that is asked about all of its rows can save work: one
        product serves two rows, one visit of a leaf many queries.

        Args:
            k: neighbors per row, itself excluded.
            within: `[n]`, see `search`.
            report: called with the number of rows answered so far.

        Returns:
            Neighbors of all rows. `ids` may be wider than k: an approximate
            index also lists rows that found the row themselves.
        """
