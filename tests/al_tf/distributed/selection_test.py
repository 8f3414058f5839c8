"""Selection by thresholds over parts against `select_batch`."""

import numpy as np
from absl.testing import absltest, parameterized

import al_tf
from al_tf.distributed.engine import LocalEngine
from al_tf.distributed.selection import nth_smallest, select_from_parts
from al_tf.distributed.stages.choice import ScoredPart
from runkit import InputError


def scored(ids, margins, clusters, parts, generator):
    """Parts in a random order, rows in a random order."""
    shuffled = np.array_split(generator.permutation(ids), parts)
    return [ScoredPart(i, margins[i], clusters[i]) for i in shuffled]


class SelectFromPartsTest(parameterized.TestCase):
    @parameterized.product(
        parts=[1, 2, 5],
        case=[*range(12)],
    )
    def test_the_same_as_select_batch(self, parts, case):
        generator = np.random.default_rng(case)
        n = int(generator.integers(10, 400))
        # Few values: the border is tied, and so is zero of both signs.
        margins = generator.integers(0, [3, 1000][case % 2], n) / 1000
        margins = margins.astype([np.float32, np.float64][case // 2 % 2])
        margins[margins == 0] *= generator.choice([1, -1])
        clusters = generator.integers(0, n // 3 + 1, n)
        ids = np.flatnonzero(generator.random(n) < 0.8)
        batch = int(generator.integers(1, len(ids) + 1))
        most = int(generator.integers(batch, len(ids) + 1))
        expected = al_tf.select_batch(
            margins,
            clusters,
            batch_size=batch,
            margin_batch_size=most,
            unlabeled=ids,
            seed=case,
        )
        found = select_from_parts(
            LocalEngine(),
            scored(ids, margins, clusters, parts, generator),
            num_unlabeled=len(ids),
            batch_size=batch,
            margin_batch_size=most,
            seed=case,
        )
        np.testing.assert_array_equal(found, expected)

    def test_the_border_by_hand(self):
        margins = np.array([0.5, 0.25, 0.5, 0.0])
        part = ScoredPart(np.arange(4), margins, np.zeros(4, int))
        bits, rest = nth_smallest(LocalEngine(), [part], 3, 0, None)
        self.assertEqual(np.uint64(bits).view(np.float64), 0.5)
        # 0 and 0.25 are below; one of the two halves is still needed.
        self.assertEqual(rest, 1)

    def test_too_few(self):
        part = ScoredPart(np.arange(2), np.zeros(2), np.zeros(2, int))
        given = {"num_unlabeled": 2, "seed": 0}
        with self.assertRaises(al_tf.PoolExhausted):
            select_from_parts(
                LocalEngine(),
                [part],
                batch_size=3,
                margin_batch_size=3,
                **given,
            )
        with self.assertRaisesRegex(InputError, "margin_batch_size"):
            select_from_parts(
                LocalEngine(),
                [part],
                batch_size=2,
                margin_batch_size=1,
                **given,
            )


if __name__ == "__main__":
    absltest.main()
