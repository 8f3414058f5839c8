"""Cluster allocation: labels for clusters by the root of their uncertainty.

This project's own rule, without a knob. It is stratified sampling with the
clusters as strata. Let U be what is uncertain in a cluster, the sum of one
minus the margin over its unlabeled examples. If r labels leave U / r of it,
the sum over clusters is least where labels go by the square root of U
(Cauchy-Schwarz, as in Neyman's allocation; among surveys a power allocation,
Bankier 1988). Whole labels are given one by one to the largest
sqrt(U) / (r + 1), the divisors of D'Hondt, with r all labels that the cluster
has, those of earlier rounds too. So

- a family of near-copies gets few labels, and none again once it is certain;
- an outlier counts for no more than it is worth, at most 1;
- a small batch goes to the largest uncertain clusters, a large one comes back
  to them: nothing depends on the size of the batch.

A cluster offers the example first that stands best for what is uncertain in
it: the largest (1 - margin) exp(-d / s), with d the cosine distance to the mean
of its unlabeled examples, weighted by one minus the margin, and s the median
of d. It is UHerding's kernel (`herding.py`), seen from one point of each
cluster in place of all neighbors.

O(n (d + log n)) time whatever the batch, and no neighbor lists: one mean for
each cluster and a sort.
"""

from __future__ import annotations

import numba
import numpy as np

from al_tf.selection.candidates import random_keys
from al_tf.selection.cluster_margin import check_cluster_ids
from al_tf.selection.margins import check_margins
from al_tf.selection.pool import Pool
from al_tf.selection.spreading.lists import unit_rows

_TINY = 1e-12


def cluster_allocation_batch(
    pool: Pool, *, batch_size: int, seed: int = 0
) -> np.ndarray:
    """Picks examples by the allocation of labels to clusters.

    Args:
        pool: with margins, embeddings and clusters.
        batch_size: examples to pick.
        seed: decides between equal examples, and between equal clusters.

    Returns:
        `[batch_size]` int64 in pick order; any prefix is the smaller batch.
    """
    ids = pool.candidates(batch_size)
    margins = check_margins(pool.need("margins"))
    clusters = check_cluster_ids(pool.need("cluster_ids"), pool.num_examples)
    _, clusters = np.unique(clusters, return_inverse=True)
    own = clusters[ids]
    uncertainty = 1.0 - margins[ids].astype(np.float64)
    mass = np.bincount(own, uncertainty, int(clusters.max()) + 1)
    left = np.bincount(own, minlength=len(mass))
    labels = np.bincount(clusters) - left
    with np.errstate(divide="ignore"):
        # The negative logarithm of (1 - margin) exp(-d / s).
        offered = -np.log(uncertainty)
    distance = mean_distances(pool.rows(ids), uncertainty, own)
    # The only example left of a cluster is its mean, and says nothing of s.
    several = left[own] > 1
    if several.any():
        offered += distance / max(float(np.median(distance[several])), _TINY)
    keys = random_keys(ids, seed)
    order = np.lexsort((keys, offered, own))
    own = own[order]
    # The place within the cluster, counted on from the labels it has.
    starts = np.concatenate([[0], np.cumsum(left)[:-1]])
    turn = np.arange(len(ids)) - starts[own] + labels[own]
    share = np.sqrt(mass[own]) / (turn + 1)
    return ids[order[np.lexsort((keys[order], -share))[:batch_size]]]


def mean_distances(
    rows: np.ndarray, weights: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """Cosine distances of examples to the weighted mean of their cluster.

    Args:
        rows: `[m, d]` float32; they are scaled to one length first.
        weights: `[m]` float64, not negative.
        own: `[m]` cluster of each.

    Returns:
        `[m]` float64; 1 where the row or the mean is zero.
    """
    rows = unit_rows(rows)
    sums = _sums(rows, weights, own, int(own.max()) + 1)
    means = unit_rows(sums)
    # Rows of length sqrt(1/2).
    return 1.0 - 2.0 * np.einsum("md,md->m", rows, means[own], dtype=np.float64)


@numba.njit(cache=True)
def _sums(rows, weights, own, clusters):
    """`[clusters, d]` weighted sums of rows, in the order of the rows."""
    sums = np.zeros((clusters, rows.shape[1]))
    for i in range(len(rows)):
        for axis in range(rows.shape[1]):
            sums[own[i], axis] += weights[i] * rows[i, axis]
    return sums
