"""Examples that join later: copies go home, numbers go on."""

import numpy as np
from absl.testing import absltest, parameterized

import al_tf


def pool(n=60, copies=3, dtype=np.float32):
    generator = np.random.default_rng(4)
    rows = generator.standard_normal((n, 5)) + 3
    return np.repeat(rows, copies, 0).astype(dtype)


class GrowTest(parameterized.TestCase):
    @parameterized.product(
        metric=("cosine", "sqeuclidean"),
        dtype=(np.float16, np.float32, np.float64),
        copies=(1, 3, 7),
    )
    def test_copies_go_home_at_threshold_zero(self, metric, dtype, copies):
        rows = pool(copies=copies, dtype=dtype)
        made = al_tf.cluster_embeddings(
            rows, distance_threshold=0, metric=metric
        )
        self.assertEqual(made.num_clusters, 60)
        np.testing.assert_array_equal(made.assign(rows), made.cluster_ids)

    def test_neighbors_in_float32_stay_apart_at_threshold_zero(self):
        rows = pool(copies=2)
        made = al_tf.cluster_embeddings(
            rows, distance_threshold=0, metric="sqeuclidean"
        )
        near = np.nextafter(rows[:5], np.float32(np.inf))
        self.assertEqual(made.assign(near).tolist(), list(range(60, 65)))

    @parameterized.parameters(1e6, 1e10, 1e15)
    def test_one_row_far_away_moves_nobody(self, factor):
        rows = pool(dtype=np.float64)
        rows = np.concatenate([rows, rows[:1] * factor])
        made = al_tf.cluster_embeddings(
            rows, distance_threshold=0.01, metric="sqeuclidean"
        )
        self.assertEqual(made.num_clusters, 61)
        np.testing.assert_array_equal(made.assign(rows), made.cluster_ids)

    def test_the_second_batch_continues_the_numbers(self):
        made = al_tf.cluster_embeddings(
            pool(), distance_threshold=1e-3, metric="sqeuclidean"
        )
        first = np.float32([[100] * 5, pool()[0], [-100] * 5])
        second = np.float32([[-100] * 5, [50] * 5, pool()[3]])
        grown = made.grow(first)
        self.assertEqual(grown.cluster_ids[-3:].tolist(), [60, 0, 61])
        self.assertEqual(grown.num_clusters, 62)
        self.assertEqual(grown.assign(second).tolist(), [61, 62, 1])
        again = grown.grow(second)
        np.testing.assert_array_equal(again.cluster_ids[180:183], [60, 0, 61])
        whole = np.concatenate([pool(), first, second])
        cut = again.cut(again.distance_threshold, whole)
        np.testing.assert_array_equal(cut.cluster_ids, again.cluster_ids)

    def test_a_grown_clustering_is_kept(self):
        path = self.create_tempdir().full_path + "/kept"
        made = al_tf.cluster_embeddings(pool(), target_cluster_size=3)
        grown = made.grow(-pool()[::3][:2])
        grown.save(path)
        found = al_tf.load_clustering(path)
        np.testing.assert_array_equal(found.cluster_ids, grown.cluster_ids)
        np.testing.assert_array_equal(
            found.assign(-pool()[::3][:2]), grown.cluster_ids[-2:]
        )


if __name__ == "__main__":
    absltest.main()
