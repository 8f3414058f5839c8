"""The inner loops of `al_tf.hac`, compiled by numba.

Shapes: n clusters, d dimensions, k candidates per cluster. A cluster is a row
number; `parent[row]` is the row that it was merged into, itself while alive.
No kernel uses atomics or random numbers, so the number of threads never
changes a result.
"""

from __future__ import annotations

import numba
import numpy as np

# Sums may be reordered for SIMD; infinities and signs keep their meaning.
_REORDER = {"reassoc", "contract", "nsz"}
_STRETCH = 128
# Larger than any value of `scan_tile`, and finite: inf - inf would be NaN.
EMPTY = np.finfo(np.float32).max


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
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


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
        if other < 0 or other == previous or other == row:
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


@numba.njit(nogil=True, fastmath={"reassoc", "nnan", "nsz"}, cache=True)
def scan_tile(products, bias, first, exclude, ids, values):
    """Keeps for each query the smallest of products + bias seen so far.

    Args:
        products: `[q, m]` float32.
        bias: `[m]` float32, infinite for rows that must not be found.
        first: id of column 0.
        exclude: `[q]` id that a query must not find (itself), or -1.
        ids: `[q, k]` int32, ascending by value; -1 where still empty.
        values: `[q, k]` float32, `EMPTY` where still empty.
    """
    k = ids.shape[1]
    for i in range(products.shape[0]):
        row = products[i]
        for start in range(0, bias.size, _STRETCH):
            stretch = row[start : start + _STRETCH]
            stretch_bias = bias[start : start + _STRETCH]
            last = values[i, k - 1]
            # How far the stretch reaches below the k-th value: a branch-free
            # sum, which becomes SIMD (a minimum does not). Nearly every
            # stretch ends here.
            excess = np.float32(0)
            for j in range(stretch.size):
                value = stretch[j] + stretch_bias[j]
                excess += max(np.float32(0), last - value)
            if excess == 0:
                continue
            for j in range(stretch.size):
                value = stretch[j] + stretch_bias[j]
                if value < values[i, k - 1] and first + start + j != exclude[i]:
                    at = k - 1
                    while at > 0 and values[i, at - 1] > value:
                        values[i, at] = values[i, at - 1]
                        ids[i, at] = ids[i, at - 1]
                        at -= 1
                    values[i, at] = value
                    ids[i, at] = first + start + j


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
