"""MaxHerding and UHerding: cover the pool softly, or what is uncertain in it.

MaxHerding (Bae et al. 2024, arXiv 2407.12212) maximizes the generalized
coverage: the mean over the pool of the largest kernel to a labeled example.
UHerding (Bae et al. 2024, arXiv 2412.20644) weights every example with the
model's uncertainty about it: with few labels all are uncertain and it is
MaxHerding, with many it covers what is left to learn. Both are greedy.

The kernel is exp(-d / s) with d the cosine distance (the papers' Gaussian on
unit vectors). Its width s follows from the pool: the median distance to the
last listed neighbor for MaxHerding. UHerding narrows it with the labels: the
smallest distance between labeled examples, where that is less (its section
4.2; only pairs on the neighbor lists are seen). Its uncertainty is one minus
the margin. The paper also calibrates the model by a temperature; the margins
are taken as they are given here.
"""

from __future__ import annotations

import numpy as np

from al_tf.selection.candidates import random_keys
from al_tf.selection.margins import check_margins
from al_tf.selection.pool import Pool
from al_tf.selection.spreading.greedy_cover import greedy_cover
from al_tf.selection.spreading.lists import NeighborGraph, neighbor_graph

_TINY = 1e-12


def max_herding_batch(
    pool: Pool, *, batch_size: int, seed: int = 0
) -> np.ndarray:
    """Greedy cover of the pool; looks at no model.

    Returns:
        `[batch_size]` int64; any prefix is the smaller batch.
    """
    ids = pool.candidates(batch_size)
    graph = neighbor_graph(pool)
    weights = np.ones(pool.num_examples)
    return _herd(graph, ids, weights, typical_reach(graph), batch_size, seed)


def u_herding_batch(
    pool: Pool, *, batch_size: int, seed: int = 0
) -> np.ndarray:
    """Greedy cover of the uncertain examples.

    Returns:
        `[batch_size]` int64; any prefix is the smaller batch.
    """
    ids = pool.candidates(batch_size)
    margins = check_margins(pool.need("margins"))
    graph = neighbor_graph(pool)
    width = min(typical_reach(graph), _nearest_labeled_pair(graph, ids))
    weights = 1.0 - margins.astype(np.float64)
    return _herd(graph, ids, weights, width, batch_size, seed)


def typical_reach(graph: NeighborGraph) -> float:
    """Median over examples of the distance to the farthest neighbor."""
    reach = np.maximum.reduceat(graph.distances, graph.starts[:-1])
    return max(float(np.median(reach)), _TINY)


def _nearest_labeled_pair(graph: NeighborGraph, ids: np.ndarray) -> float:
    """Smallest distance of an edge between labeled examples, or infinity.

    Exact copies are left out: a width of zero would cover nothing.
    """
    n = len(graph.starts) - 1
    is_labeled = np.ones(n, bool)
    is_labeled[ids] = False
    owner = np.repeat(is_labeled, np.diff(graph.starts))
    between = owner & is_labeled[graph.ids] & (graph.distances > _TINY)
    return float(graph.distances[between].min(initial=np.inf))


def _herd(
    graph: NeighborGraph,
    ids: np.ndarray,
    weights: np.ndarray,
    width: float,
    batch_size: int,
    seed: int,
) -> np.ndarray:
    kernel = np.exp(graph.distances / np.float32(-width))
    return greedy_cover(
        graph.starts,
        graph.ids,
        kernel,
        weights,
        labeled=np.delete(np.arange(len(weights)), ids),
        candidates=ids,
        keys=random_keys(ids, seed),
        batch_size=batch_size,
    )
