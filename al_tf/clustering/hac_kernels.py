"""The inner loops of `al_tf.clustering.average_linkage`, compiled by numba.

A cluster is a row number of `Clusters`. Kernels change its arrays in place. No
kernel uses atomics or random numbers, so the number of threads never
changes a result.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from runkit import hashing

_finalize = numba.njit(cache=True)(hashing.finalize)

# Sums may be reordered for SIMD; infinities and signs keep their meaning.
_REORDER = {"reassoc", "contract", "nsz"}


class Clusters(NamedTuple):
    """The state of n clusters in d dimensions with k candidates each.

    Attributes:
        mean: `[n, d]` float32 or float64.
        variance: `[n]` float64 mean squared distance to the mean.
        size: `[n]` float64 number of points.
        origin: `[n]` int64 smallest id of a point in the cluster.
        height: `[n]` float64 linkage of the last merge, 0 for a point.
        lists: `[n, k]` int32 candidates for the nearest cluster, -1 where
            there are fewer. May name absorbed rows; see `parent`.
        radius: `[n]` float64; no cluster off the list is nearer.
        nearest: `[n]` int32 nearest candidate, or -1.
        distance: `[n]` float64 linkage to it, infinite if there is none.
        parent: `[n]` int32 row that absorbed this one; itself while alive.
        is_open: `[n]` bool; neither absorbed nor retired.
    """

    mean: np.ndarray
    variance: np.ndarray
    size: np.ndarray
    origin: np.ndarray
    height: np.ndarray
    lists: np.ndarray
    radius: np.ndarray
    nearest: np.ndarray
    distance: np.ndarray
    parent: np.ndarray
    is_open: np.ndarray


def new_clusters(
    mean: np.ndarray,
    origin: np.ndarray,
    lists: np.ndarray,
    *,
    variance: np.ndarray | None = None,
    size: np.ndarray | None = None,
) -> Clusters:
    """Open clusters of which nothing is proven yet; see `Clusters`.

    Args:
        mean: `[n, d]`.
        origin: `[n]`.
        lists: `[n, k]`.
        variance: `[n]`; by default those of single points.
        size: `[n]`; by default those of single points.
    """
    n = len(mean)
    return Clusters(
        mean=mean,
        variance=np.zeros(n) if variance is None else variance,
        size=np.ones(n) if size is None else size,
        origin=origin,
        height=np.zeros(n),
        lists=lists,
        radius=np.full(n, -np.inf),
        nearest=np.full(n, -1, np.int32),
        distance=np.full(n, np.inf),
        parent=np.arange(n, dtype=np.int32),
        is_open=np.ones(n, bool),
    )


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
    ids would merge a chain of ties one pair at a time. It is taken of the
    clusters' origins, which stay what they are when rows are renumbered or
    held by other machines.
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
def _keep_nearest(row, pool, clusters):
    """Makes the nearest clusters of `pool` the candidate list of `row`.

    Candidates that do not fit lower the radius: they are off the list now.
    """
    mean, variance, parent = clusters.mean, clusters.variance, clusters.parent
    origin = clusters.origin
    k = clusters.lists.shape[1]
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
        key = pair_key(origin[row], origin[other])
        if best < 0 or _is_nearer(d, key, best_distance, best_key):
            best, best_distance, best_key = other, d, key
        count, dropped = _insert(ids, distances, count, k, other, d)
        clusters.radius[row] = min(clusters.radius[row], dropped)
    for t in range(k):
        clusters.lists[row, t] = ids[t] if t < count else -1
    clusters.nearest[row], clusters.distance[row] = best, best_distance


@numba.njit(parallel=True, cache=True)
def refresh_nearest(rows, clusters):
    """Recomputes the nearest candidate of `rows` after others merged."""
    for i in numba.prange(rows.size):
        _keep_nearest(rows[i], clusters.lists[rows[i]].copy(), clusters)


@numba.njit(parallel=True, cache=True)
def unite_lists(rows, other_lists, clusters):
    """Unites the list of rows[i] with other_lists[i], keeping the nearest."""
    k = clusters.lists.shape[1]
    for i in numba.prange(rows.size):
        pool = np.empty(k + other_lists.shape[1], np.int32)
        pool[:k] = clusters.lists[rows[i]]
        pool[k:] = other_lists[i]
        _keep_nearest(rows[i], pool, clusters)


@numba.njit(cache=True)
def mutual_pairs(ready, nearest, distance, origin, threshold):
    """Pairs that are each other's nearest cluster, within the threshold.

    A cluster also considers those that call *it* nearest: with ties, or after
    an approximate search, they may be missing from its own list. So the
    nearest pair of all always merges, and every round makes progress.

    Args:
        ready: `[n]` bool; the nearest cluster is certified. Only these merge.
        nearest: `[n]` nearest cluster, or -1.
        distance: `[n]` linkage to it.
        origin: `[n]` ids that break ties.
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
            pair_key(origin[a], origin[b]),
            best_distance[b],
            pair_key(origin[b], origin[best[b]]),
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
def merge_moments(kept, absorbed, clusters):
    """Moments, sizes and radii of the unions; `absorbed` rows die."""
    # Taken out of the tuple here: numba loses writes to `clusters.parent[b]`
    # inside a parallel loop.
    mean, variance = clusters.mean, clusters.variance
    size, radius, parent = clusters.size, clusters.radius, clusters.parent
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
def scan_all(rows, clusters, ids, distances, last):
    """Exact nearest clusters by reading every cluster, for hopeless ties.

    Args:
        rows: `[q]` clusters to serve.
        clusters: only open ones are found.
        ids: `[q, k]` int32 result, -1 where there are fewer.
        distances: `[q, k]` float64 result: linkages, infinite without an id.
        last: `[q]` float64 result: lower bound of every linkage not listed.
    """
    k = ids.shape[1]
    mean, variance, is_open = clusters.mean, clusters.variance, clusters.is_open
    for i in numba.prange(rows.size):
        found = np.empty(k, np.int32)
        near = np.full(k, np.inf)
        count, bound = 0, np.inf
        for other in range(is_open.size):
            if is_open[other] and other != rows[i]:
                d = linkage(mean, variance, rows[i], other)
                count, dropped = _insert(found, near, count, k, other, d)
                bound = min(bound, dropped)
        for t in range(k):
            ids[i, t] = found[t] if t < count else -1
            distances[i, t] = near[t] if t < count else np.inf
        last[i] = bound
