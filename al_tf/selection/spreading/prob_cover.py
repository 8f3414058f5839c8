"""ProbCover (Yehuda et al. 2022, "Active Learning Through a Covering Lens").

Every example covers a ball of radius delta around it; the batch covers as many
examples as possible that no labeled one covers (arXiv 2205.11320, section 3).
No model is looked at.

Delta is the largest radius at which most balls are pure. The paper asks
k-means with as many clusters as classes what is pure; here the clusters of the
pool say so, which are smaller, so that delta is on the careful side. Balls end
with the neighbor lists.
"""

from __future__ import annotations

import numpy as np

from al_tf.selection.candidates import random_keys
from al_tf.selection.cluster_margin import check_cluster_ids
from al_tf.selection.pool import Pool
from al_tf.selection.spreading.greedy_cover import greedy_cover
from al_tf.selection.spreading.lists import NeighborGraph, neighbor_graph

PURITY = 0.95


def prob_cover_batch(
    pool: Pool, *, batch_size: int, seed: int = 0, purity: float = PURITY
) -> np.ndarray:
    """Covers the pool with balls; once all is covered, picks at random.

    Args:
        pool: with embeddings and cluster ids.
        batch_size: examples to pick.
        seed: decides between equal gains.
        purity: share of balls that lie in one cluster, in (0, 1].

    Returns:
        `[batch_size]` int64; any prefix is the smaller batch.
    """
    ids = pool.candidates(batch_size)
    clusters = check_cluster_ids(pool.need("cluster_ids"), pool.num_examples)
    graph = neighbor_graph(pool)
    radius = pure_radius(graph, clusters, purity)
    return greedy_cover(
        graph.starts,
        graph.ids,
        (graph.distances <= radius).astype(np.float32),
        np.ones(pool.num_examples),
        labeled=np.delete(np.arange(pool.num_examples), ids),
        candidates=ids,
        keys=random_keys(ids, seed),
        batch_size=batch_size,
    )


def pure_radius(
    graph: NeighborGraph, clusters: np.ndarray, purity: float
) -> float:
    """The largest distance of an edge at which enough balls are pure.

    A ball stops being pure at its nearest neighbor of another cluster, so one
    sort of these n distances answers for every radius.

    Args:
        graph: of the pool.
        clusters: `[n]` int.
        purity: wanted share of pure balls.

    Returns:
        Zero where no edge is short enough.
    """
    n = len(graph.starts) - 1
    foreign = _nearest_foreign(graph, clusters)
    # At most this many balls may hold a foreign neighbor.
    spoiled = min(int(np.floor((1 - purity) * n + 1e-9)), n - 1)
    limit = np.partition(foreign, spoiled)[spoiled]
    inside = graph.distances[graph.distances < limit]
    return float(inside.max(initial=0.0))


def _nearest_foreign(graph: NeighborGraph, clusters: np.ndarray) -> np.ndarray:
    """`[n]` distance to the nearest neighbor of another cluster, or inf."""
    owner = np.repeat(np.arange(len(graph.starts) - 1), np.diff(graph.starts))
    same = clusters[owner] == clusters[graph.ids]
    distances = np.where(same, np.float32(np.inf), graph.distances)
    # Every row has its example itself, so that none is empty.
    return np.minimum.reduceat(distances, graph.starts[:-1])
