"""Squared distances of rows, as they decide what is near."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def distance(rows, first, second):
    """Squared distance of two rows: a float64 sum, the same both ways."""
    total = 0.0
    for axis in range(rows.shape[1]):
        step = np.float64(rows[first, axis]) - np.float64(rows[second, axis])
        total += step * step
    return total


@numba.njit(parallel=True, cache=True)
def drop_far(rows, queries, lists, limit):
    """Replaces by -1 what is farther than the limit from its query.

    Args:
        rows: `[n, d]` float.
        queries: `[q]` int64 row numbers.
        lists: `[q, k]` int32 row numbers, -1 where there is none.
        limit: largest squared distance that stays.
    """
    for i in numba.prange(len(queries)):
        for at in range(lists.shape[1]):
            other = lists[i, at]
            if other >= 0 and distance(rows, queries[i], other) > limit:
                lists[i, at] = -1
