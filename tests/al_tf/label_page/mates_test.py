"""Members of a cluster by distance; clusters prepared beside."""

import threading
from unittest import mock

import numpy as np
from absl.testing import absltest

from al_tf.label_page.mates import ClusterMates, MatesBeside
from runkit import InputError


class ClusterMatesTest(absltest.TestCase):
    def test_by_cosine_distance(self):
        rows = np.array([[2, 0], [0, 1], [1, 1], [-3, 0], [5, 0]], np.float32)
        mates = ClusterMates(rows, np.array([0, 0, 0, 0, 1]))
        found = mates.of(0)
        self.assertEqual([mate.place for mate in found], [2, 1, 3])
        np.testing.assert_allclose(
            [mate.distance for mate in found],
            [1 - 1 / np.sqrt(2), 1, 2],
            atol=1e-12,
        )
        self.assertEqual(mates.of(4), [])

    def test_rows_of_zeros_are_alike_and_far_from_others(self):
        rows = np.array([[0, 0], [1, 0], [0, 0]], np.float32)
        mates = ClusterMates(rows, np.zeros(3, np.int64))
        self.assertEqual(mates.of(0), [(2, 0.0), (1, 1.0)])
        self.assertEqual(mates.of(1), [(0, 1.0), (2, 1.0)])

    def test_further_rows_are_not_looked_at(self):
        mates = ClusterMates(np.ones((5, 2), np.float32), np.array([0, 1, 0]))
        self.assertEqual([mate.place for mate in mates.of(0)], [2])


class MatesBesideTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.project, self.go = mock.Mock(), threading.Event()
        clustering = mock.Mock(cluster_ids=np.array([0, 0]))
        self.found = np.ones((2, 2), np.float32), clustering
        self.state = mock.Mock(parts=[1])

    def test_prepared_once_for_the_parts_of_the_pool(self):
        def slow(state):
            self.go.wait(60)
            return self.found

        self.project.clustered.side_effect = slow
        beside = MatesBeside(self.project)
        self.assertIsNone(beside.get(self.state))
        self.assertIsNone(beside.get(self.state))
        self.assertTrue(beside.is_preparing)
        self.go.set()
        beside.wait()
        self.assertLen(beside.get(self.state).of(0), 1)
        self.assertEqual(self.project.clustered.call_count, 1)
        self.state.parts.append(2)
        self.assertIsNone(beside.get(self.state))
        beside.wait()
        self.assertEqual(self.project.clustered.call_count, 2)

    def test_what_cannot_be_prepared_is_said_and_not_tried_again(self):
        for error, note in (
            (InputError("needs an encoder"), "needs an encoder"),
            (RuntimeError("secret"), "log"),
        ):
            self.project.clustered.side_effect = error
            beside = MatesBeside(self.project)
            beside.get(self.state)
            beside.wait()
            self.assertIsNone(beside.get(self.state))
            self.assertFalse(beside.is_preparing)
            self.assertIn(note, beside.note)
            self.assertNotIn("secret", beside.note)


if __name__ == "__main__":
    absltest.main()
