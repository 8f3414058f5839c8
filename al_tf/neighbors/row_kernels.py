"""Inner loops over rows, lists and tiles, compiled by numba.

No kernel uses atomics or random numbers, so the number of threads never
changes a result.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

_STRETCH = 32
# Larger than any value of `scan_tile`, and finite: inf - inf would be NaN.
EMPTY = np.finfo(np.float32).max


class Side(NamedTuple):
    """The rows of one side of a tile of products.

    Attributes:
        first: id of the first row.
        bias: `[m]` float32, infinite for rows that must not be found.
        slack: `[m]` float32, see `scan_tile`.
        ids: `[m, k]` int32 neighbor lists, ascending by value; -1 where still
            empty.
        values: `[m, k]` float32; in an empty place, the value below which a
            row is kept.
    """

    first: int
    bias: np.ndarray
    slack: np.ndarray
    ids: np.ndarray
    values: np.ndarray


def without_lists(first, bias):
    """A `Side` whose rows can be found and search for nothing."""
    ids = np.full((len(bias), 1), -1, np.int32)
    values = np.full((len(bias), 1), -EMPTY, np.float32)
    return Side(first, bias, np.zeros(len(bias), np.float32), ids, values)


@numba.njit(nogil=True, fastmath={"reassoc", "nnan", "nsz"}, cache=True)
def scan_tile(products, left, right, exclude, doubled, rows, most):
    """Offers the rows of each side to the lists of the other.

    To row i of the left, row j of the right has the value product + bias[j];
    the other way round it is product + bias[i].

    Args:
        products: `[m, r]` float32; where `doubled` has columns, lower bounds
            that may also be too large by less than `slack`.
        left: `Side` of m rows.
        right: `Side` of r rows.
        exclude: `[m]` id that a row of the left must not find (itself), or -1.
        doubled: `[m, d]` float32, minus twice the rows of the left, to compute
            the products where `products` holds bounds; else `[m, 0]`.
        rows: `[r, d]` or `[r, 0]` float32 rows of the right.
        most: stop after the row of the left by which more products than this
            have been computed where bounds did not rule a pair out.

    Returns:
        (rows of the left that are done, products that were computed).
    """
    is_bound = doubled.shape[1] > 0
    computed = 0
    left_cut = left.values[:, -1] + left.slack
    right_cut = right.values[:, -1] + right.slack
    left_bias, right_bias = left.bias, right.bias
    size = right_bias.size
    for i in range(left_bias.size):
        bias = left_bias[i]
        for stretch in range(-(-size // _STRETCH)):
            start = stretch * _STRETCH
            cut = left_cut[i]
            if start + _STRETCH <= size:
                # How far the stretch falls below the lists' last values: a
                # branch-free sum of fixed length, which compiles to SIMD (a
                # minimum does not). Nearly every stretch ends here.
                excess = np.float32(0)
                for at in range(_STRETCH):
                    product = products[i, start + at]
                    below = cut - (product + right_bias[start + at])
                    excess += max(np.float32(0), below)
                    below = right_cut[start + at] - (product + bias)
                    excess += max(np.float32(0), below)
                if excess == 0:
                    continue
            for j in range(start, min(start + _STRETCH, size)):
                product = np.float64(products[i, j])
                if (
                    product + right.bias[j] >= left_cut[i]
                    and product + left.bias[i] >= right_cut[j]
                ) or right.first + j == exclude[i]:
                    continue
                if is_bound:
                    computed += 1
                    product = _product(doubled[i], rows[j])
                value = np.float32(product + right.bias[j])
                _keep(value, right.first + j, left.ids[i], left.values[i])
                left_cut[i] = left.values[i, -1] + left.slack[i]
                value = np.float32(product + left.bias[i])
                _keep(value, left.first + i, right.ids[j], right.values[j])
                right_cut[j] = right.values[j, -1] + right.slack[j]
        if computed > most:
            return i + 1, computed
    return left_bias.size, computed


@numba.njit(nogil=True, fastmath={"reassoc", "nnan", "nsz"}, cache=True)
def _product(first, second):
    """Dot product of float32 rows, summed in float64.

    In float32, a bias far larger than the products would lose them to rounding.
    """
    total = 0.0
    for c in range(first.size):
        total += np.float64(first[c]) * second[c]
    return total


@numba.njit(nogil=True, cache=True)
def _keep(value, new_id, ids, values):
    """Inserts a value into an ascending list if it is below the last."""
    at = values.size - 1
    if value >= values[at]:
        return
    while at > 0 and values[at - 1] > value:
        values[at], ids[at] = values[at - 1], ids[at - 1]
        at -= 1
    values[at], ids[at] = value, new_id


@numba.njit(parallel=True, fastmath={"reassoc", "nsz"}, cache=True)
def nearest_candidates(queries, rows, candidates, exclude, ids, distances):
    """Keeps the nearest of each query's candidates.

    Args:
        queries: `[q, d]` float32.
        rows: `[n, d]` float32.
        candidates: `[q, m]` int32 rows, in any order; -1 where there are fewer.
        exclude: `[q]` the row that a query must not find (itself), or -1.
        ids: `[q, k]` int32, filled with -1: becomes the lists, ascending by
            distance.
        distances: `[q, k]` float32, filled with infinity: becomes the squared
            distances.
    """
    for i in numba.prange(queries.shape[0]):
        query = queries[i]
        for t in range(candidates.shape[1]):
            row = candidates[i, t]
            if row < 0 or row == exclude[i]:
                continue
            square = np.float32(0)
            for c in range(query.size):
                apart = query[c] - rows[row, c]
                square += apart * apart
            _keep(square, row, ids[i], distances[i])


@numba.njit(cache=True)
def mutual_lists(ids, capacity):
    """Puts i on the list of every j on i's list, where there is room.

    An approximate search that misses one direction often finds the other.

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
    """Replaces candidates by their new row numbers (-1: retired)."""
    for i in numba.prange(lists.shape[0]):
        for t in range(lists.shape[1]):
            if lists[i, t] >= 0:
                lists[i, t] = new_row[lists[i, t]]


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
