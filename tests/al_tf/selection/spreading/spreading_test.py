"""Later strategies against plain oracles over all n^2 pairs."""

import dataclasses

import numpy as np
from absl.testing import absltest, parameterized

import al_tf
from al_tf.selection.candidates import random_keys
from al_tf.selection.spreading import (
    herding,
    high_margins,
    lists,
    prob_cover,
    seals,
    typi_clust,
)
from runkit import InputError


def make_pool(seed, n=60, k=5, labeled=12):
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((n, 6)).astype(np.float32)
    rows[n // 2 :] = rows[: n - n // 2] + 0.2 * rows[n // 2 :]
    p = generator.dirichlet(np.ones(3), n)
    return al_tf.Pool(
        num_examples=n,
        unlabeled=np.sort(generator.permutation(n)[labeled:]),
        margins=al_tf.margin_scores(p),
        probabilities=p,
        embeddings=rows,
        cluster_ids=generator.integers(0, n // 5, n),
        neighbors=oracle_lists(rows, k),
    )


def cosine_distances(rows):
    unit = rows.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return 1 - unit @ unit.T


def oracle_lists(rows, k):
    distance = cosine_distances(rows)
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, 1)[:, :k].astype(np.int32)


def oracle_distances(pool):
    """`[n, n]`; infinite for pairs that are on neither list."""
    n = pool.num_examples
    listed = np.zeros((n, n), bool)
    np.put_along_axis(listed, pool.neighbors.astype(np.int64), True, 1)
    listed |= listed.T
    distance = np.where(listed, cosine_distances(pool.embeddings), np.inf)
    np.fill_diagonal(distance, 0)
    return distance


def plain_greedy(kernel, weights, pool, batch, seed, rounding=1e-6):
    """Follows the batch with the plain greedy, every gain anew.

    Returns:
        For each pick what the plain greedy picks there; the pick itself where
        it is as good to within rounding.
    """
    labeled = np.delete(np.arange(pool.num_examples), pool.unlabeled)
    cover = kernel[labeled].max(0, initial=0)
    left, expected = list(pool.unlabeled), []
    keys = dict(zip(left, random_keys(pool.unlabeled, seed), strict=True))
    for pick in batch.tolist():
        gains = {i: weights @ np.maximum(kernel[i] - cover, 0) for i in left}
        best = min(left, key=lambda i: (-gains[i], keys[i]))
        is_as_good = gains[best] - gains[pick] < rounding
        expected.append(pick if is_as_good else int(best))
        left.remove(pick)
        cover = np.maximum(cover, kernel[pick])
    return expected


class ListsTest(absltest.TestCase):
    def test_the_graph_is_that_of_all_pairs(self):
        pool = make_pool(0)
        graph = lists.neighbor_graph(pool)
        expected = oracle_distances(pool)
        found = np.full(expected.shape, np.inf)
        for i in range(pool.num_examples):
            row = slice(graph.starts[i], graph.starts[i + 1])
            self.assertEqual(graph.ids[row][0], i)
            self.assertLen(set(graph.ids[row].tolist()), row.stop - row.start)
            found[i, graph.ids[row]] = graph.distances[row]
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_missing_lists_are_the_exact_ones(self):
        pool = make_pool(1, k=lists.NUM_NEIGHBORS)
        alone = dataclasses.replace(pool, neighbors=None)
        for found, expected in zip(
            lists.neighbor_graph(alone), lists.neighbor_graph(pool), strict=True
        ):
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(
            lists.neighbor_lists(pool.embeddings, 5),
            oracle_lists(pool.embeddings, 5),
        )

    def test_bad_lists_are_named(self):
        pool = make_pool(2)
        for bad, words in (
            (np.zeros(60, np.int32), "lists of example ids"),
            (np.zeros((60, 2)), "lists of example ids"),
            (np.full((60, 2), 60), "out of range"),
            (np.full((60, 2), -2), "out of range"),
            (np.zeros((59, 2), np.int32), "one entry per example"),
        ):
            with self.assertRaisesRegex(InputError, words):
                lists.neighbor_graph(dataclasses.replace(pool, neighbors=bad))


class CoverTest(parameterized.TestCase):
    @parameterized.product(seed=tuple(range(5)), labeled=(0, 12))
    def test_prob_cover(self, seed, labeled):
        pool = make_pool(seed, labeled=labeled)
        distance = oracle_distances(pool)
        radius = prob_cover.pure_radius(
            lists.neighbor_graph(pool), pool.cluster_ids, 0.8
        )
        kernel = (distance <= radius + 1e-7).astype(float)
        batch = prob_cover.prob_cover_batch(
            pool, batch_size=30, seed=seed, purity=0.8
        )
        # Sums of ones are exact, and keys decide.
        self.assertEqual(
            batch.tolist(),
            plain_greedy(kernel, np.ones(60), pool, batch, seed, rounding=0),
        )

    @parameterized.product(seed=tuple(range(5)), purity=(0.5, 0.8, 0.95, 1.0))
    def test_radius_is_the_largest_that_is_pure_enough(self, seed, purity):
        pool = make_pool(seed)
        # Clusters that mean something, so that some balls are pure.
        ids = np.arange(60) % 30 // 3
        graph = lists.neighbor_graph(pool)
        distance = oracle_distances(pool)
        same = ids[:, None] == ids

        def share(radius):
            return ((distance > radius) | same).all(1).mean()

        edges = np.unique(graph.distances)
        good = [r for r in edges if share(r + 1e-7) >= purity]
        found = prob_cover.pure_radius(graph, ids, purity)
        self.assertAlmostEqual(found, max(good, default=0.0), places=6)

    @parameterized.product(seed=tuple(range(5)), labeled=(0, 12))
    def test_max_herding(self, seed, labeled):
        pool = make_pool(seed, labeled=labeled)
        distance = oracle_distances(pool)
        reach = np.where(np.isinf(distance), 0, distance).max(1)
        kernel = np.exp(-distance / np.median(reach))
        batch = herding.max_herding_batch(pool, batch_size=20, seed=seed)
        self.assertEqual(
            batch.tolist(), plain_greedy(kernel, np.ones(60), pool, batch, seed)
        )

    @parameterized.parameters(*range(5))
    def test_u_herding(self, seed):
        pool = make_pool(seed, labeled=30)
        distance = oracle_distances(pool)
        reach = np.where(np.isinf(distance), 0, distance).max(1)
        labeled = np.delete(np.arange(60), pool.unlabeled)
        between = distance[np.ix_(labeled, labeled)]
        width = min(np.median(reach), between[between > 0].min())
        kernel = np.exp(-distance / width)
        weights = 1 - pool.margins
        batch = herding.u_herding_batch(pool, batch_size=20, seed=seed)
        self.assertEqual(
            batch.tolist(), plain_greedy(kernel, weights, pool, batch, seed)
        )

    def test_sure_examples_are_not_worth_covering(self):
        pool = make_pool(3, labeled=0)
        margins = np.ones(60)
        margins[[7, 8]] = 0.0
        pool = dataclasses.replace(
            pool, margins=margins, neighbors=np.full((60, 1), -1)
        )
        batch = herding.u_herding_batch(pool, batch_size=2)
        self.assertCountEqual(batch.tolist(), [7, 8])


class TypiClustTest(parameterized.TestCase):
    @parameterized.parameters(*range(5))
    def test_against_one_pick_at_a_time(self, seed):
        pool = make_pool(seed)
        distance = np.sqrt(oracle_distances(pool))
        listed = np.isfinite(distance)
        np.fill_diagonal(listed, False)
        mean = np.where(listed, distance, 0).sum(1) / listed.sum(1)
        batch = typi_clust.typi_clust_batch(pool, batch_size=30, seed=seed)
        size = np.bincount(pool.cluster_ids)
        taken = np.bincount(
            np.delete(pool.cluster_ids, pool.unlabeled), minlength=len(size)
        )
        left = set(pool.unlabeled.tolist())
        for pick in batch.tolist():
            own = pool.cluster_ids[pick]

            def place(cluster):
                small = size[cluster] < typi_clust.LEAST_MEMBERS
                return small, taken[cluster], -size[cluster]

            first = min(place(pool.cluster_ids[i]) for i in left)
            self.assertEqual(place(own), first)
            members = [i for i in left if pool.cluster_ids[i] == own]
            self.assertEqual(mean[pick], min(mean[members]))
            left.remove(pick)
            taken[own] += 1


class SealsTest(parameterized.TestCase):
    @parameterized.product(seed=tuple(range(4)), size=(3, 20, 40))
    def test_rings_against_all_pairs(self, seed, size):
        pool = make_pool(seed, k=2, labeled=4)
        is_edge = np.isfinite(oracle_distances(pool)).astype(int)
        reached = np.ones(60, bool)
        reached[pool.unlabeled] = False
        labeled = reached.copy()
        for _ in range(60):
            reached = (is_edge @ reached) > 0
            near = reached & ~labeled
            if near.sum() >= size:
                break
        else:
            near = ~labeled
        ids = np.flatnonzero(near)
        np.testing.assert_array_equal(
            seals.near_labeled(
                lists.neighbor_graph(pool), pool.unlabeled, size
            ),
            ids,
        )
        expected = ids[np.argsort(pool.margins[ids])][:size]
        batch = seals.seals_batch(pool, batch_size=size, seed=seed)
        np.testing.assert_array_equal(batch, expected)

    def test_nothing_labeled_is_plain_margin(self):
        pool = make_pool(0, labeled=0)
        np.testing.assert_array_equal(
            seals.seals_batch(pool, batch_size=9),
            al_tf.STRATEGIES["margin"](pool, batch_size=9),
        )


class HighMarginsTest(absltest.TestCase):
    def test_one_in_ten_is_sure(self):
        pool = dataclasses.replace(
            make_pool(0, labeled=0), cluster_ids=np.arange(60)
        )
        batch = high_margins.cluster_margin_mixed_batch(pool, batch_size=10)
        # The margin batch of ten is a quarter of the pool, of one ten.
        order = np.argsort(pool.margins)
        self.assertContainsSubset(batch[:9].tolist(), order[:15].tolist())
        self.assertIn(batch[9], order[-10:])

    def test_shares_at_the_ends_and_beyond(self):
        pool = make_pool(1)
        batch = high_margins.cluster_margin_mixed_batch
        np.testing.assert_array_equal(
            batch(pool, batch_size=9, sure_share=0.0),
            al_tf.STRATEGIES["cluster_margin"](pool, batch_size=9),
        )
        self.assertLen(set(batch(pool, batch_size=48, sure_share=1.0)), 48)
        with self.assertRaisesRegex(InputError, "is not a share"):
            batch(pool, batch_size=9, sure_share=1.5)


if __name__ == "__main__":
    absltest.main()
