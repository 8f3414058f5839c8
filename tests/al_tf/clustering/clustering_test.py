"""`cluster_embeddings`, and a clustering that is cut, saved and extended."""

import numpy as np
from absl.testing import absltest, parameterized
from scipy.cluster import hierarchy

import al_tf
from al_tf.clustering.options import ClusteringOptions
from al_tf.inputs.embeddings import Embeddings, open_embeddings
from al_tf.neighbors import scann_index
from runkit import InputError


def families(n=200, d=6, seed=0):
    generator = np.random.default_rng(seed)
    centers = generator.standard_normal((n // 5, d))
    rows = np.repeat(centers, 5, 0) + 0.05 * generator.standard_normal((n, d))
    return rows.astype(np.float32)


class ClusterEmbeddingsTest(parameterized.TestCase):
    @parameterized.parameters("cosine", "sqeuclidean")
    def test_equals_scipy_in_the_metric_itself(self, metric):
        rows = families(seed=1).astype(np.float64)
        tree = hierarchy.linkage(rows, "average", metric)
        at = np.quantile(tree[:, 2], 0.8) * (1 + 1e-9)
        made = al_tf.cluster_embeddings(
            rows, distance_threshold=at, metric=metric
        )
        expected = hierarchy.fcluster(tree, at, "distance")
        pairs = set(zip(made.cluster_ids, expected, strict=True))
        self.assertEqual(len(pairs), made.num_clusters)
        self.assertEqual(len(pairs), expected.max())
        below = np.sort(tree[:, 2][tree[:, 2] <= at])
        np.testing.assert_allclose(made.merge_distances, below, atol=1e-9)

    def test_extreme_magnitude_and_offset_change_nothing(self):
        rows = families(seed=2).astype(np.float64)
        made = al_tf.cluster_embeddings(
            rows, distance_threshold=0.1, metric="sqeuclidean"
        )
        for scale in (1e-12, 1e12):
            moved = al_tf.cluster_embeddings(
                rows * scale + 3 * scale,
                distance_threshold=0.1 * scale**2,
                metric="sqeuclidean",
            )
            np.testing.assert_array_equal(made.cluster_ids, moved.cluster_ids)
            np.testing.assert_allclose(
                moved.merge_distances,
                made.merge_distances * scale**2,
                rtol=1e-6,
            )

    def test_target_size_and_cut_at_a_smaller_threshold(self):
        rows = families(seed=3)
        made = al_tf.cluster_embeddings(rows, target_cluster_size=5)
        self.assertEqual(made.num_clusters, 40)
        at = float(np.median(made.merge_distances))
        direct = al_tf.cluster_embeddings(rows, distance_threshold=at)
        cut = made.cut(at, rows)
        np.testing.assert_array_equal(cut.cluster_ids, direct.cluster_ids)
        np.testing.assert_allclose(cut.centers, direct.centers)
        with self.assertRaisesRegex(InputError, "cannot be cut"):
            made.cut(1.9, rows)

    @parameterized.product(n=(4, 7, 32), count=(1, 2, 3))
    def test_ties_do_not_overshoot_the_asked_count(self, n, count):
        made = al_tf.cluster_embeddings(
            np.eye(n), target_cluster_size=n / count
        )
        self.assertEqual(made.num_clusters, count)
        again = made.cut(made.distance_threshold, np.eye(n))
        np.testing.assert_array_equal(again.cluster_ids, made.cluster_ids)

    def test_the_hash_decides_among_tied_pairs(self):
        # Ten pairs at one distance, of which five may merge.
        rows = np.repeat(100.0 * np.arange(10), 2)[:, None]
        rows[1::2] += 1
        made = al_tf.cluster_embeddings(
            rows, target_cluster_size=20 / 15, metric="sqeuclidean"
        )
        pairs = made.cluster_ids.reshape(10, 2)
        merged = np.flatnonzero(pairs[:, 0] == pairs[:, 1])
        self.assertLen(merged, 5)
        self.assertNotIn(merged.tolist(), [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]])

    def test_ids_are_numbered_by_first_example(self):
        ids = al_tf.cluster_embeddings(
            families(seed=4)[::-1].copy(), target_cluster_size=5
        ).cluster_ids
        _, first = np.unique(ids, return_index=True)
        self.assertTrue((np.diff(first) > 0).all())

    @parameterized.parameters(1, 2, 3)
    def test_tiny_pools(self, n):
        rows = families()[:n]
        made = al_tf.cluster_embeddings(rows, distance_threshold=2.0)
        self.assertEqual(made.cluster_ids.tolist(), [0] * n)
        made = al_tf.cluster_embeddings(rows, target_cluster_size=1)
        self.assertEqual(made.num_clusters, n)

    def test_all_rows_identical(self):
        rows = np.ones((300, 4), np.float32)
        for size in (1, 10, 300):
            made = al_tf.cluster_embeddings(rows, target_cluster_size=size)
            self.assertEqual(made.num_clusters, 1)
        self.assertEqual(made.variances.tolist(), [0.0])

    @parameterized.named_parameters(
        ("empty", np.zeros((0, 3)), {}, "empty pool"),
        ("zero_row", np.eye(3)[[0, 1]] * [[1], [0]], {}, "ids 1"),
        ("nan", np.array([[1.0, 2], [np.nan, 1]]), {}, "NaN .*ids 1"),
        ("inf", np.array([[np.inf, 2], [2.0, 1]]), {}, "ids 0"),
        ("dtype", np.ones((3, 2), int), {}, "floating-point"),
        ("shape", np.ones(3), {}, "two dimensions"),
        ("metric", np.eye(2), {"metric": "cosin"}, "Did you mean 'cosine'"),
        ("negative", np.eye(2), {"distance_threshold": -1.0}, "negative"),
        ("exact", np.eye(2), {"exact": "yes"}, "unknown choice"),
        ("k", np.eye(2), {"num_neighbors": 0}, "at least 1"),
        (
            "both",
            np.eye(2),
            {"target_cluster_size": 2},
            "exactly one of distance_threshold",
        ),
    )
    def test_bad_input(self, rows, change, message):
        arguments = {"distance_threshold": 0.5, **change}
        with self.assertRaisesRegex(InputError, message):
            al_tf.cluster_embeddings(rows, **arguments)

    def test_impossible_target(self):
        for size in (0.5, 3):
            with self.assertRaisesRegex(InputError, "mean cluster size"):
                al_tf.cluster_embeddings(np.eye(2), target_cluster_size=size)

    def test_auto_says_what_it_chose(self):
        def chosen(n: int):
            return ClusteringOptions(target_cluster_size=9).choose_index(
                (n, 64)
            )

        self.assertTrue(chosen(1000).exact)
        patch = absltest.mock.patch.object
        with patch(scann_index, "is_available", lambda: True):
            exact, reason = chosen(10_000_000)
        self.assertFalse(exact)
        self.assertIn("6.4e+15 multiply-adds", reason)
        with patch(scann_index, "is_available", lambda: False):
            exact, reason = chosen(10_000_000)
        self.assertTrue(exact)
        self.assertIn("not installed", reason)


class PassesTest(parameterized.TestCase):
    """How often the pool is read, which takes minutes where it is large."""

    def reads(self, pool, function) -> int:
        """Passes over the pool; those over its copy do not count."""
        with absltest.mock.patch.object(
            Embeddings, "blocks", autospec=True, side_effect=Embeddings.blocks
        ) as blocks:
            function()
        return sum(call.args[0] is pool for call in blocks.call_args_list)

    @parameterized.parameters(np.float16, np.float32, np.float64)
    def test_twice_to_cluster_once_to_cut_or_check(self, dtype):
        pool = open_embeddings(families(seed=3).astype(dtype))
        made = al_tf.cluster_embeddings(pool, target_cluster_size=5)
        reads = self.reads(
            pool,
            lambda: al_tf.cluster_embeddings(pool, target_cluster_size=5),
        )
        self.assertEqual(reads, 2)
        self.assertEqual(self.reads(pool, lambda: made.cut(0.0, pool)), 1)
        self.assertEqual(self.reads(pool, lambda: made.check_pool(pool)), 1)


class AssignTest(absltest.TestCase):
    def test_near_examples_join_and_far_ones_stand_alone(self):
        rows = families(seed=5)
        made = al_tf.cluster_embeddings(rows, target_cluster_size=5)
        new = np.concatenate([rows[::5] * 2, -rows[:3]])
        ids = made.assign(new)
        self.assertEqual(ids.dtype, np.int64)
        np.testing.assert_array_equal(ids[:40], made.cluster_ids[::5])
        self.assertEqual(
            ids[40:].tolist(), [made.num_clusters + i for i in range(3)]
        )

    def test_joins_by_average_linkage(self):
        rows = np.random.default_rng(6).standard_normal((60, 3))
        made = al_tf.cluster_embeddings(
            rows, target_cluster_size=6, metric="sqeuclidean"
        )
        new = np.random.default_rng(7).standard_normal((50, 3))
        ids = made.assign(new)
        pairs = ((new[:, None] - rows[None]) ** 2).sum(2)
        linkage = np.stack(
            [
                pairs[:, made.cluster_ids == c].mean(1)
                for c in range(made.num_clusters)
            ],
            1,
        )
        joins = linkage.min(1) <= made.distance_threshold
        self.assertTrue(joins.any() and not joins.all())
        np.testing.assert_array_equal(ids[joins], linkage.argmin(1)[joins])
        self.assertTrue((ids[~joins] >= made.num_clusters).all())

    def test_clusters_far_apart_and_far_from_the_origin(self):
        generator = np.random.default_rng(9)
        centers = 5 * generator.standard_normal((60, 4))
        centers[30:, 0] += 1e6
        for scale in (1.0, 1e15):
            rows = centers[:, None] + generator.standard_normal((60, 8, 4)) / 50
            rows *= scale
            made = al_tf.cluster_embeddings(
                rows.reshape(-1, 4),
                distance_threshold=0.5 * scale**2,
                metric="sqeuclidean",
            )
            self.assertEqual(made.num_clusters, 60)
            new = rows[:, 0] + scale * 0.01
            expected = made.cluster_ids.reshape(60, 8)[:, 0]
            np.testing.assert_array_equal(made.assign(new), expected)
            far = made.assign(np.full((1, 4), 1e60))
            self.assertEqual(far.tolist(), [60])

    def test_other_dimension(self):
        made = al_tf.cluster_embeddings(families(), target_cluster_size=5)
        with self.assertRaisesRegex(InputError, "dimension"):
            made.assign(np.ones((2, 5)))


if __name__ == "__main__":
    absltest.main()
