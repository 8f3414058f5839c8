"""The standardized head, against numbers worked out by hand."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl.testing import absltest

from spactor_tf.classifier.head import StandardizedHead

# Means 2 and 10; deviations 1 and 5.
STATES = np.array([[1.0, 5.0], [3.0, 15.0]], np.float32)
KERNEL = np.array([[1.0, -1.0], [0.5, 2.0]], np.float32)
BIAS = np.array([0.25, -3.0], np.float32)


def logits(head, states):
    return head.dense(head.standardized(states)).numpy()


class HeadTest(absltest.TestCase):
    def test_a_new_head_is_undecided(self):
        np.testing.assert_array_equal(
            logits(StandardizedHead(2, 3), STATES), np.zeros((2, 3))
        )

    def test_standardized_states_have_mean_0_and_deviation_1(self):
        head = StandardizedHead(2, 2)
        head.standardize(STATES)
        np.testing.assert_allclose(
            head.standardized(STATES), [[-1, -1], [1, 1]], atol=1e-6
        )

    def test_standardizing_changes_no_logits(self):
        head = StandardizedHead(2, 2)
        head.set_weights(KERNEL, BIAS)
        # 1 * 1 + 5 * 0.5 + 0.25 and so on.
        expected = [[3.75, 6.0], [10.75, 24.0]]
        np.testing.assert_allclose(logits(head, STATES), expected, rtol=1e-6)
        head.standardize(STATES)
        np.testing.assert_allclose(logits(head, STATES), expected, rtol=1e-5)
        kernel, bias = head.weights()
        np.testing.assert_allclose(kernel, KERNEL, rtol=1e-6)
        np.testing.assert_allclose(bias, BIAS, rtol=1e-4)

    def test_what_hardly_varies_is_not_blown_up(self):
        head = StandardizedHead(2, 2)
        head.standardize(np.array([[0.0, 1.0], [2.0, 1.0]], np.float32))
        # The deviations are 1 and 0; a tenth of their mean is 0.05.
        np.testing.assert_allclose(head.scale.numpy(), [1, 20], rtol=1e-6)
        head.standardize(np.ones((4, 2), np.float32))
        np.testing.assert_array_equal(head.scale.numpy(), [1, 1])


if __name__ == "__main__":
    absltest.main()
