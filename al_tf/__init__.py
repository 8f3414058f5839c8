"""Cluster-Margin batch active learning (Citovsky et al. 2021) at scale.

    clustering = al_tf.cluster_embeddings(embeddings, target_cluster_size=10)
    margins = al_tf.margin_scores(probabilities)
    batch = al_tf.select_batch(
        margins, clustering.cluster_ids, batch_size=1000, unlabeled=unlabeled
    )

One index frame: `example_id` is the int64 row of the full pool. One sign: a
small margin is an uncertain example. Distances, never similarities.
"""

from al_tf.baselines import STRATEGIES, Pool
from al_tf.build_clustering import cluster_embeddings
from al_tf.cluster_margin import select_batch
from al_tf.clustering import Clustering
from al_tf.clustering_store import load_clustering
from al_tf.margins import margin_scores, multilabel_margin_scores
from al_tf.unlabeled import PoolExhausted

__all__ = [
    "STRATEGIES",
    "Clustering",
    "Pool",
    "PoolExhausted",
    "cluster_embeddings",
    "load_clustering",
    "margin_scores",
    "multilabel_margin_scores",
    "select_batch",
]
