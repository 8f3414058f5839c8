"""Every strategy: unique, unlabeled, exact size, reproducible, prefixes."""

import dataclasses

import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

import al_tf
from al_tf.selection import greedy
from al_tf.selection import strategies as baselines
from runkit import InputError

# Their pick order does not depend on the batch size.
PREFIX = (
    "random",
    "margin",
    "entropy",
    "cluster_random",
    "coreset",
    "badge",
)


def make_pool(n, seed, share=0.7, duplicates=False):
    generator = np.random.default_rng(seed)
    embeddings = generator.standard_normal((n, 4)).astype(np.float32)
    if duplicates:
        embeddings[:] = embeddings[generator.integers(0, max(n // 6, 1), n)]
    p = generator.dirichlet(np.ones(3), n)
    unlabeled = np.flatnonzero(generator.random(n) < share)
    return al_tf.Pool(
        num_examples=n,
        unlabeled=unlabeled,
        margins=al_tf.margin_scores(p),
        probabilities=p,
        embeddings=embeddings,
        cluster_ids=generator.integers(0, max(n // 4, 1), n),
    )


class StrategiesTest(parameterized.TestCase):
    @parameterized.parameters(*al_tf.STRATEGIES)
    def test_properties(self, name):
        strategy = al_tf.STRATEGIES[name]

        @settings(deadline=None, max_examples=40)
        @given(
            n=st.integers(2, 50),
            seed=st.integers(0, 2**31),
            duplicates=st.booleans(),
            data=st.data(),
        )
        def check(n, seed, duplicates, data):
            pool = make_pool(n, seed % 1000, duplicates=duplicates)
            if not len(pool.unlabeled):
                return
            size = data.draw(st.integers(1, len(pool.unlabeled)))
            batch = strategy(pool, batch_size=size, seed=seed)
            self.assertEqual(batch.dtype, np.int64)
            self.assertLen(batch, size)
            self.assertLen(set(batch.tolist()), size)
            self.assertTrue(np.isin(batch, pool.unlabeled).all())
            again = strategy(pool, batch_size=size, seed=seed)
            np.testing.assert_array_equal(batch, again)
            if name in PREFIX:
                half = strategy(pool, batch_size=(size + 1) // 2, seed=seed)
                np.testing.assert_array_equal(half, batch[: (size + 1) // 2])

        check()

    @parameterized.parameters(*al_tf.STRATEGIES)
    def test_pool_exhausted(self, name):
        pool = make_pool(20, 0, share=0.5)
        with self.assertRaises(al_tf.PoolExhausted):
            al_tf.STRATEGIES[name](pool, batch_size=len(pool.unlabeled) + 1)

    def test_missing_and_short_fields_are_named(self):
        with self.assertRaisesRegex(InputError, r"pool\.margins"):
            baselines.margin_batch(al_tf.Pool(5), batch_size=1)
        pool = al_tf.Pool(5, margins=np.zeros(4))
        with self.assertRaisesRegex(InputError, "one entry"):
            baselines.margin_batch(pool, batch_size=1)

    def test_badge_without_gradients_starts_where_the_seed_says(self):
        pool = al_tf.Pool(
            num_examples=20,
            probabilities=np.tile([1.0, 0.0], (20, 1)),
            embeddings=np.ones((20, 3)),
        )
        first = {
            int(baselines.badge_batch(pool, batch_size=2, seed=seed)[0])
            for seed in range(20)
        }
        self.assertGreater(len(first), 5)

    @parameterized.parameters("coreset", "badge", "partitioned_coreset")
    def test_bad_embeddings_are_named(self, name):
        pool = make_pool(40, 0)
        pool.embeddings[17] = np.nan
        ids = np.arange(10, 40)
        pool = dataclasses.replace(pool, unlabeled=ids)
        with self.assertRaisesRegex(InputError, "in 1 rows; example ids 17"):
            al_tf.STRATEGIES[name](pool, batch_size=5)
        flat = dataclasses.replace(pool, embeddings=np.zeros(40))
        with self.assertRaisesRegex(InputError, "two dimensions"):
            al_tf.STRATEGIES[name](flat, batch_size=5)

    @parameterized.parameters("entropy", "badge")
    def test_bad_probabilities_are_named(self, name):
        pool = dataclasses.replace(make_pool(40, 0), unlabeled=np.arange(9, 40))
        pool.probabilities[17] = [-1, 2] + [0] * (
            len(pool.probabilities[0]) - 2
        )
        with self.assertRaisesRegex(InputError, "in 1 rows; example ids 17"):
            al_tf.STRATEGIES[name](pool, batch_size=5)
        flat = dataclasses.replace(pool, probabilities=np.ones(40))
        with self.assertRaisesRegex(InputError, "a column per class"):
            al_tf.STRATEGIES[name](flat, batch_size=5)

    def test_coreset_far_from_the_origin(self):
        rows = np.random.default_rng(0).standard_normal((300, 8))
        picks = [
            baselines.coreset_batch(
                al_tf.Pool(300, embeddings=rows + shift), batch_size=40
            ).tolist()
            for shift in (0, 500)
        ]
        self.assertEqual(picks[0], picks[1])

    @parameterized.parameters(*al_tf.STRATEGIES)
    def test_kinds_of_numbers(self, name):
        pool, strategy = make_pool(40, 0), al_tf.STRATEGIES[name]
        for seed in (-1, 2**64 - 1):
            batch = strategy(pool, batch_size=np.int32(5), seed=seed)
            self.assertLen(set(batch.tolist()), 5)
        with self.assertRaisesRegex(InputError, "positive whole number"):
            strategy(pool, batch_size=5.0)

    def test_margin_and_entropy_order(self):
        p = np.array([[0.9, 0.1], [0.5, 0.5], [0.7, 0.3], [1.0, 0.0]])
        pool = al_tf.Pool(4, margins=al_tf.margin_scores(p), probabilities=p)
        for strategy in (baselines.margin_batch, baselines.entropy_batch):
            self.assertEqual(
                strategy(pool, batch_size=4).tolist(), [1, 2, 0, 3]
            )

    def test_cluster_random_ignores_margins(self):
        pool = make_pool(40, 1)
        size = len(pool.unlabeled)
        batch = baselines.cluster_random_batch(pool, batch_size=size)
        first = pool.cluster_ids[batch]
        covered = len(set(pool.cluster_ids[pool.unlabeled].tolist()))
        self.assertLen(set(first[:covered].tolist()), covered)

    def test_partitioned_differs_but_covers_parts(self):
        pool = make_pool(50, 2)
        batch = baselines.partitioned_coreset_batch(
            pool, batch_size=10, num_parts=10
        )
        self.assertLen(set(batch.tolist()), 10)


class GreedyTest(parameterized.TestCase):
    @parameterized.parameters(0, 3)
    def test_k_center_against_full_distances(self, num_centers):
        generator = np.random.default_rng(3)
        rows = generator.standard_normal((60, 5)).astype(np.float32)
        centers = generator.standard_normal((num_centers, 5)).astype("f")
        picks = greedy.k_center(rows, centers, 20, first=7)
        cover = [*centers]
        for i, pick in enumerate(picks):
            if not cover:
                self.assertEqual(pick, 7)
            else:
                step = rows[:, None] - np.array(cover)[None]
                nearest = (step**2).sum(2).min(1)
                nearest[picks[:i]] = -1
                self.assertEqual(pick, nearest.argmax())
            cover.append(rows[pick])

    def test_factorized_distances_equal_those_of_gradients(self):
        generator = np.random.default_rng(4)
        p = generator.dirichlet(np.ones(3), 40).astype(np.float32)
        rows = generator.standard_normal((40, 5)).astype(np.float32)
        errors = greedy.last_layer_errors(p)
        gradients = (errors[:, :, None] * rows[:, None, :]).reshape(40, -1)
        picks = greedy.k_means_plus_plus(
            errors, rows, 12, np.random.default_rng(5)
        )
        # The same draws, from the gradients themselves.
        draws = np.random.default_rng(5)
        expected = [int((gradients**2).sum(1).argmax())]
        while len(expected) < 12:
            step = gradients[:, None] - gradients[expected][None]
            mass = np.cumsum((step.astype(np.float64) ** 2).sum(2).min(1))
            at = np.searchsorted(mass, draws.random() * mass[-1], "right")
            expected.append(int(at))
        self.assertEqual(picks.tolist(), expected)

    def test_last_layer_errors_by_hand(self):
        errors = greedy.last_layer_errors(np.array([[0.2, 0.7, 0.1]], "f"))
        np.testing.assert_allclose(errors, [[0.2, -0.3, 0.1]], atol=1e-6)


if __name__ == "__main__":
    absltest.main()
