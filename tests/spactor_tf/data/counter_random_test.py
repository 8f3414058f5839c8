"""Random numbers from counters: uniform, unrelated, never tied."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


import numpy as np
import scipy.stats
import tensorflow as tf
from absl.testing import absltest, parameterized

from spactor_tf.data.corruption import replacement_uniforms
from spactor_tf.data.counter_random import MAX_KEYS, sorting_keys, uniforms


class CounterRandomTest(parameterized.TestCase):
    def test_uniforms_are_uniform(self):
        index = tf.range(2000, dtype=tf.int64)
        numbers = replacement_uniforms(index, 50, seed=1).numpy()
        self.assertEqual(numbers.dtype, np.float32)
        self.assertBetween(numbers.min(), 0, 1e-3)
        self.assertBetween(numbers.max(), 1 - 1e-3, np.float32(1 - 2**-24))
        self.assertGreater(
            scipy.stats.kstest(numbers.ravel(), "uniform").pvalue, 1e-3
        )
        for axis in (0, 1):
            shifted = np.roll(numbers, 1, axis)
            r = np.corrcoef(shifted.ravel(), numbers.ravel())[0, 1]
            self.assertLess(abs(r), 0.015)  # Nearly five standard deviations.

    @parameterized.parameters(2**31 - 1, 2**32 - 2, 2**40)
    def test_large_example_numbers_differ_from_small_ones(self, first):
        near = tf.range(first, first + 4, dtype=tf.int64)
        far = tf.range(4, dtype=tf.int64)
        numbers = np.concatenate(
            [uniforms(i, 30, 0, 0).numpy() for i in (near, far)]
        )
        self.assertLen(np.unique(numbers[:, 0]), 8)

    def test_seed_and_stream_matter(self):
        index = tf.constant([9], tf.int64)
        rows = {
            tuple(uniforms(index, 8, seed, stream).numpy()[0])
            for seed in (0, 1, 2, 2**31 - 1, 2**31)
            for stream in range(4)
        }
        self.assertLen(rows, 20)

    def test_sorting_keys_are_never_tied(self):
        keys = sorting_keys(
            tf.range(50, dtype=tf.int64), MAX_KEYS - 1, 0, 0
        ).numpy()
        self.assertGreaterEqual(keys.min(), 0)
        for row in keys:
            self.assertLen(np.unique(row), MAX_KEYS - 1)


if __name__ == "__main__":
    absltest.main()
