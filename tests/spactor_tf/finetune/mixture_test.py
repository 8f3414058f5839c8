"""Mixtures: shares, passes, buckets; every batch a function of the step."""

import collections

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from spactor_tf.data.encoding import TokenRows
from spactor_tf.finetune import mixture


def rows(lengths, first=10):
    """Row i holds its own number, as often as its length says."""
    flat = [np.full(n, first + i) for i, n in enumerate(lengths)]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return TokenRows(np.concatenate(flat).astype(np.int32), starts)


def task(name, size, first=10):
    lengths = [1 + i % 5 for i in range(size)]
    return mixture.TokenizedTask(
        name, rows(lengths, first), rows([2] * size, first)
    )


def mix(sizes, cap=1000, batch_size=4, seed=0, **more):
    tasks = tuple(
        task(str(i), size, 100 * (i + 1)) for i, size in enumerate(sizes)
    )
    return mixture.Mixture(tasks, cap, batch_size, seed, 64, 64, **more)


class BucketTest(parameterized.TestCase):
    @parameterized.parameters(
        (1, 8),
        (8, 8),
        (9, 12),
        (12, 12),
        (13, 16),
        (17, 24),
        (25, 32),
        (33, 48),
        (200, 256),
        (97, 100),
        (400, 100),
    )
    def test_lengths(self, length, bucket):
        limit = 100 if length in (97, 400) else 512
        self.assertEqual(mixture.bucket_length(length, limit), bucket)

    def test_few_shapes_and_little_padding(self):
        found = {n: mixture.bucket_length(n, 512) for n in range(8, 513)}
        self.assertLessEqual(len(set(found.values())), 13)
        self.assertLessEqual(max(b / n for n, b in found.items()), 1.5)


class MixtureTest(parameterized.TestCase):
    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(st.integers(1, 40), min_size=1, max_size=4),
        st.integers(1, 50),
        st.integers(0, 2**31 - 1),
    )
    def test_a_pass_holds_the_capped_counts_of_distinct_rows(
        self, sizes, cap, seed
    ):
        one = mix(sizes, cap, seed=seed)
        size = int(one.counts.sum())
        self.assertEqual(size, sum(min(n, cap) for n in sizes))
        for number in range(2):
            index = np.arange(number * size, (number + 1) * size)
            tasks, places = one.places(index)
            counts = np.bincount(tasks, minlength=len(sizes))
            np.testing.assert_array_equal(counts, one.counts)
        # Uncapped, every row comes once a pass.
        tasks, places = one.places(np.arange(size))
        seen = collections.Counter(zip(tasks, places, strict=True))
        for (number, _), count in seen.items():
            if sizes[number] <= cap:
                self.assertEqual(count, 1)

    def test_a_capped_task_goes_on_where_it_stopped(self):
        one = mix([12, 3], cap=4)  # A pass: 4 of the first, 3 of the second.
        tasks, places = one.places(np.arange(3 * 7))
        first = places[tasks == 0]
        self.assertCountEqual(first, range(12))
        self.assertCountEqual(places[tasks == 1], [0, 1, 2] * 3)

    def test_orders_differ_between_passes_seeds_and_tasks(self):
        one = mix([50])
        first, second = (one.places(np.arange(50) + n)[1] for n in (0, 50))
        other = mix([50], seed=1).places(np.arange(50))[1]
        for pair in ((first, second), (first, other), (first, np.arange(50))):
            self.assertGreater((pair[0] != pair[1]).sum(), 30)

    def test_batches_are_a_function_of_the_step(self):
        one = mix([30, 9], cap=10)
        whole = list(one.dataset(0, 6).as_numpy_iterator())
        later = list(one.dataset(3, 6).as_numpy_iterator())
        for a, b in zip(whole[3:], later, strict=True):
            for name in ("encoder_tokens", "decoder_targets"):
                np.testing.assert_array_equal(a[name], b[name])

    def test_a_batch_holds_the_rows_of_its_places(self):
        one = mix([30, 9], cap=10)
        batch = next(iter(one.dataset(2, 3)))
        tasks, places = one.places(np.arange(8, 12))
        self.assertEqual(batch["encoder_tokens"].shape, (4, 8))
        for task_, place, tokens, targets in zip(
            tasks,
            places,
            batch["encoder_tokens"].numpy(),
            batch["decoder_targets"].numpy(),
            strict=True,
        ):
            length = 1 + place % 5
            value = 100 * (task_ + 1) + place
            np.testing.assert_array_equal(tokens[:length], value)
            np.testing.assert_array_equal(tokens[length:], 0)
            np.testing.assert_array_equal(targets, [value] * 2 + [0] * 6)

    def test_replicas_share_one_batch_and_its_length(self):
        lengths = rows([3, 40, 5, 6, 20, 8, 9, 10])
        part = mixture.TokenizedTask("a", lengths, rows([2] * 8))
        one = mixture.Mixture((part,), 100, 8, 0, 64, 64)
        whole = next(iter(one.dataset(0, 1)))["encoder_tokens"]
        halves = list(one.dataset(0, 1, replicas=2))
        both = tf.concat([h["encoder_tokens"] for h in halves], 0)
        np.testing.assert_array_equal(whole, both)
        self.assertEqual(whole.shape, (8, 48))

    def test_static_shapes(self):
        one = mix([9], static=True)
        spec = one.dataset(0, 1).element_spec
        self.assertEqual(spec["encoder_tokens"].shape, (4, 64))
        self.assertEqual(spec["decoder_targets"].shape, (4, 64))

    def test_description(self):
        lines = mix([30, 10], cap=20).describe()
        self.assertEqual([line["examples"] for line in lines], [30, 10])
        self.assertAlmostEqual(lines[0]["share"], 2 / 3)


if __name__ == "__main__":
    absltest.main()
