"""Cluster allocation against a plain loop, by hand, and by its properties."""

import dataclasses

import numpy as np
from absl.testing import absltest, parameterized

import al_tf
from al_tf.selection.spreading import cluster_allocation
from al_tf.selection.spreading.cluster_allocation import (
    cluster_allocation_batch,
)
from runkit import InputError


def make_pool(seed, n=60, labeled=15):
    generator = np.random.default_rng(seed)
    return al_tf.Pool(
        num_examples=n,
        unlabeled=np.sort(generator.permutation(n)[labeled:]),
        margins=generator.random(n),
        embeddings=generator.standard_normal((n, 4)),
        cluster_ids=generator.integers(0, n // 5, n),
    )


def plain_batch(pool, size):
    """One pick at a time, with the clusters' offers put in order first."""
    open_ = set(pool.unlabeled.tolist())
    rows = pool.embeddings / np.linalg.norm(
        pool.embeddings, axis=1, keepdims=True
    )
    weight = 1 - pool.margins
    members = {
        c: np.array(sorted(open_ & set(np.flatnonzero(pool.cluster_ids == c))))
        for c in set(pool.cluster_ids[pool.unlabeled])
    }
    distance = {}
    for c, own in members.items():
        mean = (weight[own, None] * rows[own]).sum(0)
        distance[c] = 1 - rows[own] @ mean / np.linalg.norm(mean)
    width = np.median(
        np.concatenate([d for d in distance.values() if len(d) > 1])
    )
    offers = {}
    for c, own in members.items():
        value = weight[own] * np.exp(-distance[c] / width)
        offers[c] = own[np.argsort(-value)].tolist()
    root = {c: np.sqrt(weight[own].sum()) for c, own in members.items()}
    labels = {
        c: (pool.cluster_ids == c).sum() - len(own)
        for c, own in members.items()
    }
    picks = []
    for _ in range(size):
        best = max(
            (c for c in offers if offers[c]),
            key=lambda c: root[c] / (labels[c] + 1),
        )
        picks.append(offers[best].pop(0))
        labels[best] += 1
    return picks


class ClusterAllocationTest(parameterized.TestCase):
    def test_by_hand(self):
        # Cluster 0 is uncertain by 1.8, cluster 1 by 0.9, cluster 2 by 0.8;
        # cluster 1 has a label already.
        pool = al_tf.Pool(
            num_examples=7,
            unlabeled=np.array([0, 1, 2, 3, 5, 6]),
            margins=np.array([0.4, 0.4, 0.4, 0.1, 0.0, 0.2, 1.0]),
            embeddings=np.array(
                [[1, -1], [1, 0], [1, 1], [0, 1], [0, 1], [-1, 0], [-1, 0]],
                float,
            ),
            cluster_ids=np.array([0, 0, 0, 1, 1, 2, 2]),
        )
        batch = cluster_allocation_batch(pool, batch_size=6)
        # Roots over labels + 1: 1.34, 0.67, 0.45 of cluster 0, 0.47 of cluster
        # 1, 0.89 and 0.45 of cluster 2. Example 1 is at the mean of its own;
        # 6 is certain, and stands for nothing.
        self.assertEqual(batch[[0, 1, 3]].tolist(), [1, 5, 3])
        self.assertIn(batch[2], (0, 2))
        self.assertCountEqual(batch[4:], {0, 2, 6} - {batch[2]})

    @parameterized.product(seed=tuple(range(8)), labeled=(0, 15, 40))
    def test_equals_the_plain_loop(self, seed, labeled):
        pool = make_pool(seed, labeled=labeled)
        self.assertEqual(
            cluster_allocation_batch(pool, batch_size=20, seed=seed).tolist(),
            plain_batch(pool, 20),
        )

    @parameterized.parameters(*range(4))
    def test_a_prefix_is_the_smaller_batch(self, seed):
        pool = make_pool(seed)
        whole = cluster_allocation_batch(pool, batch_size=45, seed=seed)
        part = cluster_allocation_batch(pool, batch_size=13, seed=seed)
        self.assertEqual(part.tolist(), whole[:13].tolist())

    @parameterized.parameters(*range(4))
    def test_names_of_clusters_and_lengths_of_rows_do_not_count(self, seed):
        pool = make_pool(seed)
        generator = np.random.default_rng(seed)
        other = dataclasses.replace(
            pool,
            cluster_ids=1000 - 7 * pool.cluster_ids,
            # Powers of two change no digit.
            embeddings=pool.embeddings
            * 2.0 ** generator.integers(-3, 4, (60, 1)),
        )
        self.assertEqual(
            cluster_allocation_batch(pool, batch_size=30).tolist(),
            cluster_allocation_batch(other, batch_size=30).tolist(),
        )

    def test_copies_that_are_certain_wait_for_all_others(self):
        """A family whose labels are learned is not asked about again."""
        n = 40
        margins = np.full(n, 0.5)
        margins[:20] = 1.0
        pool = al_tf.Pool(
            num_examples=n,
            margins=margins,
            embeddings=np.eye(21)[np.maximum(np.arange(n) - 19, 0)],
            cluster_ids=np.maximum(np.arange(n) - 19, 0),
        )
        batch = cluster_allocation_batch(pool, batch_size=25)
        self.assertCountEqual(batch[:20], range(20, 40))

    @parameterized.parameters(
        ("all certain", np.ones(30), np.ones((30, 2))),
        ("rows of zeros", np.zeros(30), np.zeros((30, 2))),
    )
    def test_what_is_equal_is_left_to_chance(self, _, margins, rows):
        pool = al_tf.Pool(
            num_examples=30,
            margins=margins,
            embeddings=rows,
            cluster_ids=np.arange(30) // 3,
        )
        first = {
            int(cluster_allocation_batch(pool, batch_size=1, seed=seed)[0])
            for seed in range(30)
        }
        self.assertGreater(len(first), 10)

    def test_singletons_need_no_width(self):
        pool = dataclasses.replace(make_pool(0), cluster_ids=np.arange(60))
        batch = cluster_allocation_batch(pool, batch_size=45)
        # Every cluster is as uncertain as its only example.
        margins = pool.margins[batch]
        self.assertEqual(margins.tolist(), sorted(margins.tolist()))

    def test_distances_by_hand(self):
        rows = np.array([[2, 0], [0, 1], [0, 0], [3, 4]], np.float32)
        found = cluster_allocation.mean_distances(
            rows, np.array([1.0, 1.0, 1.0, 0.5]), np.array([0, 0, 0, 1])
        )
        side = 1 - np.sqrt(0.5)
        np.testing.assert_allclose(found, [side, side, 1, 0], atol=1e-6)

    @parameterized.parameters("margins", "embeddings", "cluster_ids")
    def test_what_is_missing_is_named(self, name):
        pool = dataclasses.replace(make_pool(0), **{name: None})
        with self.assertRaisesRegex(InputError, rf"pool\.{name}"):
            cluster_allocation_batch(pool, batch_size=3)


if __name__ == "__main__":
    absltest.main()
