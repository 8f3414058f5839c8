"""Near rows of a pool that falls into groups: most pairs are never looked at.

Each row belongs to the nearest of some rows, its pivot. If x with pivot p and y
with pivot q are at most r apart, then by the triangle inequality

    |x - q| <= |x - y| + |y - q| <= r + |y - p| <= 2 r + |x - p|,

so x need not be compared with the rows of any pivot that is farther away. In a
pool without groups nearly every pivot is as far as the nearest; then there is
nothing to save, and the index is asked in place of this.

Distances to pivots are float32 products, of which every comparison allows for
the largest rounding error; `ExactIndex` states the bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np

from al_tf.duplicates.distances import distance
from al_tf.neighbors.row_order import spread_sample

# Pools of fewer rows are searched in seconds.
SMALLEST = 4096
_MOST_PIVOTS = 8192
_PIVOTS_PER_ROOT = 8
# Pairs looked at one by one, as a share of all, that still cost less than the
# search of all by tiles.
MOST_SHARE = 0.1
_BLOCK_ROWS = 2048
_CANDIDATES = 8192
_UNIT_ROUNDOFF = 2.0**-24


class Lists(NamedTuple):
    """Near rows of each row.

    Attributes:
        ids: `[n, k]` int32, -1 in the other places.
        is_whole: `[n]` bool: no other row is near.
    """

    ids: np.ndarray
    is_whole: np.ndarray


def near_lists(
    rows: np.ndarray,
    rounded: np.ndarray,
    limit: float,
    within: float,
    k: int,
    report: Callable[[int], None] | None = None,
) -> Lists | None:
    """Lists near rows, or returns None where the pool has no groups.

    Args:
        rows: `[n, d]` float64, of length at most 1.
        rounded: the same as float32.
        limit: largest squared distance of near rows.
        within: the same for `rounded`, enlarged by what rounding changes.
        k: length of the lists.
        report: called with the number of rows that are done.
    """
    n, d = rounded.shape
    if n < SMALLEST:
        return None
    # Of a squared distance of rows of length 1.
    error = np.float32(_UNIT_ROUNDOFF * (2.1 * (d + 6) + 8))
    square = np.einsum("nd,nd->n", rounded, rounded)
    group, wanted = pivot_groups(rounded, square, within, error)
    sizes = np.bincount(group, minlength=len(wanted)).astype(np.float64)
    if sizes @ (wanted @ sizes) > MOST_SHARE * float(n) * n:
        return None
    order = np.argsort(group, kind="stable")
    members = np.split(order, np.cumsum(sizes[:-1]).astype(np.int64))
    lists = Lists(np.full((n, k), -1, np.int32), np.ones(n, bool))
    state = group, rows, limit, *lists, np.zeros(n, np.int64)
    done = 0
    for number, own in enumerate(members):
        others = np.flatnonzero(wanted[number, number:]) + number
        near = np.concatenate([order[:0], *(members[i] for i in others)])
        for at in range(0, len(own), _BLOCK_ROWS):
            first = own[at : at + _BLOCK_ROWS]
            doubled = -2 * rounded[first]
            cuts = np.float32(within + error) - square[first]
            for start in range(0, len(near), _CANDIDATES):
                second = near[start : start + _CANDIDATES]
                values = doubled @ rounded[second].T
                values += square[second]
                _collect(values, cuts, first, second, *state)
        done += len(own)
        if report:
            report(done)
    return lists


def pivot_groups(
    rounded: np.ndarray, square: np.ndarray, within: float, error: np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Puts rows into groups and finds the groups that may hold near rows.

    Args:
        rounded: `[n, d]` float32, of length at most 1.
        square: `[n]` float32 squared norms.
        within: largest squared distance of near rows.
        error: largest rounding error of a squared distance.

    Returns:
        (`[n]` int64 the group of each row, `[groups, groups]` bool: rows of the
        two may be near each other).
    """
    n = len(rounded)
    count = min(_MOST_PIVOTS, int(_PIVOTS_PER_ROOT * np.sqrt(n)))
    pivots = spread_sample(rounded, count)
    pivot_square = spread_sample(square, count)
    group = np.empty(n, np.int64)
    wanted = np.zeros((len(pivots), len(pivots)), bool)
    to_pivots = (-2 * pivots).T.copy()
    # Rounding may have put a row with a pivot that is not quite its nearest.
    reach = 2 * np.sqrt(within) + np.sqrt(2 * error)
    for start in range(0, n, _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        values = rounded[block] @ to_pivots
        values += pivot_square
        _assign(values, square[block], error, reach, group[block], wanted)
    # Either row of a pair wants the group of the other.
    return group, wanted & wanted.T


@numba.njit(cache=True)
def _assign(values, square, error, reach, group, wanted):
    """Finds the pivot of each row, and those within reach of it.

    Args:
        values: `[m, p]` float32 squared distances less the row's own square.
        square: `[m]` float32.
        error: largest error of a squared distance.
        reach: how much farther than the nearest a pivot may be.
        group: `[m]` filled with the nearest pivots.
        wanted: `[p, p]` bool: set where rows of the first may be near rows of
            the second.
    """
    for i in range(values.shape[0]):
        nearest = 0
        for j in range(values.shape[1]):
            if values[i, j] < values[i, nearest]:
                nearest = j
        group[i] = nearest
        own = max(values[i, nearest] + square[i] + error, 0.0)
        cut = (np.sqrt(own) + reach) ** 2 + 2 * error - square[i]
        for j in range(values.shape[1]):
            if values[i, j] <= cut:
                wanted[nearest, j] = True


@numba.njit(cache=True)
def _collect(
    values, cuts, first, second, group, rows, limit, ids, is_whole, filled
):
    """Puts near rows on each other's lists.

    Args:
        values: `[m, r]` float32 squared distances less the square of `first`.
        cuts: `[m]` float32, the largest that may be near.
        first: `[m]` int64 row numbers.
        second: `[r]` int64 row numbers; of the same group, each pair stands
            twice.
        group: `[n]` int64.
        rows: `[n, d]` float64.
        limit: largest squared distance of near rows.
        ids: `[n, k]` int32 lists.
        is_whole: `[n]` bool, cleared where a list is too short.
        filled: `[n]` int64 lengths of the lists.
    """
    k = ids.shape[1]
    for i in range(len(first)):
        for j in range(len(second)):
            if values[i, j] > cuts[i]:
                continue
            a, b = first[i], second[j]
            if b == a or (group[a] == group[b] and b < a):
                continue
            # Of two lists that are known to be too short nothing is asked.
            if not (is_whole[a] or is_whole[b]):
                continue
            if distance(rows, a, b) > limit:
                continue
            for row, other in ((a, b), (b, a)):
                if filled[row] < k:
                    ids[row, filled[row]] = other
                    filled[row] += 1
                else:
                    is_whole[row] = False
