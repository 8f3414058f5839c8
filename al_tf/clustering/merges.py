"""The merges of a clustering, recorded round by round."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Merges(NamedTuple):
    """The tree below the threshold, one entry per merge.

    Attributes:
        first: `[m]` int64 id of a point in one cluster (its smallest).
        second: `[m]` int64 id of a point in the other (its smallest).
        distance: `[m]` float64 average linkage; never below that of the
            merges that made the two clusters.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray


class MergeRecord:
    """Merges in the order in which they were made."""

    def __init__(self) -> None:
        self._parts: list[Merges] = []

    def add(self, merges: Merges) -> None:
        """Adds merges."""
        self._parts.append(merges)

    def all(self) -> Merges:
        """All merges in the order of the calls of `add`."""
        empty = Merges(
            np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        )
        joined = zip(*[empty, *self._parts], strict=True)
        return Merges(*map(np.concatenate, joined))

    def within(self, threshold: float) -> Merges:
        """All merges at or below a threshold, nearest first."""
        first, second, distance = self.all()
        keep = np.flatnonzero(distance <= threshold)
        keep = keep[np.argsort(distance[keep], kind="stable")]
        return Merges(
            first[keep].astype(np.int64),
            second[keep].astype(np.int64),
            distance[keep],
        )

    def tightened(self, threshold: float, merges_wanted: int | None) -> float:
        """Lowers a threshold once it is known to be too high.

        Any `merges_wanted` merges of the tree reach at least as high as the
        lowest ones; so the highest of them bounds the wanted threshold.
        """
        if merges_wanted is None:
            return threshold
        if merges_wanted <= 0:
            return 0.0  # Identical rows stay together all the same.
        distance = self.all().distance
        if len(distance) < merges_wanted:
            return threshold
        bound = np.partition(distance, merges_wanted - 1)[merges_wanted - 1]
        return min(threshold, bound)
