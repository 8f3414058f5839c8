"""Cluster-MarginV: volume-based sampling of linear separators in the plane.

The theory section of Cluster-Margin (Citovsky et al. 2021, section 5) studies
homogeneous linear separators and a sampler that looks only at points of small
margin and, among them, picks the batch that leaves the smallest version
space: the one that minimizes the largest disagreement between two separators
that are consistent with all labels so far and agree on the whole batch.

In the plane this can be done exactly. A separator is an angle t, labeling x
by the sign of x . (cos t, sin t); the version space is an arc of angles. The
label of a point at angle a flips at the *critical angle* a + pi/2 (mod pi).
Separators that agree on a batch lie between neighboring critical angles, so
the largest disagreement is the widest gap that the batch leaves in the arc,
and the best batch cuts the arc as evenly as the points allow. For a
rotation-invariant distribution the disagreement is the angle over pi.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from runkit import InputError


@dataclasses.dataclass(frozen=True)
class VersionSpace:
    """An arc of separators: angles low to high, at most pi wide.

    Attributes:
        low: radians.
        high: radians, low <= high.
    """

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The separator in the middle, the safest guess."""
        return (self.low + self.high) / 2

    @property
    def disagreement(self) -> float:
        """Largest disagreement of two separators in the arc, in [0, 1]."""
        return (self.high - self.low) / np.pi

    def critical_angles(self, points: np.ndarray) -> np.ndarray:
        """The angle at which each point's label flips.

        Args:
            points: `[n, 2]`, not zero.

        Returns:
            `[n]` angles in [low, low + pi).
        """
        flips = np.arctan2(points[:, 1], points[:, 0]) + np.pi / 2
        return self.low + np.mod(flips - self.low, np.pi)

    def shrink(self, points: np.ndarray, labels: np.ndarray) -> VersionSpace:
        """The part of the arc that agrees with the labels.

        Args:
            points: `[n, 2]`.
            labels: `[n]` of -1 or +1.

        Raises:
            InputError: no separator in the arc agrees.
        """
        low, high = self.low, self.high
        flips = self.critical_angles(points)
        for flip, point, label in zip(flips, points, labels, strict=True):
            if not self.low < flip < self.high:
                continue
            # Whether the separators below the flip give this label.
            below = (self.low + flip) / 2
            agrees = point @ [np.cos(below), np.sin(below)] * label > 0
            low, high = (
                (low, min(high, flip)) if agrees else (max(low, flip), high)
            )
        if low >= high:
            raise InputError(
                "no separator through the origin agrees with the labels",
                where="labels",
            )
        return VersionSpace(low, high)


def cluster_margin_v_batch(
    points: np.ndarray,
    space: VersionSpace,
    *,
    batch_size: int,
    margin: float = np.inf,
) -> np.ndarray:
    """Picks the low-margin batch that minimizes the largest disagreement.

    Args:
        points: `[n, 2]` unlabeled points.
        space: the version space.
        batch_size: largest number of points to pick. Fewer are picked if the
            arc holds fewer critical angles (the other labels are known
            already), or if more would not narrow the widest part.
        margin: only points with |w . x| at most this are considered, w being
            the middle of the version space.

    Returns:
        Positions in `points`, ascending by critical angle.
    """
    direction = np.array([np.cos(space.middle), np.sin(space.middle)])
    near = np.flatnonzero(np.abs(points @ direction) <= margin)
    flips = space.critical_angles(points[near])
    inside = (flips > space.low) & (flips < space.high)
    near, flips = near[inside], flips[inside]
    order = np.argsort(flips, kind="stable")
    near, flips = near[order], flips[order]
    if len(flips) <= batch_size:
        return near
    # Sixty halvings bring the bound down to the rounding of an angle.
    low, high = 0.0, space.high - space.low
    for _ in range(60):
        middle = (low + high) / 2
        if _cuts(flips, space, middle, batch_size) is None:
            low = middle
        else:
            high = middle
    picks = _cuts(flips, space, high, batch_size)
    assert picks is not None
    return near[picks]


def largest_gap(angles: np.ndarray, space: VersionSpace) -> float:
    """Widest part of the arc between neighboring angles, in radians."""
    ends = np.concatenate([[space.low], np.sort(angles), [space.high]])
    return float(np.diff(ends).max())


def _cuts(
    flips: np.ndarray, space: VersionSpace, gap: float, batch_size: int
) -> np.ndarray | None:
    """Fewest cuts with no part wider than `gap`; None if too many.

    Going as far as the gap allows before each cut is optimal.
    """
    picks: list[int] = []
    at = space.low
    while space.high - at > gap:
        pick = int(np.searchsorted(flips, at + gap, side="right")) - 1
        if pick < 0 or flips[pick] <= at or len(picks) == batch_size:
            return None
        picks.append(pick)
        at = flips[pick]
    return np.array(picks, np.int64)
