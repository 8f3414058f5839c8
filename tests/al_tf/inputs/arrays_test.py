"""Whatever is no plain array of numbers is refused in words, at each door."""

import numpy as np
from absl.testing import absltest, parameterized
from scipy import sparse

import al_tf
from runkit import InputError

GOOD = np.eye(4) * 0.5 + 0.125
CLUSTERS = np.array([0, 0, 1, 1])


def masked(rows):
    hidden = np.zeros(np.shape(rows), bool)
    hidden.flat[0] = True
    return np.ma.array(rows, mask=hidden)


BAD = {
    "sparse": lambda rows: sparse.csr_array(np.atleast_2d(rows)),
    "masked": masked,
    "ragged": lambda rows: [[0.1, 0.2], [0.3]],
    "text": lambda rows: np.full(np.shape(rows), "0.5"),
    "objects": lambda rows: np.full(np.shape(rows), None),
    "complex": lambda rows: np.asarray(rows) + 0j,
    "dates": lambda rows: np.zeros(np.shape(rows), "M8[D]"),
}
DOORS = {
    "margin_scores": lambda bad: al_tf.margin_scores(bad(GOOD)),
    "cluster": lambda bad: al_tf.cluster_embeddings(
        bad(GOOD), distance_threshold=0.1
    ),
    "assign": lambda bad: al_tf.cluster_embeddings(
        GOOD, distance_threshold=0.1
    ).assign(bad(GOOD)),
    "select_margins": lambda bad: al_tf.select_batch(
        bad(GOOD[0]), CLUSTERS, batch_size=1
    ),
    "select_clusters": lambda bad: al_tf.select_batch(
        GOOD[0], bad(CLUSTERS), batch_size=1
    ),
    "select_unlabeled": lambda bad: al_tf.select_batch(
        GOOD[0], CLUSTERS, batch_size=1, unlabeled=bad(CLUSTERS[:1])
    ),
}


class PlainArrayTest(parameterized.TestCase):
    @parameterized.product(door=sorted(DOORS), bad=sorted(BAD))
    def test_refused(self, door, bad):
        with self.assertRaises(InputError):
            DOORS[door](BAD[bad])

    @parameterized.parameters(">f8", ">f4")
    def test_byte_order_changes_nothing(self, dtype):
        foreign, rows = GOOD.astype(dtype), GOOD.astype(dtype[1:])
        np.testing.assert_array_equal(
            al_tf.margin_scores(foreign), al_tf.margin_scores(rows)
        )
        a = al_tf.cluster_embeddings(foreign, distance_threshold=0.5)
        b = al_tf.cluster_embeddings(rows, distance_threshold=0.5)
        np.testing.assert_array_equal(a.centers, b.centers)
        self.assertEqual(a.pool, b.pool)
        np.testing.assert_array_equal(a.assign(foreign), b.cluster_ids)

    @parameterized.parameters("0.5", "much", [[0.5]], True, float("nan"))
    def test_threshold_that_is_no_number(self, value):
        with self.assertRaisesRegex(InputError, "distance_threshold"):
            al_tf.cluster_embeddings(GOOD, distance_threshold=value)

    @parameterized.parameters(0.5, None)
    def test_scores_that_are_no_array(self, value):
        with self.assertRaises(InputError):
            al_tf.margin_scores(value)

    def test_seed_that_is_no_number(self):
        with self.assertRaisesRegex(InputError, "seed"):
            al_tf.select_batch(GOOD[0], CLUSTERS, batch_size=1, seed="x")

    @parameterized.parameters("3", 2.5, float("nan"))
    def test_number_of_neighbors(self, value):
        with self.assertRaisesRegex(InputError, "num_neighbors"):
            al_tf.cluster_embeddings(
                GOOD, distance_threshold=0.1, num_neighbors=value
            )


if __name__ == "__main__":
    absltest.main()
