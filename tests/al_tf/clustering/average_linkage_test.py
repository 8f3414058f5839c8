"""Average linkage against scipy: same partitions, same heights, any ties."""

import itertools
from unittest import mock

import numba
import numpy as np
import pytest
from absl.testing import absltest, parameterized
from scipy.cluster import hierarchy
from scipy.spatial import distance

from al_tf.clustering import average_linkage as hac
from al_tf.clustering import cluster_search, hac_kernels
from al_tf.clustering.members import component_ids
from al_tf.neighbors import contraction, exact_index, scann_index
from al_tf.neighbors.exact_index import ExactIndex


def points(kind: str, n: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    if kind == "gauss":
        rows = generator.standard_normal((n, 8))
    elif kind == "uniform":
        rows = generator.random((n, 3))
    elif kind == "families":
        centers = generator.standard_normal((n // 5 + 1, 6))
        rows = np.repeat(centers, 5, 0)[:n]
        rows = rows + 0.05 * generator.standard_normal((n, 6))
    else:  # duplicates
        centers = generator.standard_normal((n // 4 + 1, 6))
        rows = centers[generator.integers(0, len(centers), n)]
    return rows / np.sqrt((rows**2).sum(1).max())


def cluster(rows: np.ndarray, **kwargs):
    merges, effort, _ = hac.average_linkage(rows.copy(), **kwargs)
    pairs = np.stack([merges.first, merges.second], 1)
    return merges, component_ids(len(rows), pairs), effort


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len(set(a.tolist())) == len(set(b.tolist()))


def assert_valid_tree(rows: np.ndarray, merges: hac.Merges, atol: float):
    """Every merge joins a nearest pair of the clusters there are.

    Replays the merges in order of height against all pair distances.
    """
    pairs = distance.squareform(distance.pdist(rows, "sqeuclidean"))
    groups = {i: [i] for i in range(len(rows))}
    for first, second, height in zip(
        merges.first, merges.second, merges.distance, strict=True
    ):
        members = list(groups.values())
        means = [
            pairs[np.ix_(a, b)].mean()
            for a, b in itertools.combinations(members, 2)
        ]
        np.testing.assert_allclose(height, min(means), atol=atol)
        a, b = groups.pop(int(first)), groups.pop(int(second))
        np.testing.assert_allclose(
            height, pairs[np.ix_(a, b)].mean(), atol=atol
        )
        groups[min(first, second)] = a + b


class AverageLinkageTest(parameterized.TestCase):
    @parameterized.product(
        kind=["gauss", "uniform", "families", "duplicates"],
        n=[2, 7, 60, 250],
        seed=[0, 1],
    )
    def test_equals_scipy(self, kind, n, seed):
        # 32 pools x 3 list lengths x 4 thresholds = 384 partitions.
        rows = points(kind, n, seed)
        tree = hierarchy.linkage(distance.pdist(rows, "sqeuclidean"), "average")
        heights = np.sort(tree[:, 2])
        for k in (1, 4, 16):
            merges, _, _ = cluster(rows, num_neighbors=k)
            np.testing.assert_allclose(merges.distance, heights, atol=1e-9)
            for quantile in (0.1, 0.5, 0.8, 0.95):
                at = np.quantile(heights, quantile) * (1 + 1e-9) + 1e-12
                merges, labels, _ = cluster(
                    rows, num_neighbors=k, distance_threshold=at
                )
                expected = hierarchy.fcluster(tree, at, "distance")
                self.assertTrue(same_partition(labels, expected), (k, at))
                self.assertLessEqual(merges.distance.max(initial=0), at)

    @parameterized.parameters(0.02, 0.2, np.inf)
    def test_fewer_dimensions_first_change_nothing(self, threshold):
        generator = np.random.default_rng(4)
        scale = np.where(np.arange(24) < 4, 1.0, 0.05)
        rows = generator.standard_normal((600, 24)) * scale / 3
        tree = hierarchy.linkage(distance.pdist(rows, "sqeuclidean"), "average")
        heights = np.sort(tree[:, 2])
        with (
            mock.patch.object(exact_index, "MANY_QUERIES", 50),
            mock.patch.object(exact_index, "MUCH_WORK", 0),
            mock.patch.object(contraction, "best_width", return_value=8),
            mock.patch.object(
                contraction,
                "contract",
                wraps=contraction.contract,
            ) as contracted,
        ):
            merges, _, _ = cluster(
                rows, num_neighbors=4, distance_threshold=threshold
            )
        contracted.assert_called()
        np.testing.assert_allclose(
            merges.distance, heights[heights <= threshold], atol=1e-9
        )

    @parameterized.product(k=[1, 2, 5], shape=["grid", "ring", "simplex"])
    def test_ties_give_a_valid_tree(self, k, shape):
        if shape == "grid":
            axes = np.meshgrid(np.arange(5.0), np.arange(4.0))
            rows = np.stack([a.ravel() for a in axes], 1)
        elif shape == "ring":
            angle = np.arange(12) * 2 * np.pi / 12
            rows = np.stack([np.cos(angle), np.sin(angle)], 1)
        else:
            rows = np.eye(9)
        merges, _, _ = cluster(rows, num_neighbors=k)
        self.assertLen(merges.distance, len(rows) - 1)
        assert_valid_tree(rows, merges, 1e-9)

    def test_many_identical_rows_do_not_hide_others(self):
        rows = np.zeros((1003, 4))
        rows[1000:] = [[1, 0, 0, 0], [1, 1e-3, 0, 0], [0, 0, 1, 0]]
        merges, labels, _ = cluster(
            rows, num_neighbors=4, distance_threshold=0.5
        )
        self.assertEqual(len(set(labels[:1000])), 1)
        self.assertEqual(labels[1000], labels[1001])
        self.assertLen(set(labels), 3)
        self.assertEqual((merges.distance == 0).sum(), 999)

    def test_near_ties_below_float32_resolution(self):
        # More neighbors within the rounding error of a float32 search than a
        # list holds: only the full scan can tell them apart.
        generator = np.random.default_rng(0)
        rows = 0.5 + 1e-6 * generator.standard_normal((200, 3))
        tree = hierarchy.linkage(distance.pdist(rows, "sqeuclidean"), "average")
        merges, _, effort = cluster(rows, num_neighbors=2)
        np.testing.assert_allclose(
            merges.distance, np.sort(tree[:, 2]), rtol=1e-6
        )
        self.assertGreater(effort.full_scans, 0)

    def test_hub_in_the_middle(self):
        rows = np.concatenate([np.zeros((1, 40)), np.eye(40)]) * 0.5
        rows[1:] *= 1 + 1e-3 * np.arange(40)[:, None]
        tree = hierarchy.linkage(distance.pdist(rows, "sqeuclidean"), "average")
        merges, _, _ = cluster(rows, num_neighbors=2)
        np.testing.assert_allclose(merges.distance, np.sort(tree[:, 2]))

    def test_threads_and_order_change_nothing(self):
        rows = points("gauss", 400, 3)
        kwargs = {"num_neighbors": 4, "distance_threshold": 0.4}
        before = numba.get_num_threads()
        _, two, _ = cluster(rows, **kwargs)
        numba.set_num_threads(1)
        try:
            _, one, _ = cluster(rows, **kwargs)
        finally:
            numba.set_num_threads(before)
        np.testing.assert_array_equal(one, two)
        order = np.random.default_rng(0).permutation(len(rows))
        _, moved, _ = cluster(rows[order], **kwargs)
        self.assertTrue(same_partition(moved, two[order]))

    @parameterized.parameters(1, 5, 37, 300)
    def test_number_of_clusters(self, wanted):
        rows = points("gauss", 300, 4)
        merges, labels, _ = cluster(rows, num_clusters=wanted)
        self.assertLen(set(labels), wanted)
        if wanted < 300:
            tree = hierarchy.linkage(
                distance.pdist(rows, "sqeuclidean"), "average"
            )
            expected = hierarchy.fcluster(tree, wanted, "maxclust")
            self.assertTrue(same_partition(labels, expected))
            self.assertLen(merges.distance, 300 - wanted)

    def test_a_kept_answer_saves_the_first_search(self):
        rows = points("gauss", 200, 5)
        kept = []
        _, labels, first = cluster(
            rows, distance_threshold=0.3, on_first_answer=kept.append
        )
        _, again, second = cluster(
            rows, distance_threshold=0.3, first_answer=kept[0]
        )
        np.testing.assert_array_equal(labels, again)
        self.assertEqual(first.queries - second.queries, 200)

    def test_high_dimension(self):
        rows = np.random.default_rng(6).standard_normal((80, 2048)) / 50
        tree = hierarchy.linkage(distance.pdist(rows, "sqeuclidean"), "average")
        merges, _, _ = cluster(rows)
        np.testing.assert_allclose(merges.distance, np.sort(tree[:, 2]))

    def test_an_index_of_another_kind_that_finds_all_is_exact(self):
        # A stale index over earlier clusters must give the exact tree too:
        # the bound of its answer holds by convexity.
        rows = points("gauss", 500, 7).astype(np.float32)
        patch = absltest.mock.patch.object
        with (
            patch(cluster_search, "CHEAP_WORK", 0),
            patch(cluster_search, "OLD_SHARE", 0.05),
            patch(
                cluster_search.ClusterSearch,
                "prefers_index",
                lambda self, *args: True,
            ),
        ):
            merges, _, effort = cluster(
                rows,
                num_neighbors=6,
                make_index=lambda r, o, k: ExactIndex(r.copy(), o.copy()),
            )
        tree = hierarchy.linkage(
            distance.pdist(rows.astype(np.float64), "sqeuclidean"), "average"
        )
        np.testing.assert_allclose(
            merges.distance, np.sort(tree[:, 2]), atol=1e-5
        )
        self.assertBetween(effort.index_builds, 2, 8)

    @pytest.mark.skipif(not scann_index.is_available(), reason="no ScaNN")
    def test_scann_on_clear_clusters(self):
        generator = np.random.default_rng(8)
        centers = generator.standard_normal((300, 24))
        family = generator.integers(0, 300, 4000)
        rows = centers[family] + 0.02 * generator.standard_normal((4000, 24))
        rows = (rows / 20).astype(np.float32)
        _, labels, _ = cluster(
            rows,
            distance_threshold=0.02,
            make_index=lambda r, o, k: scann_index.ScannIndex(r, o, k=k),
        )
        self.assertTrue(same_partition(labels, family))


class UniteListsTest(absltest.TestCase):
    def test_what_does_not_fit_lowers_the_radius(self):
        clusters = hac_kernels.new_clusters(
            np.array([[0.0], [1], [2], [3], [4]]),
            np.arange(5),
            np.array([[4, 1]] + [[-1, -1]] * 4, np.int32),
        )._replace(radius=np.full(5, 100.0))
        hac_kernels.unite_lists(
            np.array([0], np.int32), np.array([[3, 2]], np.int32), clusters
        )
        self.assertEqual(clusters.lists[0].tolist(), [1, 2])
        # Of the dropped 3 and 4 the nearer one, at distance 9, bounds it.
        self.assertEqual(clusters.radius[0], 9.0)
        self.assertEqual((clusters.nearest[0], clusters.distance[0]), (1, 1.0))


class ComponentIdsTest(absltest.TestCase):
    def test_numbered_by_smallest_member(self):
        merges = np.array([[5, 1], [6, 3], [6, 5]])
        ids = component_ids(8, merges)
        self.assertEqual(ids.tolist(), [0, 1, 2, 1, 3, 1, 1, 4])
        self.assertEqual(ids.dtype, np.int64)

    def test_no_merges(self):
        ids = component_ids(3, np.zeros((0, 2), np.int64))
        self.assertEqual(ids.tolist(), [0, 1, 2])


class DuplicateRowsTest(absltest.TestCase):
    def test_groups(self):
        rows = np.array([[1.0, 2], [0, 0], [1, 2], [3, 4], [0, 0], [1, 2]])
        distinct, copies, originals = hac.duplicate_rows(rows)
        self.assertEqual(distinct.tolist(), [0, 1, 3])
        found = dict(zip(copies.tolist(), originals.tolist(), strict=True))
        self.assertEqual(found, {2: 0, 5: 0, 4: 1})


if __name__ == "__main__":
    absltest.main()
