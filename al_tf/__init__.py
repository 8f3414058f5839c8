"""Cluster-Margin batch active learning (Citovsky et al. 2021) at scale.

    clustering = al_tf.cluster_embeddings(embeddings, target_cluster_size=10)
    margins = al_tf.margin_scores(probabilities)
    batch = al_tf.select_batch(
        margins, clustering.cluster_ids, batch_size=1000, unlabeled=unlabeled
    )

One index frame: `example_id` is the int64 row of the full pool. One sign: a
small margin is an uncertain example. Distances, never similarities.
`__init__.pyi` lists the public names.
"""

import lazy_loader

from runkit.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
