"""How many of the true neighbors an approximate search finds."""

from __future__ import annotations

import numpy as np

from al_tf.neighbors.exact_index import ExactIndex


def measure_recall(
    rows: np.ndarray,
    ids: np.ndarray,
    *,
    sample_size: int = 500,
    seed: int = 0,
) -> float:
    """Share of the true nearest neighbors that the lists hold.

    Args:
        rows: `[n, d]` float32.
        ids: `[n, k]` neighbor lists of all rows.
        sample_size: rows whose true neighbors are computed.
        seed: random seed of the sample.

    Returns:
        Mean over the sample of |listed and true| / |true|, in [0, 1]; 1.0
        where there is nothing to find.
    """
    sample = probe_sample(len(rows), sample_size, seed)
    true = true_neighbors(rows, sample, ids.shape[1])
    return recall(ids[sample], true)


def probe_sample(n: int, sample_size: int, seed: int) -> np.ndarray:
    """Ids of a random sample of rows, ascending."""
    generator = np.random.default_rng(seed % 2**64)
    return np.sort(generator.choice(n, min(sample_size, n), replace=False))


def true_neighbors(rows: np.ndarray, sample: np.ndarray, k: int) -> np.ndarray:
    """The k nearest rows of each sampled row, by brute force."""
    return ExactIndex(rows).search(rows[sample], k, sample).ids


def recall(found: np.ndarray, true: np.ndarray) -> float:
    """Mean share of `true` ids (`[q, k]`, -1 = none) that `found` holds."""
    hit = (true[:, :, None] == found[:, None, :]).any(2) & (true >= 0)
    total = int((true >= 0).sum())
    return float(hit.sum() / total) if total else 1.0
