"""The rule of `auto`: its leaves, and redundancy measured on the tree."""

import numpy as np
from absl.testing import absltest, parameterized

import al_tf
from al_tf.selection.spreading.advice import (
    PoolFacts,
    advise,
    facts_of,
    redundancy,
)


def families(count, size, noise=1e-3, seed=0):
    """Rows in families of near copies, in random directions."""
    random = np.random.default_rng(seed)
    rows = np.repeat(random.standard_normal((count, 8)), size, axis=0)
    return rows + noise * random.standard_normal(rows.shape)


class AdviceTest(parameterized.TestCase):
    @parameterized.parameters(
        (390_000, 64, "u_herding", "minutes at most"),
        (400_000, 64, "cluster_allocation", "more than 1e\\+13"),
        (114_000, 768, "u_herding", "minutes at most"),
        (10_000_000, 64, "cluster_allocation", "without neighbor lists"),
    )
    def test_lists_are_taken_where_they_can_be_afforded(self, n, d, name, why):
        advice = advise(PoolFacts(n, d, 0.25), n // 100)
        self.assertEqual(advice.strategy, name)
        self.assertIn(advice.strategy, al_tf.STRATEGIES)
        self.assertRegex(advice.reason, why)
        self.assertIn("25% of the pool are near copies", advice.reason)
        self.assertIn("a batch is 1.0% of it", advice.reason)

    @parameterized.parameters("cosine", "sqeuclidean")
    def test_redundancy_counts_what_merging_copies_takes_away(self, metric):
        found = []
        for count, size in ((200, 1), (50, 4), (20, 10)):
            made = al_tf.cluster_embeddings(
                families(count, size), target_cluster_size=10, metric=metric
            )
            found.append(redundancy(made))
        np.testing.assert_allclose(found, [0, 0.75, 0.9], atol=0.011)

    def test_scale_does_not_matter(self):
        rows = families(50, 4, noise=0.2)
        values = {
            redundancy(
                al_tf.cluster_embeddings(
                    factor * rows, target_cluster_size=10, metric="sqeuclidean"
                )
            )
            for factor in (1.0, 1024.0)
        }
        self.assertLen(values, 1)

    def test_a_pool_of_one_example_many_times(self):
        made = al_tf.cluster_embeddings(
            np.ones((10, 3)), target_cluster_size=10
        )
        self.assertEqual(facts_of(made), PoolFacts(10, 3, 0.9))


if __name__ == "__main__":
    absltest.main()
