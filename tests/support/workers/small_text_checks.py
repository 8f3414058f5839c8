"""small-text's real classes around Cluster-Margin.

Run by `tests/al_tf/protocols/peers_test.py` with a Python that has the package.
small-text's wheel holds its tests as the package `tests`, in place of this
repository's; what they ask of every query strategy is asked of this one.
"""

import unittest

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from small_text import (
    ConfidenceEnhancedLinearSVC,
    PoolBasedActiveLearner,
    SklearnClassifier,
    SklearnClassifierFactory,
    SklearnDataset,
    SubsamplingQueryStrategy,
)
from small_text.query_strategies import (
    EmptyPoolException,
    PoolExhaustedException,
    QueryStrategy,
)
from tests.unit.small_text.query_strategies.test_strategies import (
    SamplingStrategiesTests,
)

import al_tf
from al_tf.protocols.small_text import ClusterMargin
from runkit import InputError

CLASSES = 3


def dataset(n=200, multilabel=False):
    """Groups of near copies as sparse rows, and their classes."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.random((n // 10, 12)), 10, 0)
    rows += 0.01 * rng.random(rows.shape)
    labels = rows[:, :CLASSES].argmax(1)
    if multilabel:
        labels = sparse.csr_matrix((rows[:, :CLASSES] > 0.5).astype(int))
    return SklearnDataset(
        sparse.csr_matrix(rows), labels, target_labels=np.arange(CLASSES)
    )


class Classifier(SklearnClassifier):
    """Logistic regression that embeds and counts how often."""

    embedded = 0

    def embed(self, texts, pbar=None):
        Classifier.embedded += 1
        return texts.x.toarray()


def trained(data, labeled):
    found = Classifier(LogisticRegression(), CLASSES)
    found.fit(data[labeled])
    return found


class OwnChecksTest(unittest.TestCase, SamplingStrategiesTests):
    """What small-text's tests ask of every strategy."""

    def _get_query_strategy(self):
        return ClusterMargin()

    def _query(self, strategy, num_samples=20, n=10, **kwargs):
        rows = np.random.default_rng(0).standard_normal((num_samples, 8))
        return super()._query(
            strategy, num_samples, n, embeddings=rows, **kwargs
        )

    def _get_clf(self):
        return SklearnClassifier(ConfidenceEnhancedLinearSVC(), 2)


class OwnMultiLabelChecksTest(OwnChecksTest):
    """The same for examples with any number of classes."""

    def _is_multi_label(self):
        return True


class QueryTest(unittest.TestCase):
    def setUp(self):
        self.data = dataset()
        self.labeled = np.arange(0, 200, 20)
        self.unlabeled = np.setdiff1d(np.arange(200), self.labeled)
        self.clf = trained(self.data, self.labeled)

    def query(self, strategy=None, unlabeled=None, **options):
        return (strategy or ClusterMargin()).query(
            self.clf,
            self.data,
            self.unlabeled if unlabeled is None else unlabeled,
            self.labeled,
            self.data.y[self.labeled],
            **options,
        )

    def test_it_is_a_query_strategy(self):
        self.assertIsInstance(ClusterMargin(), QueryStrategy)
        self.assertEqual(
            str(ClusterMargin(seed=3)),
            "ClusterMargin(target_cluster_size=10, distance_threshold=None, "
            "metric='cosine', seed=3)",
        )

    def test_number_of_examples(self):
        for options, count in (({}, 10), ({"n": 5}, 5), ({"n": 190}, 190)):
            found = self.query(**options)
            self.assertEqual(len(set(found)), count)
            self.assertLessEqual(set(found), set(self.unlabeled))

    def test_empty_and_exhausted_pools(self):
        with self.assertRaises(PoolExhaustedException):
            self.query(n=191)
        with self.assertRaises(EmptyPoolException):
            self.query(unlabeled=[])

    def test_the_batch_of_select_batch(self):
        p = self.clf.predict_proba(self.data)
        clusters = al_tf.cluster_embeddings(
            self.data.x.toarray(), target_cluster_size=10
        ).cluster_ids
        for seed, k_m in ((0, None), (4, None), (4, 40)):
            expected = al_tf.select_batch(
                al_tf.margin_scores(p),
                clusters,
                batch_size=15,
                margin_batch_size=k_m,
                unlabeled=self.unlabeled,
                seed=seed,
            )
            strategy = ClusterMargin(seed=seed, margin_batch_size=k_m)
            np.testing.assert_array_equal(self.query(strategy, n=15), expected)

    def test_several_classes_an_example(self):
        self.data = dataset(multilabel=True)
        clf = Classifier(LogisticRegression(), CLASSES, multi_label=True)
        clf.fit(self.data[self.labeled])
        self.clf = clf
        clusters = al_tf.cluster_embeddings(
            self.data.x.toarray(), target_cluster_size=10
        ).cluster_ids
        expected = al_tf.select_batch(
            al_tf.multilabel_margin_scores(clf.predict_proba(self.data)),
            clusters,
            batch_size=12,
            unlabeled=self.unlabeled,
        )
        np.testing.assert_array_equal(self.query(n=12), expected)

    def test_a_dataset_is_clustered_once(self):
        strategy, before = ClusterMargin(), Classifier.embedded
        self.query(strategy)
        self.query(strategy)
        self.assertEqual(Classifier.embedded, before + 1)
        self.data = dataset()
        self.query(strategy)
        self.assertEqual(Classifier.embedded, before + 2)

    def test_given_embeddings(self):
        self.clf = SklearnClassifier(ConfidenceEnhancedLinearSVC(), CLASSES)
        self.clf.fit(self.data[self.labeled])
        with self.assertRaisesRegex(InputError, "SklearnClassifier.*SVD"):
            self.query()
        rows = self.data.x.toarray()
        first = self.query(ClusterMargin(rows))
        np.testing.assert_array_equal(self.query(embeddings=rows), first)
        with self.assertRaisesRegex(InputError, "not one row for each"):
            self.query(ClusterMargin(rows[1:]))

    def test_a_part_of_the_pool(self):
        inner = ClusterMargin(target_cluster_size=5)
        found = self.query(SubsamplingQueryStrategy(inner, 60), n=9)
        self.assertEqual(len({*found} & {*self.unlabeled}), 9)


class LoopTest(unittest.TestCase):
    def test_small_texts_own_learner(self):
        data = dataset()
        truth = data.y.copy()
        factory = SklearnClassifierFactory(
            ConfidenceEnhancedLinearSVC(), CLASSES
        )
        strategy = ClusterMargin(data.x.toarray(), seed=1)
        learner = PoolBasedActiveLearner(factory, strategy, data)
        first = np.concatenate(
            [np.flatnonzero(truth == c)[:4] for c in range(CLASSES)]
        )
        learner.initialize_data(first, truth[first])
        seen = {*first}
        for _ in range(3):
            rows = learner.query(num_samples=10)
            self.assertFalse(seen & {*rows})
            seen |= {*rows}
            learner.update(truth[rows])
        accuracy = (learner.classifier.predict(data) == truth).mean()
        self.assertGreater(accuracy, 0.9)


if __name__ == "__main__":
    unittest.main()
