"""Cluster-Margin and the strategies it is compared with, one signature.

`strategy(pool, batch_size=, seed=) -> int64 example ids in pick order`. None
of them allocates an array of batch x pool.

The paper compares with random, margin, CoreSet (Sener & Savarese 2018) and
BADGE (Ash et al. 2020). To run the last two at its scale, it splits the pool
at random and selects in every part. `cluster_random` is the ablation: the
round-robin over clusters without margins. `entropy` is a customary baseline.
`margin_turns` and `cluster_allocation` are this project's own rules; the others
of `al_tf.selection.spreading` are later methods, on the neighbor lists of the
pool.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from al_tf.selection import cluster_margin, greedy
from al_tf.selection.candidates import random_keys
from al_tf.selection.margin_turns import margin_turns_batch
from al_tf.selection.margins import check_margins, check_probabilities
from al_tf.selection.pool import Pool, Strategy
from al_tf.selection.spreading.cluster_allocation import (
    cluster_allocation_batch,
)
from al_tf.selection.spreading.herding import (
    max_herding_batch,
    u_herding_batch,
)
from al_tf.selection.spreading.high_margins import cluster_margin_mixed_batch
from al_tf.selection.spreading.prob_cover import prob_cover_batch
from al_tf.selection.spreading.seals import seals_batch
from al_tf.selection.spreading.typi_clust import typi_clust_batch


def random_batch(pool: Pool, *, batch_size: int, seed: int = 0) -> np.ndarray:
    """Uniformly at random; any prefix is the smaller batch."""
    ids = pool.candidates(batch_size)
    return ids[np.argsort(random_keys(ids, seed))[:batch_size]]


def margin_batch(pool: Pool, *, batch_size: int, seed: int = 0) -> np.ndarray:
    """Smallest margins first, ties at random; prefixes are smaller batches."""
    margins = check_margins(pool.need("margins"))
    return _smallest(margins, pool.candidates(batch_size), batch_size, seed)


def entropy_batch(pool: Pool, *, batch_size: int, seed: int = 0) -> np.ndarray:
    """Highest predictive entropy first; prefixes are smaller batches."""
    ids = pool.candidates(batch_size)
    p = _probabilities(pool, ids).astype(np.float64)
    # 0 log 0 = 0.
    entropy = -(p * np.log(np.where(p > 0, p, 1.0))).sum(1)
    scores = np.zeros(pool.num_examples)
    scores[ids] = -entropy
    return _smallest(scores, ids, batch_size, seed)


def cluster_margin_batch(
    pool: Pool,
    *,
    batch_size: int,
    seed: int = 0,
    margin_batch_size: int | None = None,
) -> np.ndarray:
    """Cluster-Margin; see `select_batch`.

    `margin_batch_size` is capped at the number of unlabeled examples.
    """
    if margin_batch_size is not None:
        left = len(pool.candidates(batch_size))
        margin_batch_size = min(margin_batch_size, left)
    return cluster_margin.select_batch(
        pool.need("margins"),
        pool.need("cluster_ids"),
        batch_size=batch_size,
        margin_batch_size=margin_batch_size,
        unlabeled=pool.unlabeled,
        seed=seed,
    )


def cluster_random_batch(
    pool: Pool, *, batch_size: int, seed: int = 0
) -> np.ndarray:
    """The round-robin over all unlabeled examples, without margins."""
    ids = pool.candidates(batch_size)
    clusters = cluster_margin.check_cluster_ids(
        pool.need("cluster_ids"), pool.num_examples
    )
    keys = random_keys(ids, seed)
    return ids[cluster_margin.round_robin(clusters[ids], keys, batch_size)]


def coreset_batch(pool: Pool, *, batch_size: int, seed: int = 0) -> np.ndarray:
    """k-center greedy: always the example farthest from all labeled ones.

    With nothing labeled the first pick is random. Prefixes are smaller
    batches.
    """
    ids = pool.candidates(batch_size)
    labeled = np.delete(np.arange(pool.num_examples), ids)
    return _coreset(pool, ids, labeled, batch_size, seed)


def badge_batch(pool: Pool, *, batch_size: int, seed: int = 0) -> np.ndarray:
    """BADGE: k-means++ on the gradients of the last layer.

    The gradient of an example under its most likely label is the outer
    product of (p - onehot) and its embedding; distances are computed from the
    factors. Prefixes are smaller batches.
    """
    ids = pool.candidates(batch_size)
    return _badge(pool, ids, batch_size, seed)


def partitioned_coreset_batch(
    pool: Pool, *, batch_size: int, seed: int = 0, num_parts: int = 10
) -> np.ndarray:
    """CoreSet in each of `num_parts` random parts of the pool."""
    ids = pool.candidates(batch_size)
    labeled = np.delete(np.arange(pool.num_examples), ids)
    return _partitioned(
        functools.partial(_coreset, pool, labeled=labeled),
        ids,
        batch_size,
        seed,
        num_parts,
    )


def partitioned_badge_batch(
    pool: Pool, *, batch_size: int, seed: int = 0, num_parts: int = 10
) -> np.ndarray:
    """BADGE in each of `num_parts` random parts of the pool."""
    ids = pool.candidates(batch_size)
    return _partitioned(
        functools.partial(_badge, pool), ids, batch_size, seed, num_parts
    )


STRATEGIES: dict[str, Strategy] = {
    "random": random_batch,
    "margin": margin_batch,
    "entropy": entropy_batch,
    "cluster_margin": cluster_margin_batch,
    "cluster_random": cluster_random_batch,
    "coreset": coreset_batch,
    "badge": badge_batch,
    "partitioned_coreset": partitioned_coreset_batch,
    "partitioned_badge": partitioned_badge_batch,
    "margin_turns": margin_turns_batch,
    "cluster_allocation": cluster_allocation_batch,
    "cluster_margin_mixed": cluster_margin_mixed_batch,
    "typi_clust": typi_clust_batch,
    "prob_cover": prob_cover_batch,
    "max_herding": max_herding_batch,
    "u_herding": u_herding_batch,
    "seals": seals_batch,
}


def _smallest(
    scores: np.ndarray, ids: np.ndarray, batch_size: int, seed: int
) -> np.ndarray:
    picked = cluster_margin.smallest_margins(scores, ids, batch_size, seed)
    return picked[np.lexsort((random_keys(picked, seed), scores[picked]))]


def _probabilities(pool: Pool, ids: np.ndarray) -> np.ndarray:
    rows = pool.need("probabilities")[ids]
    check_probabilities(rows, 0, ids)
    return np.clip(rows, 0, 1)


def _coreset(
    pool: Pool,
    ids: np.ndarray,
    labeled: np.ndarray,
    batch_size: int,
    seed: int,
) -> np.ndarray:
    rows = pool.rows(ids)
    centers = pool.rows(labeled)
    # Moving the origin changes no distance; products near it round less.
    origin = rows.mean(0, dtype=np.float64).astype(np.float32)
    rows -= origin
    centers -= origin
    first = int(np.argmin(random_keys(ids, seed)))
    return ids[greedy.k_center(rows, centers, batch_size, first)]


def _badge(
    pool: Pool, ids: np.ndarray, batch_size: int, seed: int
) -> np.ndarray:
    probabilities = _probabilities(pool, ids).astype(np.float32)
    rows = pool.rows(ids)
    generator = np.random.default_rng(seed % 2**64)
    return ids[
        greedy.k_means_plus_plus(
            greedy.last_layer_errors(probabilities), rows, batch_size, generator
        )
    ]


def _partitioned(
    select: Callable[..., np.ndarray],
    ids: np.ndarray,
    batch_size: int,
    seed: int,
    num_parts: int,
) -> np.ndarray:
    """Splits ids at random and the batch evenly; picks part by part."""
    num_parts = max(1, min(num_parts, batch_size))
    shuffled = ids[np.argsort(random_keys(ids, seed))]
    parts = np.array_split(shuffled, num_parts)
    # The batch is split like the pool: one more to each of the first parts.
    sizes = [len(p) for p in np.array_split(np.arange(batch_size), num_parts)]
    picks = [
        select(ids=np.sort(part), batch_size=size, seed=seed + i)
        for i, (part, size) in enumerate(zip(parts, sizes, strict=True))
    ]
    return np.concatenate(picks)
