"""Cluster-MarginV in the plane against exhaustive search."""

import itertools

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.selection import volume
from runkit import InputError


class VolumeTest(parameterized.TestCase):
    @parameterized.product(seed=list(range(6)), batch_size=[1, 2, 3])
    def test_minimizes_the_largest_gap(self, seed, batch_size):
        generator = np.random.default_rng(seed)
        points = generator.standard_normal((14, 2))
        low = generator.uniform(-3, 3)
        space = volume.VersionSpace(low, low + generator.uniform(1, np.pi))
        picks = volume.cluster_margin_v_batch(
            points, space, batch_size=batch_size
        )
        flips = space.critical_angles(points)
        inside = np.flatnonzero((flips > space.low) & (flips < space.high))
        best = min(
            volume.largest_gap(flips[list(some)], space)
            for some in itertools.combinations(
                inside, min(batch_size, len(inside))
            )
        )
        self.assertLessEqual(len(picks), batch_size)
        self.assertAlmostEqual(volume.largest_gap(flips[picks], space), best)

    def test_shrinks_to_the_separators_that_agree(self):
        generator = np.random.default_rng(1)
        points = generator.standard_normal((30, 2))
        truth = 0.7
        labels = np.sign(points @ [np.cos(truth), np.sin(truth)])
        space = volume.VersionSpace(truth - 1.2, truth + 1.5)
        shrunk = space.shrink(points, labels)
        for angle in np.linspace(space.low, space.high, 4000):
            agrees = (
                np.sign(points @ [np.cos(angle), np.sin(angle)]) == labels
            ).all()
            self.assertEqual(agrees, shrunk.low < angle < shrunk.high)

    def test_margin_limits_the_points(self):
        space = volume.VersionSpace(0.0, np.pi / 2)
        direction = np.array([np.cos(space.middle), np.sin(space.middle)])
        across = np.array([-direction[1], direction[0]])
        points = np.stack([across + 0.01 * direction, across + direction])
        picks = volume.cluster_margin_v_batch(
            points, space, batch_size=2, margin=0.1
        )
        self.assertEqual(picks.tolist(), [0])

    def test_contradictory_labels_are_refused(self):
        points = np.array([[1.0, 0.1], [1.0, 0.1]])
        space = volume.VersionSpace(0.0, np.pi)
        with self.assertRaisesRegex(InputError, "no separator"):
            space.shrink(points, np.array([1, -1]))


if __name__ == "__main__":
    absltest.main()
