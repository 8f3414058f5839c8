"""An index answers for the rows that it was built on, whatever comes later."""

import numpy as np
from absl.testing import absltest

from al_tf.clustering.cluster_search import ClusterSearch, Effort
from al_tf.neighbors.exact_index import ExactIndex


class ClusterSearchTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.means = np.random.default_rng(0).random((40, 3), np.float32)
        self.given: list[np.ndarray] = []
        self.search = ClusterSearch(self.make_index, 2, Effort())

    def make_index(self, rows, offsets, k):
        del k
        self.given.append(rows)
        return ExactIndex(rows, offsets)

    def test_the_first_index_is_not_copied_and_not_kept(self):
        self.search.first(self.means, np.zeros(40), np.inf, lambda done: None)
        self.assertIs(self.given[0], self.means)
        self.assertTrue(self.search.is_old(40))

    def test_a_later_index_has_rows_of_its_own(self):
        before = self.means.copy()
        self.search.build(self.means, np.zeros(40))
        self.assertFalse(self.search.is_old(40))
        self.means[:] = 0
        np.testing.assert_array_equal(self.given[0], before)


if __name__ == "__main__":
    absltest.main()
