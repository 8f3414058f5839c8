"""Heads on fixed embeddings, against scikit-learn used directly."""

import numpy as np
from absl.testing import absltest, parameterized
from sklearn.linear_model import LogisticRegression

from al_tf.learners.head_learner import HEADS, HeadLearner
from tests.support import loop_data


class HeadLearnerTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.pool = loop_data.blobs(120)
        self.ids = np.arange(60)

    def learner(self, **options):
        return HeadLearner(self.pool.inputs, 3, **options)

    def test_linear_is_logistic_regression_on_scaled_rows(self):
        learner = self.learner()
        learner.fit(self.ids, self.pool.labels[:60], seed=0)
        p, embeddings = learner.score(np.arange(60, 120))
        rows = self.pool.inputs - self.pool.inputs.mean(0)
        rows /= np.sqrt((rows**2).mean())
        model = LogisticRegression().fit(rows[:60], self.pool.labels[:60])
        np.testing.assert_allclose(p, model.predict_proba(rows[60:]), atol=1e-3)
        np.testing.assert_array_equal(embeddings, self.pool.inputs[60:])

    @parameterized.parameters(*HEADS)
    def test_cold_start_forgets(self, head):
        learner = self.learner(head=head)
        learner.fit(self.ids, self.pool.labels[:60], seed=1)
        first = learner.score(self.ids)
        learner.fit(self.ids[:9], self.pool.labels[:9][::-1], seed=2)
        learner.fit(self.ids, self.pool.labels[:60], seed=1)
        for mine, expected in zip(learner.score(self.ids), first, strict=True):
            np.testing.assert_array_equal(mine, expected)

    def test_warm_start_continues_from_the_last_weights(self):
        cold = self.learner(head="mlp", max_iter=2)
        warm = self.learner(head="mlp", max_iter=2, warm_start=True)
        for learner in (cold, warm):
            for _ in range(10):
                learner.fit(self.ids, self.pool.labels[:60], seed=1)
        loss = [
            -np.log(p[self.ids, self.pool.labels[:60]]).mean()
            for p in (cold.score(self.ids)[0], warm.score(self.ids)[0])
        ]
        self.assertLess(loss[1], loss[0])
        warm.reset()
        warm.fit(self.ids, self.pool.labels[:60], seed=1)
        np.testing.assert_array_equal(
            warm.score(self.ids)[0], cold.score(self.ids)[0]
        )

    @parameterized.product(head=HEADS, warm_start=(False, True))
    def test_missing_classes_have_probability_zero(self, head, warm_start):
        learner = self.learner(head=head, warm_start=warm_start)
        for allowed in ((1,), (0, 1), (0, 1, 2)):
            ids = np.flatnonzero(np.isin(self.pool.labels, allowed))
            learner.fit(ids, self.pool.labels[ids], seed=0)
            p, embeddings = learner.score(self.ids)
            self.assertEqual(p.dtype, np.float32)
            self.assertEqual(embeddings.dtype, np.float32)
            np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
            missing = np.setdiff1d(np.arange(3), allowed)
            self.assertEqual(p[:, missing].sum(), 0)
            self.assertTrue((p[:, list(allowed)].max(0) > 0).all())

    @parameterized.parameters(*HEADS)
    def test_multilabel(self, head):
        pool = loop_data.blobs(200, multilabel=True)
        labels = pool.labels.copy()
        labels[:, 2] = 0  # Nobody has it.
        learner = HeadLearner(pool.inputs, 3, multilabel=True, head=head)
        ids = np.arange(200)
        learner.fit(ids, labels, seed=0)
        p, embeddings = learner.score(ids)
        self.assertEqual((len(p), len(embeddings)), (200, 200))
        self.assertGreater(((p > 0.5) == labels).mean(), 0.9)
        self.assertLess(p[:, 2].max(), 0.5)

    def accuracy(self, rows):
        learner = HeadLearner(rows.astype(np.float32), 3)
        learner.fit(self.ids, self.pool.labels[:60], seed=0)
        found = learner.score(np.arange(61, 120))[0].argmax(1)
        return (found == self.pool.labels[61:]).mean()

    def test_outliers_and_scales_cost_no_accuracy(self):
        rows = self.pool.inputs.astype(np.float64)
        usual = self.accuracy(rows)
        row, labeled = rows.copy(), rows.copy()
        row[60] *= 1000
        labeled[5] *= 1e6
        noise = np.random.default_rng(0).standard_normal((120, 1))
        column = np.concatenate([rows, 1e4 * noise], 1)
        for name, changed in {
            "row": row,
            "labeled row": labeled,
            "column": column,
        }.items():
            with self.subTest(name), self.assertLogs(level="WARNING"):
                self.assertGreater(self.accuracy(changed), usual - 0.05)
        for factor in (1e-30, 1e-14, 1e14, 1e30):
            with self.subTest(factor), self.assertNoLogs(level="WARNING"):
                self.assertEqual(self.accuracy(rows * factor), usual)


if __name__ == "__main__":
    absltest.main()
