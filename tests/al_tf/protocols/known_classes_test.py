"""Ids, labels and classes from outside that would be taken for others."""

import numpy as np
from absl.testing import absltest, parameterized

import al_tf
from runkit import InputError

ROWS = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32)


class KnownClassesTest(parameterized.TestCase):
    @parameterized.parameters(
        ({"classes": "ab"}, "classes: must be a list"),
        ({"classes": {"a", "b"}}, "classes: must be a list"),
        ({"classes": [None, "a"]}, "classes: is missing"),
        ({"classes": [float("nan"), 1]}, "classes: is missing"),
        ({"classes": [float("inf"), 1]}, "classes: is not a class"),
        ({"classes": [[1], [2]]}, "classes: is not a class"),
        ({"classes": ["01", "1"]}, "classes: .* the same class"),
        ({"ids": set(range(12))}, "ids: must be a list"),
        ({"ids": [2**70, *range(11)]}, "ids: are not ids"),
        ({"ids": np.arange(12, dtype="u8") + 2**63}, "ids: are not ids"),
        ({"ids": ["a", *range(11)]}, "ids: are not ids"),
        ({"ids": np.ma.array(range(12), mask=[1, *[0] * 11])}, "ids: .*masked"),
    )
    def test_construction(self, change, message):
        with self.assertRaisesRegex(InputError, message):
            al_tf.ActiveLearner(ROWS, **change)

    @parameterized.parameters(
        (["a", "a "], "labels: .* the same class"),
        (np.ma.array([1, 2], mask=[1, 0]), "labels: has masked"),
        ([float("inf"), 1], "label of 3: is not a class"),
        ([{}, {}], "label of 3: is not a class"),
        ({"a", "b"}, "labels: must be a list"),
    )
    def test_labels(self, labels, message):
        learner = al_tf.ActiveLearner(ROWS)
        with self.assertRaisesRegex(InputError, message):
            learner.update([3, 5], labels)
        self.assertEqual(learner.labels, {})

    @parameterized.parameters(np.nan, 1e200)
    def test_numbers_that_no_model_can_learn_from(self, value):
        rows = ROWS.astype(np.float64)
        rows[7, 0] = value
        with self.assertRaisesRegex(InputError, "embeddings: NaN .* ids 7"):
            al_tf.ActiveLearner(rows)


if __name__ == "__main__":
    absltest.main()
