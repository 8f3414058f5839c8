"""The two usual approximations of average linkage on a neighbor graph.

Greedy: the pair of clusters with the smallest linkage merges, from a heap.
Both rules do what they promise, but that is not average linkage.
"""

from __future__ import annotations

import heapq

import numpy as np


def cluster(graph, threshold: float, missing: float | None) -> np.ndarray:
    """Clusters a symmetric CSR graph of distances.

    Args:
        graph: (indptr, indices, distances).
        threshold: largest linkage that merges.
        missing: distance of pairs without an edge; None: they are ignored,
            and the linkage is the mean over the edges.

    Returns:
        `[n]` labels (the numbers mean nothing).
    """
    near = _edges(graph)
    n = len(near)
    size = [1] * n
    parent = list(range(n))

    def linkage(a: int, b: int) -> float:
        total, count = near[a][b]
        if missing is None:
            return total / count
        pairs = size[a] * size[b]
        return (total + (pairs - count) * missing) / pairs

    heap = [(linkage(a, b), a, b) for a in range(n) for b in near[a] if a < b]
    heapq.heapify(heap)
    while heap:
        value, a, b = heapq.heappop(heap)
        if value > threshold:
            break
        if parent[a] != a or parent[b] != b or linkage(a, b) != value:
            continue  # One of them has merged since.
        if len(near[a]) < len(near[b]):
            a, b = b, a
        parent[b] = a
        _move_edges(near, b, a)
        size[a] += size[b]
        # A mean over edges changes only where edges were added; with missing
        # pairs, every linkage of the union changes with its size.
        changed = near[a] if missing is not None else near[b]
        for c in changed:
            if c != a:
                pair = min(a, c), max(a, c)
                heapq.heappush(heap, (linkage(*pair), *pair))
        near[b] = {}
    return np.array([_root(parent, i) for i in range(n)])


def symmetrize(
    ids: np.ndarray, distances: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turns neighbor lists into an undirected graph in CSR form.

    Args:
        ids: `[n, k]` int, -1 where there are fewer.
        distances: `[n, k]` float.

    Returns:
        (indptr `[n + 1]`, indices, distances): the neighbors of i are
        `indices[indptr[i]:indptr[i + 1]]`, ascending, without i and without
        repeats; j is a neighbor of i exactly if i is one of j.
    """
    n, k = ids.shape
    source = np.repeat(np.arange(n, dtype=np.int64), k)
    target = ids.astype(np.int64).ravel()
    weight = distances.ravel()
    keep = (target >= 0) & (target != source)
    source, target, weight = source[keep], target[keep], weight[keep]
    key = np.concatenate([source * n + target, target * n + source])
    weight = np.concatenate([weight, weight])
    order = np.lexsort((weight, key))
    key, weight = key[order], weight[order]
    first = np.ones(len(key), bool)
    first[1:] = key[1:] != key[:-1]
    key, weight = key[first], weight[first]
    indptr = np.searchsorted(key, np.arange(n + 1, dtype=np.int64) * n)
    return indptr, (key % n).astype(np.int32), weight


def _move_edges(near: list[dict], b: int, a: int) -> None:
    """Gives the edges of b to a."""
    for c, (total, count) in near[b].items():
        del near[c][b]
        if c != a:
            old_total, old_count = near[a].get(c, (0.0, 0))
            near[a][c] = near[c][a] = (old_total + total, old_count + count)


def _edges(graph) -> list[dict[int, tuple[float, int]]]:
    """For each cluster: neighbor -> (sum of distances, number of edges)."""
    indptr, indices, distances = graph
    near = []
    for start, stop in zip(indptr[:-1], indptr[1:], strict=True):
        ends, lengths = indices[start:stop], distances[start:stop]
        near.append(
            {int(j): (float(d), 1) for j, d in zip(ends, lengths, strict=True)}
        )
    return near


def _root(parent: list[int], i: int) -> int:
    while parent[i] != i:
        i = parent[i]
    return i
