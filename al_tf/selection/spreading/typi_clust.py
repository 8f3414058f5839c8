"""TypiClust (Hacohen et al. 2022, "Active Learning on a Budget").

The most typical example of every cluster that has no label yet, the largest
cluster first (arXiv 2202.02794, section 3). Typical is who has near neighbors:
one over their mean distance. No model is looked at.

The paper runs k-means anew in every round, with as many clusters as labels.
Here the clusters are the pool's, and the rule of the paper's code goes on where
all of them have labels: fewest labels first, then the largest. As there,
clusters of fewer than five examples are left out until nothing else is left.
"""

from __future__ import annotations

import numpy as np

from al_tf.selection.candidates import random_keys
from al_tf.selection.cluster_margin import check_cluster_ids
from al_tf.selection.pool import Pool
from al_tf.selection.spreading.lists import NeighborGraph, neighbor_graph

LEAST_MEMBERS = 5


def typi_clust_batch(
    pool: Pool, *, batch_size: int, seed: int = 0
) -> np.ndarray:
    """Typical examples of large clusters without labels.

    Args:
        pool: with embeddings and cluster ids.
        batch_size: examples to pick.
        seed: decides between clusters of one size and equal typicality.

    Returns:
        `[batch_size]` int64; any prefix is the smaller batch.
    """
    ids = pool.candidates(batch_size)
    clusters = check_cluster_ids(pool.need("cluster_ids"), pool.num_examples)
    _, clusters = np.unique(clusters, return_inverse=True)
    typical = typicality(neighbor_graph(pool))
    size = np.bincount(clusters)
    labels = size - np.bincount(clusters[ids], minlength=len(size))
    keys = random_keys(ids, seed)
    own = clusters[ids]
    # Within a cluster: the most typical first.
    order = np.lexsort((keys, -typical[ids], own))
    own = own[order]
    starts = np.flatnonzero(np.diff(own, prepend=-1))
    turn = random_keys(np.arange(len(size)), seed)
    rank = np.arange(len(own)) - np.repeat(
        starts, np.diff(starts, append=len(own))
    )
    columns = (
        turn[own],
        -size[own],
        labels[own] + rank,
        size[own] < LEAST_MEMBERS,
    )
    return ids[order[np.lexsort(columns)[:batch_size]]]


def typicality(graph: NeighborGraph) -> np.ndarray:
    """One over the root mean distance to the neighbors.

    Args:
        graph: of the pool.

    Returns:
        `[n]` float64; infinite among exact copies, zero without neighbors.
    """
    total = np.add.reduceat(
        np.sqrt(graph.distances, dtype=np.float64), graph.starts[:-1]
    )
    # The example itself, at distance zero, is not a neighbor.
    count = np.diff(graph.starts) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        typical = count / total
    return np.where(count > 0, typical, 0.0)
