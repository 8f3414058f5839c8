"""The record of merges, by hand."""

import numpy as np
from absl.testing import absltest

from al_tf.clustering.merges import MergeRecord, Merges


class MergeRecordTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.record = MergeRecord()
        for first, second, distance in (
            ([0, 4], [1, 5], [2.0, 1.0]),
            ([0], [4], [3.0]),
        ):
            self.record.add(Merges(*map(np.array, (first, second, distance))))

    def test_nearest_first_within_a_threshold(self):
        found = self.record.within(2.0)
        self.assertEqual(found.first.tolist(), [4, 0])
        self.assertEqual(found.second.tolist(), [5, 1])
        self.assertEqual(found.distance.tolist(), [1.0, 2.0])
        self.assertEmpty(MergeRecord().within(9.0).first)

    def test_the_threshold_is_that_of_the_merges_wanted(self):
        for wanted, expected in ((None, 9), (0, 0), (1, 1), (2, 2), (4, 9)):
            self.assertEqual(self.record.tightened(9.0, wanted), expected)
        # A threshold is only lowered.
        self.assertEqual(self.record.tightened(1.5, 3), 1.5)


if __name__ == "__main__":
    absltest.main()
