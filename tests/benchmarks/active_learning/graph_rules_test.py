"""The neighbor graph that the clustering benchmark compares on."""

import numpy as np
from absl.testing import absltest

from benchmarks.active_learning import graph_rules


class GraphTest(absltest.TestCase):
    def test_symmetrize(self):
        ids = np.array([[1, 2], [0, -1], [2, 1], [0, 0]])
        weights = np.array([[1.0, 2], [1, 9], [0, 3], [4, 4]])
        indptr, indices, distances = graph_rules.symmetrize(ids, weights)
        rows = [
            indices[a:b].tolist()
            for a, b in zip(indptr[:-1], indptr[1:], strict=True)
        ]
        self.assertEqual(rows, [[1, 2, 3], [0, 2], [0, 1], [0]])
        self.assertEqual(distances.tolist(), [1, 2, 4, 1, 3, 2, 3, 4])

    def test_the_two_rules_treat_missing_pairs_differently(self):
        # 0-1-2 in a row: 0 and 2 have no edge.
        graph = graph_rules.symmetrize(
            np.array([[1], [2], [1]]), np.array([[1.0], [2.0], [2.0]])
        )
        stored = graph_rules.cluster(graph, 2.0, missing=None)
        self.assertLen(set(stored.tolist()), 1)
        # (2 + 5) / 2 is beyond the threshold.
        far = graph_rules.cluster(graph, 2.0, missing=5.0)
        self.assertLen(set(far.tolist()), 2)
        self.assertEqual(far[0], far[1])


if __name__ == "__main__":
    absltest.main()
