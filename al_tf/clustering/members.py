"""From merges to the members of each cluster, and their mean and variance."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from al_tf.inputs.preparation import normalized
from al_tf.neighbors import row_kernels

_EPSILON = np.finfo(np.float64).eps

# Consecutive rows of a pool, each block with the id of its first example.
Blocks = Iterable[tuple[int, np.ndarray]]


def component_ids(n: int, merges: np.ndarray) -> np.ndarray:
    """Cluster of each of n points after the merges.

    Args:
        n: number of points.
        merges: `[m, 2]` int64 ids of points whose clusters are one.

    Returns:
        `[n]` int64, numbered 0, 1, ... by smallest member.
    """
    links = sparse.coo_array(
        (np.ones(len(merges), np.int8), (merges[:, 0], merges[:, 1])), (n, n)
    )
    count, labels = csgraph.connected_components(links, directed=False)
    # SciPy promises no order. The last write, of the smallest member, stays.
    smallest = np.empty(count, np.int64)
    smallest[labels[::-1]] = np.arange(n - 1, -1, -1)
    number = np.empty(count, np.int64)
    number[np.argsort(smallest)] = np.arange(count)
    return number[labels]


def cluster_moments(
    blocks: Blocks, cluster_ids: np.ndarray, metric: str, origin: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Computes mean and variance of each cluster in one pass.

    Rows are taken relative to the first member of their cluster. A sum of
    squares about a far origin would lose a tight cluster's variance to
    rounding; about a member it loses nothing, as in a second pass.

    Args:
        blocks: all rows of the pool, in order.
        cluster_ids: `[n]` int64, none without a member, numbered by smallest
            member.
        metric: "cosine" or "sqeuclidean".
        origin: `[d]` float64, subtracted from the (normalized) rows.

    Returns:
        (centers `[clusters, d]`, variances `[clusters]`), both float64.
    """
    count = np.bincount(cluster_ids)
    anchor = np.empty((len(count), len(origin)))
    total = np.zeros_like(anchor)
    square = np.zeros(len(count))
    seen = 0
    for first, block in blocks:
        part = normalized(block, first, metric) - origin
        ids = cluster_ids[first : first + len(part)]
        found, members = np.unique(ids, return_index=True)
        is_new = found >= seen
        anchor[found[is_new]] = part[members[is_new]]
        seen += int(is_new.sum())
        row_kernels.add_rows(part - anchor[ids], ids, total, square)
    total /= count[:, None]
    spread = square / count - np.einsum("cd,cd->c", total, total)
    # No more than rounding leaves where all rows are equal, of either sign.
    spread[spread <= _EPSILON * (count + 8) * square / count] = 0.0
    return anchor + total, spread
