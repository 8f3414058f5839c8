"""The neighbor lists of a pool as a graph: who is near whom, and how near.

The lists name the k nearest other examples of each. Methods that are defined
over all n^2 pairs see the pairs of the lists alone here: a pair that is on
neither list is as good as infinitely far. Every example is its own neighbor at
distance zero. Nothing here allocates more than n (2 k + 1) numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from al_tf.inputs.arrays import plain_array
from al_tf.neighbors.exact_index import ExactIndex
from al_tf.selection.pool import Pool
from runkit import InputError

NUM_NEIGHBORS = 16


class NeighborGraph(NamedTuple):
    """A symmetric graph in compressed rows.

    Attributes:
        starts: `[n + 1]` int64; the neighbors of i are
            `ids[starts[i] : starts[i + 1]]`, i itself first.
        ids: `[edges]` int32.
        distances: `[edges]` float32 squared Euclidean distance, of rows of
            length sqrt(1/2): cosine distance.
    """

    starts: np.ndarray
    ids: np.ndarray
    distances: np.ndarray


def neighbor_lists(
    embeddings: np.ndarray, num_neighbors: int = NUM_NEIGHBORS
) -> np.ndarray:
    """Finds the nearest other examples of each by cosine distance, exactly.

    Args:
        embeddings: `[n, d]` float; a row of zeros is far from all others.
        num_neighbors: k.

    Returns:
        `[n, k]` int32, nearest first, -1 where there are fewer.
    """
    rows = unit_rows(np.asarray(embeddings, np.float32))
    return ExactIndex(rows).search_all(num_neighbors).ids


def neighbor_graph(pool: Pool) -> NeighborGraph:
    """Returns the graph of the pool's lists, or of the exact ones.

    An edge joins two examples one of which has the other on its list.

    Raises:
        InputError: lists that are not a matrix of example ids, bad embeddings.
    """
    rows = unit_rows(pool.rows(np.arange(pool.num_examples)))
    if pool.neighbors is None:
        lists = ExactIndex(rows).search_all(NUM_NEIGHBORS).ids
    else:
        lists = _checked(pool.need("neighbors"), pool.num_examples)
    starts, ids = _symmetric(lists)
    return NeighborGraph(starts, ids, _edge_distances(rows, starts, ids))


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Scales rows to length sqrt(1/2); zeros stay.

    Args:
        rows: `[n, d]` float32.

    Returns:
        `[n, d]` float32 whose squared distances are cosine distances.
    """
    length = np.sqrt(2 * np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    length[length == 0] = 1.0
    return (rows / length[:, None]).astype(np.float32)


def _checked(lists: np.ndarray, n: int) -> np.ndarray:
    lists = plain_array(lists, "pool.neighbors")
    if lists.ndim != 2 or lists.dtype.kind not in "iu":
        raise InputError(
            "must be lists of example ids",
            where="pool.neighbors",
            got=f"{lists.dtype} of shape {lists.shape}",
        )
    if lists.size and not -1 <= lists.min() <= lists.max() < n:
        raise InputError(
            "example id out of range",
            where="pool.neighbors",
            got=f"{lists.min()} to {lists.max()}",
            expected=f"-1 to {n - 1}",
        )
    return lists.astype(np.int32, copy=False)


@numba.njit(cache=True)
def _symmetric(lists):
    """(starts, ids) of the graph; each row itself first, then ascending."""
    n, k = lists.shape
    count = np.zeros(n + 1, np.int64)
    for i in range(n):
        count[i + 1] += 1
        for j in lists[i]:
            if j >= 0 and j != i:
                count[i + 1] += 1
                count[j + 1] += 1
    starts = np.cumsum(count)
    both = np.empty(starts[n], np.int32)
    place = starts[:n].copy()
    for i in range(n):
        both[place[i]] = i
        place[i] += 1
    # Owners come in ascending order, so a row fills up nearly sorted.
    for i in range(n):
        for j in lists[i]:
            if j >= 0 and j != i:
                both[place[i]] = j
                place[i] += 1
                both[place[j]] = i
                place[j] += 1
    kept, ends = 0, np.zeros(n + 1, np.int64)
    for i in range(n):
        row = np.unique(both[starts[i] + 1 : starts[i + 1]])
        both[kept] = i
        both[kept + 1 : kept + 1 + len(row)] = row
        kept += 1 + len(row)
        ends[i + 1] = kept
    return ends, both[:kept].copy()


@numba.njit(parallel=True, cache=True)
def _edge_distances(rows, starts, ids):
    """`[edges]` float32 squared distances; float64 sums in one order."""
    out = np.zeros(len(ids), np.float32)
    for i in numba.prange(len(starts) - 1):
        for edge in range(starts[i] + 1, starts[i + 1]):
            other, total = ids[edge], 0.0
            for axis in range(rows.shape[1]):
                step = rows[i, axis] - rows[other, axis]
                total += step * step
            out[edge] = total
    return out
