"""scikit-activeml's own checks of a query strategy, for Cluster-Margin.

Run by `tests/al_tf/protocols/peers_test.py` with a Python that has the package.
"""

import pathlib
import sys
import unittest

import numpy as np
import skactiveml
from skactiveml.classifier import MixtureModelClassifier, ParzenWindowClassifier
from skactiveml.utils import MISSING_LABEL
from sklearn.datasets import make_blobs

import al_tf
from al_tf.protocols.skactiveml import ClusterMargin, joined

# Releases after 0.6.1 leave the checks out of their wheels.
skactiveml.__path__.append(str(pathlib.Path(sys.prefix, "checks/skactiveml")))
from skactiveml.tests.template_query_strategy import (  # noqa: E402
    TemplateSingleAnnotatorPoolQueryStrategy,
)


def blobs():
    return make_blobs(n_samples=200, centers=4, n_features=5, random_state=0)


class OwnChecksTest(
    TemplateSingleAnnotatorPoolQueryStrategy, unittest.TestCase
):
    """The template's checks; it asks for a case of each parameter."""

    def setUp(self):
        X, y = blobs()
        y = y.astype(float)
        y[20:] = MISSING_LABEL
        classes = [0, 1, 2, 3]
        super().setUp(
            qs_class=ClusterMargin,
            init_default_params={},
            query_default_params_clf={
                "X": X,
                "y": y,
                "clf": ParzenWindowClassifier(random_state=42, classes=classes),
            },
        )

    def test_init_param_target_cluster_size(self):
        cases = [(0, ValueError), ("x", ValueError), (1, None), (1e9, None)]
        self._test_param("init", "target_cluster_size", cases)

    def test_init_param_distance_threshold(self):
        cases = [(-1, ValueError), ("x", ValueError), (0.1, None), (None, None)]
        self._test_param("init", "distance_threshold", cases)

    def test_init_param_metric(self):
        cases = [("cosin", ValueError), ("sqeuclidean", None)]
        self._test_param("init", "metric", cases)

    def test_init_param_margin_batch_size(self):
        cases = [(0, ValueError), (1.5, ValueError), (7, None), (10**6, None)]
        self._test_param("init", "margin_batch_size", cases)

    def test_init_param_exact(self):
        cases = [("maybe", ValueError), (True, None), ("auto", None)]
        self._test_param("init", "exact", cases)

    def test_query_param_clf(self):
        cases = [(ParzenWindowClassifier(classes=[0, 1, 2, 3]), None)]
        cases += [(MixtureModelClassifier(classes=[0, 1, 2, 3]), None)]
        super().test_query_param_clf(test_cases=cases)

    def test_query(self):
        params = self.query_default_params_clf
        X, y = params["X"], params["y"]
        clf = params["clf"]
        margins = al_tf.margin_scores(clf.fit(X, y).predict_proba(X))
        clusters = al_tf.cluster_embeddings(
            X, target_cluster_size=10
        ).cluster_ids
        for seed, size in ((0, 1), (3, 17), (3, 30)):
            strategy = ClusterMargin(random_state=seed)
            found, utilities = strategy.query(
                X, y, clf, batch_size=size, return_utilities=True
            )
            expected = al_tf.select_batch(
                margins,
                clusters,
                batch_size=size,
                unlabeled=np.arange(20, 200),
                seed=seed,
            )
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(
                np.nanargmax(utilities, axis=1), found
            )
            np.testing.assert_array_equal(
                strategy.query(X, y, clf, batch_size=size), expected
            )

    def test_samples_as_candidates(self):
        params = self.query_default_params_clf
        X, y, clf = (params[name] for name in ("X", "y", "clf"))
        strategy = ClusterMargin(random_state=1)
        expected = strategy.query(X, y, clf, batch_size=9)
        found = strategy.query(X, y, clf, candidates=X[20:], batch_size=9)
        np.testing.assert_array_equal(found + 20, expected)
        # X may hold the labeled samples alone.
        rows, utilities = strategy.query(
            X[:20],
            y[:20],
            clf,
            candidates=X[20:],
            batch_size=9,
            return_utilities=True,
        )
        np.testing.assert_array_equal(rows, found)
        self.assertEqual(utilities.shape, (9, 180))

    def test_equal_samples_each_count(self):
        pool, places = joined(
            np.array([[0.0], [1.0], [1.0]]),
            np.array([[1.0], [1.0], [1.0], [2]]),
        )
        self.assertEqual(pool.ravel().tolist(), [0, 1, 1, 1, 2])
        self.assertEqual(places.tolist(), [1, 2, 3, 4])

    def test_weights_are_passed_to_the_training(self):
        params = self.query_default_params_clf
        X, y, clf = (params[name] for name in ("X", "y", "clf"))
        weights = np.where(np.arange(200) < 10, 1.0, 1e-6)
        margins = al_tf.margin_scores(clf.fit(X, y, weights).predict_proba(X))
        strategy = ClusterMargin(
            random_state=0, target_cluster_size=1, margin_batch_size=5
        )
        found = strategy.query(X, y, clf, sample_weight=weights, batch_size=5)
        self.assertEqual(
            set(found), set(20 + np.argsort(margins[20:], kind="stable")[:5])
        )

    def test_a_loop_learns(self):
        X, truth = blobs()
        y = np.full(200, MISSING_LABEL)
        clf = ParzenWindowClassifier(classes=[0, 1, 2, 3], random_state=0)
        strategy = ClusterMargin(random_state=0)
        for _ in range(4):
            rows = strategy.query(X, y, clf, batch_size=10)
            self.assertTrue(np.isnan(y[rows]).all())
            y[rows] = truth[rows]
        self.assertGreater((clf.fit(X, y).predict(X) == truth).mean(), 0.9)


if __name__ == "__main__":
    unittest.main()
