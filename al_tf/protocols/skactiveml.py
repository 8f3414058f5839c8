"""Cluster-Margin as a query strategy of scikit-activeml.

from al_tf.protocols.skactiveml import ClusterMargin

strategy = ClusterMargin(random_state=0)
rows = strategy.query(X, y, clf, batch_size=10)
"""

from __future__ import annotations

import numpy as np

from al_tf.clustering.build import cluster_embeddings
from al_tf.inputs.arrays import number
from al_tf.inputs.preparation import block_checksum
from al_tf.protocols.known_classes import two_classes
from al_tf.selection.cluster_margin import (
    check_margin_batch_size,
    default_margin_batch_size,
    select_batch,
)
from al_tf.selection.margins import margin_scores
from runkit import InputError

try:
    from skactiveml.base import (
        SingleAnnotatorPoolQueryStrategy,
        SkactivemlClassifier,
    )
    from skactiveml.utils import (
        MISSING_LABEL,
        check_equal_missing_label,
        check_type,
    )
    from sklearn import clone
except ImportError as error:
    raise InputError(
        f"scikit-activeml is not installed ({error})",
        where="al_tf.protocols.skactiveml",
        remedy="pip install scikit-activeml",
    ) from None


class ClusterMargin(SingleAnnotatorPoolQueryStrategy):
    """Cluster-Margin (Citovsky et al. 2021), see `al_tf.select_batch`.

    The samples are clustered once: as long as `X` stays the same, the clusters
    stay too.

    Args:
        target_cluster_size: mean size of the clusters, at most that of `X`.
        distance_threshold: largest average linkage within a cluster, in place
            of the mean size.
        metric: "cosine" or "sqeuclidean", between samples.
        margin_batch_size: uncertain samples to choose from [k_m]; None: ten
            batches, at most a quarter of the candidates.
        exact: neighbors for the clusters; see `al_tf.cluster_embeddings`.
        missing_label: the value in `y` where there is no label.
        random_state: an int is the seed of `al_tf.select_batch`.
    """

    def __init__(
        self,
        target_cluster_size=10,
        distance_threshold=None,
        metric="cosine",
        margin_batch_size=None,
        exact="auto",
        missing_label=MISSING_LABEL,
        random_state=None,
    ):
        super().__init__(missing_label=missing_label, random_state=random_state)
        self.target_cluster_size = target_cluster_size
        self.distance_threshold = distance_threshold
        self.metric = metric
        self.margin_batch_size = margin_batch_size
        self.exact = exact

    def query(
        self,
        X,
        y,
        clf,
        fit_clf=True,
        sample_weight=None,
        candidates=None,
        batch_size=1,
        return_utilities=False,
    ):
        """Chooses samples to label.

        Args:
            X: `[n, d]` all samples; also what is clustered.
            y: `[n]` labels, `missing_label` where there is none.
            clf: a `SkactivemlClassifier` with `predict_proba`.
            fit_clf: train a copy of it on `X` and `y` first.
            sample_weight: `[n]` for that training.
            candidates: None: the samples without a label. `[m]` int: these
                samples of `X`. `[m, d]`: these samples, which are clustered
                together with `X`; one that stands in `X` counts once.
            batch_size: samples to choose.
            return_utilities: whether to return utilities too.

        Returns:
            `[batch_size]` int64 positions in `X` (or in `candidates`, if those
            are samples) in pick order. With utilities: (positions,
            `[batch_size, n or m]` float64). The utility of a sample that may
            be picked falls with its place in the order of the picks, from 1 to
            above 0; that of others is minus their margin; NaN for what is no
            candidate or was picked before.
        """
        X, y, candidates, batch_size, return_utilities = self._validate_data(
            X, y, candidates, batch_size, return_utilities, reset=True
        )
        samples, mapping = self._transform_candidates(candidates, X, y)
        check_type(clf, "clf", SkactivemlClassifier)
        check_equal_missing_label(clf.missing_label, self.missing_label_)
        check_type(fit_clf, "fit_clf", bool)
        if fit_clf:
            weights = () if sample_weight is None else (sample_weight,)
            clf = clone(clf).fit(X, y, *weights)
        pool, rows = X, mapping
        if mapping is None:
            pool, rows = joined(X, samples)
        rows = np.asarray(rows, np.int64)
        margins = np.ones(len(pool), np.float32)
        margins[rows] = margin_scores(two_classes(clf.predict_proba(samples)))
        k_m = self.margin_batch_size
        if k_m is None:
            k_m = default_margin_batch_size(batch_size, len(rows))
        k_m = min(k_m, len(rows))
        check_margin_batch_size(k_m, batch_size, len(rows))
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = int(self.random_state_.randint(2**31 - 1))
        # Any prefix of the order of all k_m is the answer for a smaller batch.
        order = select_batch(
            margins,
            self._clusters(pool),
            batch_size=k_m,
            margin_batch_size=k_m,
            unlabeled=rows,
            seed=seed,
        )
        utility = np.full(len(pool), np.nan)
        utility[rows] = -margins[rows]
        utility[order] = 1 - np.arange(k_m) / k_m
        picked = order[:batch_size]
        if mapping is None:
            place = np.full(len(pool), -1)
            place[rows] = np.arange(len(rows))
            picked, utility = place[picked], utility[rows]
        if not return_utilities:
            return picked
        utilities = np.tile(utility, (batch_size, 1))
        for turn, sample in enumerate(picked, 1):
            utilities[turn:, sample] = np.nan
        return picked, utilities

    def _clusters(self, pool: np.ndarray) -> np.ndarray:
        """Clusters of a pool: those of the last query if it is the same."""
        options = {"metric": self.metric, "exact": self.exact}
        if self.distance_threshold is None:
            size = number(self.target_cluster_size, "target_cluster_size")
            options["target_cluster_size"] = min(size, len(pool))
        else:
            options["distance_threshold"] = self.distance_threshold
        key = pool.shape, block_checksum(pool, 0), options
        if getattr(self, "_kept", (None,))[0] != key:
            found = cluster_embeddings(pool.astype(np.float64), **options)
            self._kept = key, found.cluster_ids
        return self._kept[1]


def joined(
    pool: np.ndarray, samples: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Adds samples to a pool, unless they stand in it.

    Args:
        pool: `[n, d]`.
        samples: `[m, d]` of the same dtype.

    Returns:
        (all rows, `[m]` int64 the row of each sample). Of several equal rows
        or samples each counts.
    """
    free: dict[bytes, list[int]] = {}
    for row in range(len(pool) - 1, -1, -1):
        free.setdefault(pool[row].tobytes(), []).append(row)
    places: list[int] = []
    added: list[np.ndarray] = []
    for sample in samples:
        rows = free.get(sample.tobytes())
        places.append(rows.pop() if rows else len(pool) + len(added))
        if places[-1] >= len(pool):
            added.append(sample)
    return np.concatenate([pool, *(a[None] for a in added)]), np.array(places)
