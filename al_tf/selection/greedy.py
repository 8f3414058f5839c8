"""Greedy selection one pick at a time: k-center and k-means++.

Both keep one number for each candidate, its distance to the nearest pick, and
lower it after every pick: O(n d) time per pick, O(n) memory. A pick is one
pass over the rows, bound by memory: one thread is enough, and more would spend
most of their time waiting for each other between picks.
"""

from __future__ import annotations

import numpy as np
import threadpoolctl

_CENTER_BLOCK = 64


@threadpoolctl.threadpool_limits.wrap(limits=1, user_api="blas")
def k_center(
    rows: np.ndarray, centers: np.ndarray, batch_size: int, first: int
) -> np.ndarray:
    """Picks rows farthest from all centers and earlier picks.

    Args:
        rows: `[n, d]` float32 candidates.
        centers: `[m, d]` float32 that are covered already.
        batch_size: 1 to n.
        first: picked first if there are no centers.

    Returns:
        `[batch_size]` positions in pick order, all different. Of equally far
        candidates, the first is picked.
    """
    square = np.einsum("nd,nd->n", rows, rows)
    distance = np.full(len(rows), np.inf, np.float32)
    for start in range(0, len(centers), _CENTER_BLOCK):
        block = centers[start : start + _CENTER_BLOCK]
        offset = np.einsum("md,md->m", block, block)
        nearest = (offset - 2 * (rows @ block.T)).min(1)
        np.minimum(distance, np.maximum(square + nearest, 0), out=distance)
    picks = np.empty(batch_size, np.int64)
    for i in range(batch_size):
        pick = first if np.isinf(distance[0]) and i == 0 else distance.argmax()
        picks[i] = pick
        product = rows @ (-2 * rows[pick])
        product += square
        product += square[pick]
        np.minimum(distance, np.maximum(product, 0, out=product), out=distance)
        # Below every distance, even that of an exact copy.
        distance[pick] = -np.inf
    return picks


def last_layer_errors(probabilities: np.ndarray) -> np.ndarray:
    """One factor of the gradient: p - onehot(argmax p), `[n, classes]`."""
    errors = probabilities.copy()
    errors[np.arange(len(errors)), errors.argmax(1)] -= 1
    return errors


@threadpoolctl.threadpool_limits.wrap(limits=1, user_api="blas")
def k_means_plus_plus(
    errors: np.ndarray,
    rows: np.ndarray,
    batch_size: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """k-means++ seeding on outer products, without forming them.

    For g_i = errors_i x rows_i: |g_i - g_j|^2 = |g_i|^2 + |g_j|^2
    - 2 (errors_i . errors_j)(rows_i . rows_j). The first pick is the largest
    gradient, as in BADGE's code (a random one if all are equally large); each
    other is drawn in proportion to the
    squared distance to the nearest pick.

    Args:
        errors: `[n, classes]` float32.
        rows: `[n, d]` float32.
        batch_size: 1 to n.
        generator: makes the draws.

    Returns:
        `[batch_size]` positions in pick order, all different.
    """
    square = np.einsum("nc,nc->n", errors, errors)
    square *= np.einsum("nd,nd->n", rows, rows)
    distance = np.full(len(rows), np.inf, np.float32)
    open_ = np.ones(len(rows), bool)
    picks = np.empty(batch_size, np.int64)
    pick = int(square.argmax())
    if (square == square[pick]).all():
        # As with gradients that are all zero: none is the largest.
        pick = int(generator.integers(len(square)))
    for i in range(batch_size):
        if i:
            pick = _draw(distance, open_, generator)
        picks[i] = pick
        open_[pick] = False
        product = errors @ errors[pick]
        product *= rows @ rows[pick]
        product *= -2
        product += square
        product += square[pick]
        np.minimum(distance, np.maximum(product, 0, out=product), out=distance)
        distance[pick] = 0
    return picks


def _draw(
    distance: np.ndarray, open_: np.ndarray, generator: np.random.Generator
) -> int:
    """Draws a position with probability proportional to its distance."""
    mass = np.cumsum(distance, dtype=np.float64)
    if mass[-1] > 0:
        at = np.searchsorted(mass, generator.random() * mass[-1], side="right")
        at = min(int(at), len(distance) - 1)
        if open_[at]:
            return at
    # Every candidate left coincides with a pick: any of them is as good.
    return int(generator.choice(np.flatnonzero(open_)))
