"""Greedy maximization of a weighted cover, at the cost of the edges.

What a set S covers is the sum over examples x of weight(x) times the largest
kernel k(x, s) of a member s. The function is submodular, so the gain of a
candidate never rises while S grows, and a stale gain is an upper bound
(Minoux 1978): the best candidate of a heap is asked again, and picked if it is
still the best. ProbCover, MaxHerding and UHerding are this with other kernels
and weights. In floating point too a gain never rises, since it is summed in
one order over terms that never rise: the picks are those of the plain greedy.
"""

from __future__ import annotations

import numba
import numpy as np


def greedy_cover(
    starts: np.ndarray,
    ids: np.ndarray,
    kernel: np.ndarray,
    weights: np.ndarray,
    *,
    labeled: np.ndarray,
    candidates: np.ndarray,
    keys: np.ndarray,
    batch_size: int,
) -> np.ndarray:
    """Picks what adds most to the cover, one after another.

    Args:
        starts: `[n + 1]` int64, rows of the graph; see `NeighborGraph`.
        ids: `[edges]` int32; candidate i covers `ids` of its row.
        kernel: `[edges]` float32, not negative.
        weights: `[n]` float64, not negative.
        labeled: `[l]` int64 examples that cover from the beginning.
        candidates: `[m]` int64 that may be picked.
        keys: `[m]` uint64; of equal gains the smallest key is picked.
        batch_size: 1 to m.

    Returns:
        `[batch_size]` int64 in pick order; any prefix is the smaller batch.
    """
    cover = np.zeros(len(weights), np.float32)
    _add_all(starts, ids, kernel, cover, labeled)
    # A rank in place of a key: one comparison of small numbers.
    order = np.argsort(keys, kind="stable")
    return _pick(
        starts,
        ids,
        kernel,
        weights,
        cover,
        candidates[order].astype(np.int64),
        batch_size,
    )


@numba.njit(cache=True)
def _add_all(starts, ids, kernel, cover, members):
    for member in members:
        for edge in range(starts[member], starts[member + 1]):
            x = ids[edge]
            cover[x] = max(cover[x], kernel[edge])


@numba.njit(cache=True)
def _gain(starts, ids, kernel, weights, cover, candidate):
    total = 0.0
    for edge in range(starts[candidate], starts[candidate + 1]):
        x = ids[edge]
        more = kernel[edge] - cover[x]
        if more > 0:
            total += weights[x] * more
    return total


@numba.njit(cache=True)
def _before(gains, a, b):
    """Whether place a goes before b: larger gain, then smaller place."""
    return gains[a] > gains[b] or (gains[a] == gains[b] and a < b)


@numba.njit(cache=True)
def _sink(heap, size, gains, at):
    item = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _before(gains, heap[child + 1], heap[child]):
            child += 1
        if not _before(gains, heap[child], item):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = item


@numba.njit(cache=True)
def _pick(starts, ids, kernel, weights, cover, candidates, batch_size):
    size = len(candidates)
    gains = np.empty(size)
    for place in range(size):
        gains[place] = _gain(
            starts, ids, kernel, weights, cover, candidates[place]
        )
    heap = np.arange(size)
    for at in range(size // 2 - 1, -1, -1):
        _sink(heap, size, gains, at)
    picks = np.empty(batch_size, np.int64)
    done = 0
    while done < batch_size:
        place = heap[0]
        candidate = candidates[place]
        now = _gain(starts, ids, kernel, weights, cover, candidate)
        if now < gains[place]:
            gains[place] = now
            _sink(heap, size, gains, 0)
            continue
        picks[done] = candidate
        done += 1
        _add_all(starts, ids, kernel, cover, candidates[place : place + 1])
        size -= 1
        heap[0] = heap[size]
        if size:
            _sink(heap, size, gains, 0)
    return picks
