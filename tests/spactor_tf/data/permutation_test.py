"""Pseudo-random order: each pass is a permutation, place by place."""

import hypothesis
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from hypothesis import strategies as st

from spactor_tf.data.permutation import shuffled, shuffled_in_graph

settings = hypothesis.settings(
    max_examples=60, deadline=None, derandomize=True, database=None
)
seeds = st.integers(0, 2**31)
GOLDEN = [
    *(3, 5, 11, 0, 2, 4, 6, 1, 10, 7, 8, 9),
    *(10, 11, 0, 4, 6, 3, 5, 7, 2, 8, 1, 9),
]


class ShuffledTest(parameterized.TestCase):
    @settings
    @hypothesis.given(st.integers(1, 300), seeds, st.integers(0, 2**40))
    def test_every_pass_visits_every_window_once(self, size, seed, number):
        start = number * size
        order = shuffled(np.arange(start, start + size), size, seed)
        self.assertEqual(sorted(order), list(range(size)))

    def test_also_of_a_large_corpus(self):
        for size in (2**16, 2**16 + 1, 99_991):
            order = shuffled(np.arange(size), size, 3)
            self.assertLen(np.unique(order), size)
            self.assertEqual(order.max(), size - 1)

    def test_a_window_number_may_need_more_than_32_bits(self):
        size = 5 * 10**9
        order = shuffled(np.arange(1000) + 7 * size, size, 0)
        self.assertLen(np.unique(order), 1000)
        self.assertBetween(order.max(), size * 0.9, size - 1)
        self.assertLess(order.min(), size * 0.1)

    @settings
    @hypothesis.given(seeds, st.integers(0, 1000))
    def test_passes_and_seeds_differ(self, seed, number):
        size = 50
        here = shuffled(np.arange(size) + number * size, size, seed)
        then = shuffled(np.arange(size) + (number + 1) * size, size, seed)
        other = shuffled(np.arange(size) + number * size, size, seed + 1)
        self.assertFalse((here == then).all())
        self.assertFalse((here == other).all())

    def test_each_place_sees_each_window_equally_often(self):
        size, passes = 7, 7000
        order = shuffled(np.arange(size * passes), size, 1)
        order = order.reshape(passes, size)
        # 1000 each; the chi-square of 6 degrees is below 27.9 but for one
        # time in 10,000.
        for place in range(size):
            counts = np.bincount(order[:, place], minlength=size)
            self.assertLess(((counts - 1000) ** 2 / 1000).sum(), 27.9)
        # So for what comes after what: six differences, 7000 / 6 each.
        step = np.bincount((order[:, 1] - order[:, 0]) % size, minlength=7)[1:]
        self.assertLess(((step - 7000 / 6) ** 2 / (7000 / 6)).sum(), 25.7)

    def test_a_place_does_not_depend_on_its_neighbors(self):
        whole = shuffled(np.arange(400), 37, 5)
        some = np.array([399, 3, 3, 38])
        np.testing.assert_array_equal(shuffled(some, 37, 5), whole[some])

    def test_the_order_never_changes(self):
        # The batches of all runs that there are depend on it.
        order = shuffled(np.arange(24), 12, 3)
        self.assertEqual(order.tolist(), GOLDEN)

    @parameterized.parameters(1, 2, 3, 4, 5, 16, 17, 1000, 4097)
    def test_a_graph_gives_the_same_order(self, size):
        for number, seed in ((0, 0), (3, 7), (2**33, 2**31)):
            place = np.arange(0, size, 1 + size // 50)
            graph = shuffled_in_graph(
                tf.constant(place),
                tf.constant(size, tf.int64),
                tf.constant(number, tf.int64),
                seed,
            )
            expected = shuffled(number * size + place, size, seed)
            np.testing.assert_array_equal(graph.numpy(), expected)


if __name__ == "__main__":
    absltest.main()
