"""Cluster-Margin batch selection (Citovsky et al. 2021, section 3).

Once, for the whole pool: embed, cluster by average linkage, keep the clusters
(`al_tf.cluster_embeddings`). In each round, with the margins of the current
model:

1. take the k_m unlabeled examples with the smallest margins: the uncertain;
2. group them by cluster and visit the clusters in turn, the smallest first,
   picking one random member per visit, until k_t are picked: the diverse.

The loop of step 2 is a sort. Give each candidate its rank in a random order
of its cluster's candidates. On its r-th pass the loop meets the clusters in
their fixed order, skips those with fewer than r members, and draws one more
member at random, which is the member of rank r. So the loop emits the
candidates ordered by (rank, turn of the cluster), and the batch is the first
k_t of them.

Most clusters have equally few candidates. They take their turns in a random
order too, given by the numbers that their last candidates drew. Cluster ids
follow the order of the pool: if they decided, a batch would come from its
beginning.
"""

from __future__ import annotations

import numpy as np
from absl import logging

from al_tf.inputs.arrays import plain_array
from al_tf.selection.candidates import random_keys, unlabeled_ids
from al_tf.selection.margins import check_margins
from runkit import InputError


def select_batch(
    margins: np.ndarray,
    cluster_ids: np.ndarray,
    *,
    batch_size: int,
    margin_batch_size: int | None = None,
    unlabeled: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Picks the examples to label next.

    Args:
        margins: `[n]` float in [0, 1] for the full pool; small = uncertain.
        cluster_ids: `[n]` int, not negative.
        batch_size: examples to pick [k_t].
        margin_batch_size: uncertain examples to pick from [k_m]; by default
            `default_margin_batch_size`.
        unlabeled: ids (or a mask) of the examples that may be picked; by
            default the whole pool.
        seed: random seed of the choice within clusters and among clusters of
            equal size. It also decides between equal margins at the border of
            the k_m.

    Returns:
        `[batch_size]` int64 example ids in pick order. With the same
        `margin_batch_size`, any prefix is the answer for a smaller batch.

    Raises:
        PoolExhausted: fewer than `batch_size` examples are unlabeled.
        InputError: lengths differ, margins outside [0, 1], bad ids.
    """
    margins = check_margins(margins)
    cluster_ids = check_cluster_ids(cluster_ids, len(margins))
    ids = unlabeled_ids(unlabeled, len(margins), batch_size)
    if margin_batch_size is None:
        margin_batch_size = default_margin_batch_size(batch_size, len(ids))
        logging.info(
            "margin batch: %d of %d unlabeled examples for a batch of %d",
            margin_batch_size,
            len(ids),
            batch_size,
        )
    check_margin_batch_size(margin_batch_size, batch_size, len(ids))
    candidates = smallest_margins(margins, ids, margin_batch_size, seed)
    order = round_robin(
        cluster_ids[candidates], random_keys(candidates, seed), batch_size
    )
    return candidates[order]


def check_margin_batch_size(
    margin_batch_size: int, batch_size: int, num_unlabeled: int
) -> None:
    """Refuses a k_m that is not a whole number from k_t to the unlabeled."""
    if (
        not isinstance(margin_batch_size, int | np.integer)
        or not batch_size <= margin_batch_size <= num_unlabeled
    ):
        raise InputError(
            "must be a whole number between batch size and unlabeled pool",
            where="margin_batch_size",
            got=margin_batch_size,
            expected=f"{batch_size} to {num_unlabeled}",
        )


def default_margin_batch_size(batch_size: int, num_unlabeled: int) -> int:
    """Ten batches, but at most a quarter of the pool and at least one batch.

    The paper used ten for Open Images. On a pool that ten batches nearly
    exhaust, the margin would no longer matter, and the smallest clusters, the
    outliers, would be picked first.
    """
    return max(batch_size, min(10 * batch_size, num_unlabeled // 4))


def smallest_margins(
    margins: np.ndarray, ids: np.ndarray, count: int, seed: int
) -> np.ndarray:
    """The `count` ids with the smallest (margin, random key), ascending.

    Args:
        margins: `[n]`.
        ids: `[m]` int64 ascending, those to choose from.
        count: 1 to m.
        seed: decides among equal margins.
    """
    values = margins[ids]
    border = np.partition(values, count - 1)[count - 1]
    chosen = values < border
    tied = np.flatnonzero(values == border)
    missing = count - int(chosen.sum())
    keys = random_keys(ids[tied], seed)
    chosen[tied[np.argsort(keys, kind="stable")[:missing]]] = True
    return ids[chosen]


def round_robin(
    clusters: np.ndarray, keys: np.ndarray, batch_size: int
) -> np.ndarray:
    """Positions in pick order: sorted by (rank, turn of the cluster).

    The smallest cluster has the first turn; of equally large clusters, the
    one whose last candidate has the smallest key.

    Args:
        clusters: `[m]` int cluster of each candidate.
        keys: `[m]` uint64; their order within a cluster is the random order.
        batch_size: 1 to m.

    Returns:
        `[batch_size]` int64 positions in `clusters`.
    """
    turn = _cluster_turns(clusters, keys)
    # Cluster in the high bits, key in the low: one sort groups and shuffles.
    # Cutting the key is harmless: position decides between equal keys.
    bits = int(turn.max()).bit_length()
    grouped = turn.astype(np.uint64) << np.uint64(64 - bits) if bits else 0
    order = np.argsort(grouped | (keys >> np.uint64(bits)), kind="stable")
    turn = turn[order]
    starts = np.flatnonzero(np.diff(turn, prepend=-1))
    lengths = np.diff(starts, append=len(turn))
    rank = np.arange(len(turn)) - np.repeat(starts, lengths)
    # Only the passes that the batch reaches need to be put in order.
    passes = np.cumsum(np.bincount(rank))
    reached = rank <= np.searchsorted(passes, batch_size)
    order, rank = order[reached], rank[reached]
    # Within a pass the clusters already stand in their turns.
    return order[np.argsort(rank, kind="stable")[:batch_size]]


def check_cluster_ids(cluster_ids: np.ndarray, n: int) -> np.ndarray:
    """Returns cluster ids as an integer array of length n, or refuses them."""
    cluster_ids = plain_array(cluster_ids, "cluster_ids")
    if cluster_ids.shape != (n,):
        raise InputError(
            "must have one entry per example",
            where="cluster_ids",
            got=cluster_ids.shape,
            expected=str((n,)),
        )
    if cluster_ids.dtype.kind not in "iu" or cluster_ids.min(initial=0) < 0:
        raise InputError(
            "must be whole numbers, not negative",
            where="cluster_ids",
            got=str(cluster_ids.dtype),
        )
    return cluster_ids


def _cluster_turns(clusters: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Rank of each candidate's cluster by (size, a key of the cluster)."""
    if int(clusters.max()) > 8 * len(clusters) + 1024:
        # Few candidates of a large pool: number only their clusters.
        _, clusters = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(clusters)
    key = np.zeros(len(sizes), np.uint64)
    # The last candidate's key stays; finding the smallest takes much longer.
    key[clusters] = keys
    order = np.flatnonzero(sizes)
    order = order[np.argsort(key[order])]
    size = sizes[order]
    if size.max() < 2**16:
        size = size.astype(np.uint16)  # NumPy sorts these by counting.
    order = order[np.argsort(size, kind="stable")]
    turn = np.empty(len(sizes), np.int64)
    turn[order] = np.arange(len(order))
    return turn[clusters]
