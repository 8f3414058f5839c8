"""Cluster-Margin as a query strategy of small-text.

from al_tf.protocols.small_text import ClusterMargin

learner = PoolBasedActiveLearner(factory, ClusterMargin(seed=0), dataset)
rows = learner.query(num_samples=10)
"""

from __future__ import annotations

import weakref
from typing import Any, Literal

import numpy as np
from scipy import sparse

from al_tf.clustering.build import cluster_embeddings
from al_tf.inputs.arrays import number
from al_tf.inputs.embeddings import Source
from al_tf.protocols.known_classes import two_classes
from al_tf.selection.cluster_margin import select_batch
from al_tf.selection.margins import margin_scores, multilabel_margin_scores
from runkit import InputError

try:
    from small_text.query_strategies import QueryStrategy
except ImportError as error:
    raise InputError(
        f"small-text is not installed ({error})",
        where="al_tf.protocols.small_text",
        remedy="pip install small-text",
    ) from None


class ClusterMargin(QueryStrategy):
    """Cluster-Margin (Citovsky et al. 2021), see `al_tf.select_batch`.

    A dataset is clustered at its first query and keeps its clusters, whatever
    the classifier learns later.

    Args:
        embeddings: `[n, d]` of the whole dataset, anything that
            `al_tf.cluster_embeddings` takes; None: those of the classifier's
            `embed` at the first query.
        target_cluster_size: mean size of the clusters, at most n.
        distance_threshold: largest average linkage within a cluster, in place
            of the mean size.
        metric: "cosine" or "sqeuclidean".
        margin_batch_size: uncertain examples to choose from [k_m]; None: ten
            batches, at most a quarter of the unlabeled examples.
        exact: neighbors for the clusters; see `al_tf.cluster_embeddings`.
        seed: random seed; see `al_tf.select_batch`.
    """

    def __init__(
        self,
        embeddings: Source | None = None,
        *,
        target_cluster_size: float = 10,
        distance_threshold: float | None = None,
        metric: str = "cosine",
        margin_batch_size: int | None = None,
        exact: bool | Literal["auto"] = "auto",
        seed: int = 0,
    ):
        self.embeddings = embeddings
        self.target_cluster_size = target_cluster_size
        self.distance_threshold = distance_threshold
        self.metric, self.exact = metric, exact
        self.margin_batch_size, self.seed = margin_batch_size, seed
        # The dataset that was clustered, not kept alive by it; its clusters.
        self._dataset: Any = None
        self._cluster_ids = np.zeros(0, np.int64)

    def query(
        self,
        clf,
        dataset,
        indices_unlabeled,
        indices_labeled,
        y,
        n=10,
        pbar="tqdm",
        embeddings=None,
        embed_kwargs=None,
    ):
        """Chooses examples to label.

        Args:
            clf: a classifier of small-text. Its scores of an example's
                classes are divided by their sum.
            dataset: all examples.
            indices_unlabeled: `[m]` int, those that may be picked.
            indices_labeled: not looked at.
            y: labels of the labeled examples; a sparse matrix if an example
                may have any number of classes.
            n: examples to choose.
            pbar: passed to the classifier's `embed`.
            embeddings: `[len(dataset), d]`, at the first query of a dataset.
            embed_kwargs: passed to the classifier's `embed`.

        Returns:
            `[n]` int64 positions in the dataset in pick order.

        Raises:
            EmptyPoolException: nothing is unlabeled.
            PoolExhaustedException: fewer than `n` examples are.
            InputError: no embeddings, or bad ones; scores that are no
                numbers or negative.
        """
        del indices_labeled
        self._validate_query_input(indices_unlabeled, n)
        if self._dataset is None or self._dataset() is not dataset:
            embed = {"pbar": pbar, **(embed_kwargs or {})}
            self._cluster(clf, dataset, embeddings, embed)
        rows = np.asarray(indices_unlabeled, np.int64)
        found = np.asarray(clf.predict_proba(dataset[rows]))
        margins = np.ones(len(self._cluster_ids), np.float32)
        if sparse.issparse(y):
            margins[rows] = multilabel_margin_scores(found)
        else:
            found = two_classes(found)
            # small-text takes any scores, such as those of linear models.
            found = found / found.sum(1, keepdims=True)
            margins[rows] = margin_scores(found)
        k_m = self.margin_batch_size
        return select_batch(
            margins,
            self._cluster_ids,
            batch_size=n,
            margin_batch_size=None if k_m is None else min(k_m, len(rows)),
            unlabeled=rows,
            seed=self.seed,
        )

    def _cluster(
        self, clf: Any, dataset: Any, embeddings: Source | None, embed: Any
    ) -> None:
        """Clusters the dataset and remembers which one it was."""
        source = self.embeddings if embeddings is None else embeddings
        if source is None:
            if not hasattr(clf, "embed"):
                raise InputError(
                    "are missing, and this classifier makes none",
                    where="embeddings",
                    got=type(clf).__name__,
                    remedy="Pass ClusterMargin(embeddings=...), for TF-IDF "
                    "such as TruncatedSVD(64).fit_transform(dataset.x)",
                )
            source = np.asarray(clf.embed(dataset, **embed))
        cut: dict[str, Any] = {"distance_threshold": self.distance_threshold}
        if self.distance_threshold is None:
            size = number(self.target_cluster_size, "target_cluster_size")
            cut = {"target_cluster_size": min(size, len(dataset))}
        found = cluster_embeddings(
            source, metric=self.metric, exact=self.exact, **cut
        ).cluster_ids
        if len(found) != len(dataset):
            raise InputError(
                "not one row for each example of the dataset",
                where="embeddings",
                got=len(found),
                expected=str(len(dataset)),
            )
        self._dataset, self._cluster_ids = weakref.ref(dataset), found

    def __str__(self) -> str:
        return (
            f"ClusterMargin(target_cluster_size={self.target_cluster_size}, "
            f"distance_threshold={self.distance_threshold}, "
            f"metric={self.metric!r}, seed={self.seed})"
        )
