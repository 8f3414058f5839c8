"""Nearest neighbors: one protocol.

All distances are squared Euclidean. A database row may carry an `offset`
that is added to its distances; the clustering uses it for the variance of a
cluster, so that the same index finds points and clusters. Cosine distance is
the squared Euclidean distance of rows scaled to length sqrt(1/2)
(`al_tf.inputs.embeddings` does that).
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np


@dataclasses.dataclass(frozen=True)
class Neighbors:
    """What a search returned.

    Attributes:
        ids: `[queries, k]` int32 database rows, -1 where there are fewer.
        bound: `[queries]` float64; every database row that is not in `ids`
            is at least this far away (infinite when all rows are listed).
            Rigorous for an exact index, a good guess for another.
    """

    ids: np.ndarray
    bound: np.ndarray


class NeighborIndex(Protocol):
    """A built index over `[n, d]` rows."""

    is_exact: bool

    def search(
        self, queries: np.ndarray, k: int, exclude: np.ndarray
    ) -> Neighbors:
        """Finds the k nearest rows of each query.

        Args:
            queries: `[q, d]` float32.
            k: neighbors a query.
            exclude: `[q]` the row that a query must not find (itself), or -1.
        """


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
