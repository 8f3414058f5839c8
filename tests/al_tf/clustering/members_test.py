"""Means and variances of clusters, against exact arithmetic."""

import fractions

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.clustering.members import cluster_moments


def exact_moments(rows, ids):
    """Means and variances in fractions, so without any rounding."""
    means, variances = [], []
    for cluster in range(ids.max() + 1):
        members = [
            [fractions.Fraction(float(x)) for x in row]
            for row in rows[ids == cluster]
        ]
        mean = [
            sum(column) / len(members) for column in zip(*members, strict=True)
        ]
        square = sum(
            (x - m) ** 2
            for row in members
            for x, m in zip(row, mean, strict=True)
        )
        means.append([float(m) for m in mean])
        variances.append(float(square / len(members)))
    return np.array(means), np.array(variances)


class ClusterMomentsTest(parameterized.TestCase):
    @parameterized.parameters(0.0, 1.0, 1e6, 1e12)
    def test_exact_for_tight_clusters_far_from_the_origin(self, far):
        rng = np.random.default_rng(0)
        ids = np.array([0, 1, 0, 2, 1, 0, 2, 0, 3, 1])
        rows = rng.normal(size=(10, 3)) + far
        blocks = [(0, rows[:3]), (3, rows[3:4]), (4, rows[4:])]
        means, variances = cluster_moments(
            blocks, ids, "sqeuclidean", np.zeros(3)
        )
        expected = exact_moments(rows, ids)
        np.testing.assert_allclose(means, expected[0], rtol=1e-14)
        np.testing.assert_allclose(
            variances, expected[1], rtol=1e-12, atol=1e-30
        )

    def test_equal_rows_have_no_variance(self):
        rows = np.tile(np.random.default_rng(0).normal(size=(1, 5)), (7, 1))
        _, variances = cluster_moments(
            [(0, rows)], np.zeros(7, np.int64), "cosine", np.full(5, 0.1)
        )
        self.assertEqual(variances.tolist(), [0.0])


if __name__ == "__main__":
    absltest.main()
