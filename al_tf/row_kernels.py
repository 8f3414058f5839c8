"""Inner loops over rows, lists and tiles, compiled by numba.

No kernel uses atomics or random numbers, so the number of threads never
changes a result.
"""

from __future__ import annotations

import numba
import numpy as np

_STRETCH = 256
# Larger than any value of `scan_tile`, and finite: inf - inf would be NaN.
EMPTY = np.finfo(np.float32).max


@numba.njit(nogil=True, fastmath={"reassoc", "nnan", "nsz"}, cache=True)
def scan_tile(
    products, bias, first, exclude, slack, doubled, rows, ids, values
):
    """Keeps for each query the smallest values seen so far.

    Args:
        products: `[q, m]` float32; product + bias is the value or, where
            `doubled` has columns, a lower bound of it up to `slack`.
        bias: `[m]` float32, infinite for rows that must not be found.
        first: id of column 0.
        exclude: `[q]` id that a query must not find (itself), or -1.
        slack: `[q]` float32 rounding error of the lower bounds, else 0.
        doubled: `[q, d]` float32, minus twice the queries, to compute the
            values where products + bias are lower bounds; else `[q, 0]`.
        rows: `[m, d]` or `[m, 0]` float32 database rows of the columns.
        ids: `[q, k]` int32, ascending by value; -1 where still empty.
        values: `[q, k]` float32; where still empty, what a value must be
            below to be kept.
    """
    k = ids.shape[1]
    is_bound = doubled.shape[1] > 0
    below = np.empty(_STRETCH, np.int64)
    for i in range(products.shape[0]):
        row = products[i]
        for start in range(0, bias.size, _STRETCH):
            stretch = row[start : start + _STRETCH]
            stretch_bias = bias[start : start + _STRETCH]
            last = values[i, k - 1] + slack[i]
            # How far the stretch reaches below the k-th value: a branch-free
            # sum, which becomes SIMD (a minimum does not). Nearly every
            # stretch ends here.
            excess = np.float32(0)
            for j in range(stretch.size):
                value = stretch[j] + stretch_bias[j]
                excess += max(np.float32(0), last - value)
            if excess == 0:
                continue
            count = 0
            for j in range(stretch.size):
                below[count] = start + j
                count += stretch[j] + stretch_bias[j] < last
            for j in below[:count]:
                value = row[j] + bias[j]
                if is_bound:
                    # In float64: added up in float32, a bias far larger than
                    # the products would be rounded with each of them.
                    total = np.float64(bias[j])
                    for c in range(doubled.shape[1]):
                        total += np.float64(doubled[i, c]) * rows[j, c]
                    value = np.float32(total)
                if first + j != exclude[i]:
                    _keep(value, first + j, ids[i], values[i])


@numba.njit(nogil=True, cache=True)
def _keep(value, new_id, ids, values):
    """Inserts into an ascending list what is below its last value."""
    at = values.size - 1
    if value >= values[at]:
        return
    while at > 0 and values[at - 1] > value:
        values[at], ids[at] = values[at - 1], ids[at - 1]
        at -= 1
    values[at], ids[at] = value, new_id


@numba.njit(cache=True)
def mutual_lists(ids, capacity):
    """Puts i on the list of every j on i's list, where there is room.

    An approximate search that missed one direction often found the other.

    Args:
        ids: `[n, k]` int32 lists, -1 where there are fewer.
        capacity: width of the result.

    Returns:
        `[n, capacity]` int32 lists.
    """
    n, k = ids.shape
    out = np.full((n, capacity), -1, np.int32)
    out[:, :k] = ids
    filled = np.full(n, k, np.int32)
    for i in range(n):
        for t in range(k):
            j = ids[i, t]
            if j < 0 or filled[j] == capacity:
                continue
            known = False
            for s in range(k):
                known |= ids[j, s] == i
            if not known:
                out[j, filled[j]] = i
                filled[j] += 1
    return out


@numba.njit(cache=True)
def compact_rows(array, rows):
    """Moves array[rows] to the front; `rows` ascend, so nothing is lost."""
    for i in range(rows.size):
        if rows[i] != i:
            array[i] = array[rows[i]]


@numba.njit(parallel=True, cache=True)
def renumber(lists, new_row):
    """Replaces candidates by their new row numbers (-1: gone for good)."""
    for i in numba.prange(lists.shape[0]):
        for t in range(lists.shape[1]):
            if lists[i, t] >= 0:
                lists[i, t] = new_row[lists[i, t]]


@numba.njit(cache=True)
def components(n, first, second):
    """Numbers the connected components of n points by smallest member.

    Args:
        n: number of points.
        first: `[m]` one end of each link.
        second: `[m]` the other end.

    Returns:
        `[n]` int64 component numbers 0, 1, ... in order of first appearance.
    """
    root = np.arange(n)
    for i in range(first.size):
        a, b = first[i], second[i]
        while root[a] != a:
            root[a] = root[root[a]]
            a = root[a]
        while root[b] != b:
            root[b] = root[root[b]]
            b = root[b]
        root[max(a, b)] = min(a, b)
    label = np.empty(n, np.int64)
    count = 0
    for i in range(n):
        # Roots are the smallest members, hence numbered before their members.
        r = root[i]
        while root[r] != r:
            r = root[r]
        root[i] = r
        if r == i:
            label[i] = count
            count += 1
        else:
            label[i] = label[r]
    return label


@numba.njit(parallel=True, cache=True)
def hash_rows(words):
    """64-bit hash of each row of `[n, w]` unsigned words."""
    out = np.empty(words.shape[0], np.uint64)
    for i in numba.prange(words.shape[0]):
        x = np.uint64(0x9E3779B97F4A7C15)
        for j in range(words.shape[1]):
            x = (x ^ np.uint64(words[i, j])) * np.uint64(0xBF58476D1CE4E5B9)
            x ^= x >> np.uint64(29)
        out[i] = x
    return out


@numba.njit(cache=True)
def add_rows(rows, ids, total, square):
    """Adds each row to total[id] and its squared norm to square[id]."""
    for i in range(rows.shape[0]):
        c = ids[i]
        for j in range(rows.shape[1]):
            total[c, j] += rows[i, j]
            square[c] += rows[i, j] * rows[i, j]
