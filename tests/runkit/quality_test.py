"""Metrics of classifiers: hand-computed values, undefined cases."""

import numpy as np
from absl.testing import absltest

from runkit import quality


class QualityTest(absltest.TestCase):
    def test_multiclass(self):
        p = np.array([[0.6, 0.4, 0], [0.1, 0.7, 0.2], [0.5, 0.3, 0.2]])
        found = quality.evaluate(p, np.array([0, 1, 1]))
        self.assertAlmostEqual(found["accuracy"], 2 / 3)
        # Class 0: its one example is first. Class 1: ranks 1 and 3 of
        # (0.7, 0.4, 0.3): (1 + 2/3) / 2. Nobody is of class 2.
        self.assertAlmostEqual(
            found["average_precision"], (1 + (1 + 2 / 3) / 2) / 2
        )

    def test_multilabel(self):
        p = np.array([[0.9, 0.2], [0.6, 0.8], [0.2, 0.7]])
        labels = np.array([[1, 0], [0, 1], [1, 1]])
        found = quality.evaluate(p, labels)
        self.assertAlmostEqual(found["accuracy"], 1 / 3)
        self.assertAlmostEqual(
            found["average_precision"], ((1 + 2 / 3) / 2 + 1) / 2
        )

    def test_nothing_to_test_on(self):
        found = quality.evaluate(np.zeros((0, 3)), np.zeros(0, int))
        self.assertEqual(found, {"accuracy": None, "average_precision": None})

    def test_one_class_only(self):
        found = quality.evaluate(np.array([[0.9, 0.1]]), np.array([0]))
        self.assertEqual(found, {"accuracy": 1.0, "average_precision": None})

    def test_indicator(self):
        np.testing.assert_array_equal(
            quality.indicator(np.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]]
        )


if __name__ == "__main__":
    absltest.main()
