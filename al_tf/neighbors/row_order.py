"""Samples of rows, and an order in which near rows follow each other."""

from __future__ import annotations

import numpy as np

_ORDERED_ROWS = 4096


def spread_sample(rows: np.ndarray, size: int) -> np.ndarray:
    """At most `size` rows at even steps."""
    step = -(-len(rows) // size)
    return rows[:: max(1, step)]


def locality_order(rows: np.ndarray) -> np.ndarray:
    """An order in which near rows follow each other.

    Queries that visit the same leaves of a tree one after another find them
    in the cache. Rows are grouped by the nearest of sqrt(n) pivots.

    Args:
        rows: `[n, d]` float32.

    Returns:
        `[n]` int64, a permutation.
    """
    n = len(rows)
    pivots = spread_sample(rows, max(1, int(np.sqrt(n))))
    doubled, bias = -2 * pivots.T, np.einsum("pd,pd->p", pivots, pivots)
    nearest = np.empty(n, np.int32)
    for start in range(0, n, _ORDERED_ROWS):
        block = slice(start, start + _ORDERED_ROWS)
        nearest[block] = (rows[block] @ doubled + bias).argmin(1)
    return np.argsort(nearest, kind="stable")
