"""Batch selection against the paper's loop."""

import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

import al_tf
from al_tf.selection import candidates as unlabeled
from al_tf.selection import cluster_margin
from runkit import InputError


def paper_loop(clusters, keys, batch_size):
    """Algorithm 1, step by step; `keys` fix the random draws."""
    members = {}
    for position in np.argsort(keys, kind="stable"):
        members.setdefault(int(clusters[position]), []).append(int(position))
    queue = sorted(
        members, key=lambda c: (len(members[c]), keys[max(members[c])])
    )
    picked = []
    while len(picked) < batch_size:
        for cluster in queue:
            if members[cluster] and len(picked) < batch_size:
                picked.append(members[cluster].pop(0))
    return picked


class RoundRobinTest(absltest.TestCase):
    def test_equals_the_loop_in_a_thousand_cases(self):
        generator = np.random.default_rng(0)
        for case in range(1000):
            m = int(generator.integers(1, 60))
            clusters = generator.integers(0, generator.integers(1, 40), m)
            if case % 3 == 0:  # ids of a large pool
                clusters = clusters * 1_000_003
            keys = unlabeled.random_keys(np.arange(m), case)
            batch_size = int(generator.integers(1, m + 1))
            np.testing.assert_array_equal(
                cluster_margin.round_robin(clusters, keys, batch_size),
                paper_loop(clusters, keys, batch_size),
            )

    def test_by_hand(self):
        # Sizes: cluster 7 has one, 2 has two, 5 has three candidates.
        clusters = np.array([5, 2, 5, 7, 2, 5])
        keys = np.array([30, 9, 20, 50, 1, 10], np.uint64)
        keys = keys << np.uint64(50)
        order = cluster_margin.round_robin(clusters, keys, 6)
        self.assertEqual(order.tolist(), [3, 4, 5, 1, 2, 0])

    def test_equally_large_clusters_take_turns_at_random(self):
        # Numbered in the order of the pool, as `cluster_embeddings` does.
        margins, clusters = np.zeros(2000), np.arange(2000) // 2
        picks = [
            al_tf.select_batch(
                margins,
                clusters,
                batch_size=200,
                margin_batch_size=2000,
                seed=seed,
            )
            for seed in (0, 1)
        ]
        for batch in picks:
            self.assertLen(set(clusters[batch]), 200)
            self.assertBetween(batch.mean(), 850, 1150)
        # Of 1,000 clusters either draws a fifth.
        self.assertLess(len({*clusters[picks[0]]} & {*clusters[picks[1]]}), 80)

    def test_first_draw_is_uniform(self):
        counts = np.zeros(5)
        for seed in range(4000):
            keys = unlabeled.random_keys(np.arange(5), seed)
            counts[cluster_margin.round_robin(np.zeros(5, int), keys, 1)] += 1
        # Five cells of 800; chi-squared with 4 degrees of freedom.
        self.assertLess(((counts - 800) ** 2 / 800).sum(), 20)


class SelectBatchTest(parameterized.TestCase):
    @settings(deadline=None, max_examples=150)
    @given(
        n=st.integers(1, 60),
        share=st.floats(0.1, 1.0),
        data=st.data(),
        seed=st.integers(-5, 2**40),
    )
    def test_properties(self, n, share, data, seed):
        generator = np.random.default_rng(n)
        ids = np.flatnonzero(generator.random(n) < share)
        if not len(ids):
            return
        margins = generator.integers(0, 5, n) / 4
        clusters = generator.integers(0, 8, n)
        k_m = data.draw(st.integers(1, len(ids)))
        k_t = data.draw(st.integers(1, k_m))
        kwargs = {"margin_batch_size": k_m, "unlabeled": ids, "seed": seed}
        batch = al_tf.select_batch(margins, clusters, batch_size=k_t, **kwargs)
        self.assertEqual(batch.dtype, np.int64)
        self.assertLen(set(batch), k_t)
        self.assertLen(batch, k_t)
        self.assertTrue(np.isin(batch, ids).all())
        # Only from the k_m smallest margins.
        border = np.sort(margins[ids])[k_m - 1]
        self.assertLessEqual(margins[batch].max(), border)
        whole = al_tf.select_batch(margins, clusters, batch_size=k_m, **kwargs)
        np.testing.assert_array_equal(whole[:k_t], batch)

    def test_neither_order_nor_mask_matters(self):
        generator = np.random.default_rng(1)
        margins, clusters = generator.random(100), generator.integers(0, 9, 100)
        ids = generator.permutation(100)[:60]
        mask = np.zeros(100, bool)
        mask[ids] = True
        one = al_tf.select_batch(margins, clusters, batch_size=9, unlabeled=ids)
        two = al_tf.select_batch(
            margins, clusters, batch_size=9, unlabeled=mask
        )
        np.testing.assert_array_equal(one, two)
        other = al_tf.select_batch(
            margins, clusters, batch_size=9, unlabeled=ids, seed=1
        )
        self.assertNotEqual(one.tolist(), other.tolist())

    def test_small_clusters_come_first(self):
        margins = np.zeros(10)
        clusters = np.array([0] * 6 + [1] * 3 + [2])
        batch = al_tf.select_batch(
            margins, clusters, batch_size=3, margin_batch_size=10
        )
        self.assertEqual(clusters[batch].tolist(), [2, 1, 0])

    @parameterized.parameters((10, 1000, 100), (10, 200, 50), (60, 100, 60))
    def test_default_margin_batch(self, k_t, unlabeled_count, expected):
        self.assertEqual(
            cluster_margin.default_margin_batch_size(k_t, unlabeled_count),
            expected,
        )

    def test_equal_margins_are_decided_at_random_not_by_id(self):
        margins, clusters = np.zeros(1000), np.arange(1000)
        batch = al_tf.select_batch(
            margins, clusters, batch_size=100, margin_batch_size=100
        )
        self.assertBetween(batch.mean(), 400, 600)

    @parameterized.named_parameters(
        ("nan", {"margins": [0.1, np.nan, 0.2]}, "ids 1"),
        ("range", {"margins": [0.1, 2.0, 0.2]}, "ids 1"),
        ("length", {"cluster_ids": [0, 0]}, "one entry"),
        ("float_clusters", {"cluster_ids": [0.0, 1, 2]}, "whole numbers"),
        ("negative_cluster", {"cluster_ids": [0, -1, 2]}, "not negative"),
        ("zero", {"batch_size": 0}, "positive"),
        ("k_m", {"margin_batch_size": 1, "batch_size": 2}, "between"),
        ("k_m_large", {"margin_batch_size": 4}, "between"),
        ("repeated", {"unlabeled": [0, 1, 1]}, "given twice; got 1"),
        ("id_range", {"unlabeled": [0, 3]}, "out of range; got 3"),
        ("negative_id", {"unlabeled": [-1, 2]}, "out of range; got -1"),
        ("float_ids", {"unlabeled": [0.0, 1.0]}, "whole numbers"),
        ("mask", {"unlabeled": [True, False]}, "whole pool"),
    )
    def test_bad_input(self, change, message):
        arguments = {
            "margins": [0.1, 0.2, 0.3],
            "cluster_ids": [0, 1, 1],
            "batch_size": 1,
            **change,
        }
        margins = np.array(arguments.pop("margins"))
        clusters = np.array(arguments.pop("cluster_ids"))
        if "unlabeled" in arguments:
            arguments["unlabeled"] = np.array(arguments["unlabeled"])
        with self.assertRaisesRegex(InputError, message):
            al_tf.select_batch(margins, clusters, **arguments)

    def test_pool_exhausted_names_the_numbers(self):
        with self.assertRaisesRegex(al_tf.PoolExhausted, "only 2 .*got 3") as e:
            al_tf.select_batch(
                np.zeros(5),
                np.zeros(5, int),
                batch_size=3,
                unlabeled=np.array([1, 4]),
            )
        self.assertEqual((e.exception.available, e.exception.requested), (2, 3))


if __name__ == "__main__":
    absltest.main()
