"""SEALS: similarity search for efficient active learning (Coleman et al. 2020).

Only the neighbors of labeled examples are looked at; among them any strategy
may choose, here the smallest margins (arXiv 2007.00077, algorithm 2). The cost
of a round follows the number of labels and not the pool's, where the model
scores candidates alone. Rings of neighbors are added until there are enough.
"""

from __future__ import annotations

import numpy as np

from al_tf.selection.candidates import random_keys
from al_tf.selection.cluster_margin import smallest_margins
from al_tf.selection.margins import check_margins
from al_tf.selection.pool import Pool
from al_tf.selection.spreading.lists import NeighborGraph, neighbor_graph


def seals_batch(pool: Pool, *, batch_size: int, seed: int = 0) -> np.ndarray:
    """Smallest margins among the neighbors of labeled examples.

    Args:
        pool: with margins and embeddings. Nothing labeled: all are candidates.
        batch_size: examples to pick.
        seed: decides between equal margins.

    Returns:
        `[batch_size]` int64, smallest margins first.
    """
    ids = pool.candidates(batch_size)
    margins = check_margins(pool.need("margins"))
    near = near_labeled(neighbor_graph(pool), ids, batch_size)
    picked = smallest_margins(margins, near, batch_size, seed)
    return picked[np.lexsort((random_keys(picked, seed), margins[picked]))]


def near_labeled(
    graph: NeighborGraph, ids: np.ndarray, at_least: int
) -> np.ndarray:
    """Unlabeled examples that are neighbors of labeled ones.

    Args:
        graph: of the pool.
        ids: `[m]` int64 ascending, the unlabeled ones.
        at_least: rings of neighbors are added until there are as many; all
            unlabeled ones where the rings end before that.

    Returns:
        `[c]` int64 ascending.
    """
    n = len(graph.starts) - 1
    is_open = np.zeros(n, bool)
    is_open[ids] = True
    reached = ~is_open
    ring = np.flatnonzero(reached)
    while len(ring):
        counts = np.diff(graph.starts)[ring]
        first = np.repeat(graph.starts[ring], counts)
        within = np.arange(len(first)) - np.repeat(
            np.cumsum(counts) - counts, counts
        )
        found = np.unique(graph.ids[first + within])
        ring = found[~reached[found]]
        reached[ring] = True
        near = np.flatnonzero(reached & is_open)
        if len(near) >= at_least:
            return near
    return ids
