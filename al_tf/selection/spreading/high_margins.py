"""Cluster-Margin with a share of examples that the model is sure about.

ShieldGemma (Zeng et al. 2024, arXiv 2407.21772, section 4) selects its training
data by Cluster-Margin and keeps one example in ten from those of large margin:
a model is told when its confident answers are wrong, and the labeled set stays
closer to the pool. Every tenth pick comes from the other end here, by the same
round-robin over clusters on one minus the margin.
"""

from __future__ import annotations

import numpy as np

from al_tf.selection import cluster_margin
from al_tf.selection.margins import check_margins
from al_tf.selection.pool import Pool
from runkit import InputError

SURE_SHARE = 0.1


def cluster_margin_mixed_batch(
    pool: Pool,
    *,
    batch_size: int,
    seed: int = 0,
    sure_share: float = SURE_SHARE,
) -> np.ndarray:
    """Uncertain examples, and a share of sure ones behind them.

    Args:
        pool: with margins and cluster ids.
        batch_size: examples to pick.
        seed: of both selections.
        sure_share: share of the batch, in [0, 1], rounded down.

    Returns:
        `[batch_size]` int64, the uncertain ones first.

    Raises:
        InputError: the share is not between 0 and 1.
    """
    if not 0 <= sure_share <= 1:
        raise InputError(
            "is not a share",
            where="sure_share",
            got=sure_share,
            expected="0 to 1",
        )
    ids = pool.candidates(batch_size)
    margins = check_margins(pool.need("margins"))
    clusters = pool.need("cluster_ids")
    sure = int(sure_share * batch_size + 1e-9)
    picks = np.empty(0, np.int64)
    for count, values in ((batch_size - sure, margins), (sure, 1 - margins)):
        if count:
            left = np.setdiff1d(ids, picks, assume_unique=True)
            batch = cluster_margin.select_batch(
                values, clusters, batch_size=count, unlabeled=left, seed=seed
            )
            picks = np.concatenate([picks, batch])
    return picks
