"""The inner loops of `al_tf.clustering.average_linkage`, compiled by numba.

Shapes: n clusters, d dimensions, k candidates per cluster. A cluster is a row
number; `parent[row]` is the row that it was merged into, itself while alive.
No kernel uses atomics or random numbers, so the number of threads never
changes a result.
"""

from __future__ import annotations

import numba
import numpy as np

from runkit import hashing

_finalize = numba.njit(cache=True)(hashing.finalize)

# Sums may be reordered for SIMD; infinities and signs keep their meaning.
_REORDER = {"reassoc", "contract", "nsz"}


@numba.njit(fastmath=_REORDER, cache=True)
def linkage(mean, variance, a, b):
    """Average squared distance between the members of clusters a and b."""
    total = mean.dtype.type(0)
    for j in range(mean.shape[1]):
        step = mean[a, j] - mean[b, j]
        total += step * step
    return (variance[a] + variance[b]) + np.float64(total)


@numba.njit(cache=True)
def pair_key(a, b):
    """Scrambled order of unordered pairs, distinct for distinct pairs.

    Ties in distance are broken by it: a scrambled order has local minima
    everywhere, so that many tied pairs merge in one round; the order of the
    ids would merge a chain of ties one pair at a time.
    """
    low, high = min(a, b), max(a, b)
    x = (np.uint64(low) << np.uint64(32)) | np.uint64(high)
    return _finalize(x)


@numba.njit(cache=True)
def _is_nearer(distance, key, best_distance, best_key):
    if distance != best_distance:
        return distance < best_distance
    return key < best_key


@numba.njit(cache=True)
def _insert(ids, distances, count, capacity, new_id, new_distance):
    """Keeps the `capacity` nearest, ascending; returns (count, dropped).

    `dropped` is the distance that fell out, infinite if none did.
    """
    dropped = np.inf
    if count == capacity:
        last_distance, last_id = distances[count - 1], ids[count - 1]
        if new_distance > last_distance or (
            new_distance == last_distance and new_id > last_id
        ):
            return count, new_distance
        dropped = last_distance
        count -= 1
    at = count
    while at > 0 and (
        distances[at - 1] > new_distance
        or (distances[at - 1] == new_distance and ids[at - 1] > new_id)
    ):
        distances[at], ids[at] = distances[at - 1], ids[at - 1]
        at -= 1
    distances[at], ids[at] = new_distance, new_id
    return count + 1, dropped


@numba.njit(cache=True)
def _keep_nearest(
    row, pool, mean, variance, parent, lists, radius, nearest, distance
):
    """Makes the nearest clusters of `pool` the candidate list of `row`.

    Candidates that do not fit lower the radius: they are off the list now.
    """
    k = lists.shape[1]
    for t in range(pool.size):
        if pool[t] >= 0:
            pool[t] = parent[pool[t]]
    pool.sort()
    ids = np.empty(k, np.int32)
    distances = np.empty(k, np.float64)
    count, previous = 0, np.int32(-1)
    best, best_distance, best_key = np.int32(-1), np.inf, np.uint64(0)
    for t in range(pool.size):
        other = pool[t]
        if other < 0 or other in (previous, row):
            continue
        previous = other
        d = linkage(mean, variance, row, other)
        key = pair_key(row, other)
        if best < 0 or _is_nearer(d, key, best_distance, best_key):
            best, best_distance, best_key = other, d, key
        count, dropped = _insert(ids, distances, count, k, other, d)
        radius[row] = min(radius[row], dropped)
    for t in range(k):
        lists[row, t] = ids[t] if t < count else -1
    nearest[row], distance[row] = best, best_distance


@numba.njit(parallel=True, cache=True)
def refresh_nearest(
    rows, mean, variance, parent, lists, radius, nearest, distance
):
    """Recomputes the nearest candidate of `rows` after others merged."""
    for i in numba.prange(rows.size):
        row = rows[i]
        pool = lists[row].copy()
        _keep_nearest(
            row, pool, mean, variance, parent, lists, radius, nearest, distance
        )


@numba.njit(parallel=True, cache=True)
def unite_lists(
    rows, other_lists, mean, variance, parent, lists, radius, nearest, distance
):
    """Unites the list of rows[i] with other_lists[i], keeping the nearest."""
    k = lists.shape[1]
    for i in numba.prange(rows.size):
        row = rows[i]
        pool = np.empty(k + other_lists.shape[1], np.int32)
        pool[:k] = lists[row]
        pool[k:] = other_lists[i]
        _keep_nearest(
            row, pool, mean, variance, parent, lists, radius, nearest, distance
        )


@numba.njit(cache=True)
def mutual_pairs(ready, nearest, distance, threshold):
    """Pairs that are each other's nearest cluster, within the threshold.

    A cluster also hears of those that call *it* nearest: with ties, or by an
    approximate search, they can be missing on its own list. So the nearest
    pair of all always merges and no round is without progress.

    Args:
        ready: `[n]` clusters whose nearest is certified; only they merge.
        nearest: `[n]` nearest cluster, or -1.
        distance: `[n]` linkage to it.
        threshold: larger distances do not merge.

    Returns:
        (kept [p], absorbed [p], distance [p]), kept < absorbed.
    """
    n = ready.size
    best, best_distance = nearest.copy(), distance.copy()
    for a in range(n):
        b = nearest[a]
        if not ready[a] or b < 0 or not ready[b] or distance[a] > threshold:
            continue
        if best[b] < 0 or _is_nearer(
            distance[a],
            pair_key(a, b),
            best_distance[b],
            pair_key(b, best[b]),
        ):
            best[b], best_distance[b] = a, distance[a]
    kept = np.empty(n // 2, np.int32)
    absorbed = np.empty(n // 2, np.int32)
    heights = np.empty(n // 2, np.float64)
    count = 0
    for a in range(n):
        b = best[a]
        if (
            ready[a]
            and b > a
            and ready[b]
            and best[b] == a
            and best_distance[a] <= threshold
        ):
            kept[count], absorbed[count] = a, b
            heights[count] = min(best_distance[a], best_distance[b])
            count += 1
    return kept[:count].copy(), absorbed[:count].copy(), heights[:count].copy()


@numba.njit(parallel=True, cache=True)
def merge_moments(kept, absorbed, mean, variance, size, radius, parent):
    """Moments, sizes and radii of the unions; `absorbed` rows die."""
    for i in numba.prange(kept.size):
        a, b = kept[i], absorbed[i]
        total = size[a] + size[b]
        wa, wb = size[a] / total, size[b] / total
        between = 0.0
        for j in range(mean.shape[1]):
            step = np.float64(mean[a, j]) - np.float64(mean[b, j])
            between += step * step
            mean[a, j] = wa * mean[a, j] + wb * mean[b, j]
        variance[a] = (wa * variance[a] + wb * variance[b]) + wa * wb * between
        radius[a] = wa * radius[a] + wb * radius[b]
        size[a] = total
        parent[b] = a


@numba.njit(parallel=True, cache=True)
def flatten_parents(parent):
    """Restores depth one after a round, in which only roots merged."""
    for i in numba.prange(parent.size):
        parent[i] = parent[parent[i]]


@numba.njit(parallel=True, cache=True)
def scan_all(rows, alive, mean, variance, ids, last):
    """Exact nearest clusters by reading every cluster, for hopeless ties.

    Args:
        rows: `[q]` clusters to serve.
        alive: `[n]` clusters that may be found.
        mean: `[n, d]`.
        variance: `[n]`.
        ids: `[q, k]` int32 result, -1 where there are fewer.
        last: `[q]` float64 result: lower bound of every linkage not listed.
    """
    k = ids.shape[1]
    for i in numba.prange(rows.size):
        found = np.empty(k, np.int32)
        distances = np.empty(k, np.float64)
        count, bound = 0, np.inf
        for other in range(alive.size):
            if alive[other] and other != rows[i]:
                d = linkage(mean, variance, rows[i], other)
                count, dropped = _insert(found, distances, count, k, other, d)
                bound = min(bound, dropped)
        for t in range(k):
            ids[i, t] = found[t] if t < count else -1
        last[i] = bound
