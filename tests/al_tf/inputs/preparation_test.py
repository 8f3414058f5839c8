"""The working copy of a pool: distances, checksum, the passes it takes."""

import zlib

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.inputs.embeddings import open_embeddings
from al_tf.inputs.preparation import checksum, working_copy
from runkit import InputError


class WorkingCopyTest(parameterized.TestCase):
    @parameterized.parameters("cosine", "sqeuclidean")
    def test_distances_are_the_metrics(self, metric):
        rows = np.random.default_rng(1).standard_normal((9, 4)) * 1e3 + 5e3
        work = working_copy(open_embeddings(rows), metric)
        step = work.rows[0] - work.rows[1]
        a, b = rows[:2]
        expected = (
            1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            if metric == "cosine"
            else ((a - b) ** 2).sum()
        )
        np.testing.assert_allclose(step @ step * work.unit, expected, 1e-9)
        self.assertLessEqual((work.rows**2).sum(1).max(), 1)

    def test_ids_are_those_of_the_pool(self):
        parts = [np.ones((70000, 2)), np.ones((4, 2))]
        parts[1][2] = 0
        opened = open_embeddings(parts)
        with self.assertRaisesRegex(InputError, "ids 70002"):
            working_copy(opened, "cosine")

    @parameterized.product(
        source=[np.float16, np.float32, np.float64],
        dtype=[np.float32, np.float64],
        metric=["cosine", "sqeuclidean"],
    )
    def test_rows_are_rounded_once(self, source, dtype, metric):
        # By hand, in float64 to the end.
        rows = np.random.default_rng(2).standard_normal((50, 3)) + 40
        parts = np.split(rows.astype(source), [20])
        whole = rows.astype(source).astype(np.float64)
        if metric == "cosine":
            square = (whole**2).sum(1)
            whole = whole * np.sqrt(0.5 / square)[:, None]
        expected = whole - whole.mean(0)
        work = working_copy(open_embeddings(parts), metric, dtype)
        self.assertEqual(work.rows.dtype, dtype)
        found = work.rows.astype(np.float64) * np.sqrt(work.unit)
        largest = np.abs(expected).max()
        rounding = largest * (6e-8 if dtype == np.float32 else 1e-12)
        np.testing.assert_allclose(found, expected, atol=rounding, rtol=0)
        np.testing.assert_allclose(work.center, whole.mean(0), rtol=1e-12)

    @parameterized.parameters(np.float16, np.float32, np.float64)
    def test_checksum_is_that_of_the_stored_rows(self, dtype):
        rows = np.random.default_rng(3).standard_normal((70, 3)).astype(dtype)
        pool = open_embeddings([rows[:33], rows[33:]])
        stored = rows.astype(np.float32) if dtype == np.float16 else rows
        expected = zlib.crc32(stored.tobytes())
        self.assertEqual(working_copy(pool, "cosine").checksum, expected)
        self.assertEqual(checksum(pool), expected)

    def test_the_center_does_not_depend_on_shards(self):
        rows = np.random.default_rng(5).standard_normal((2000, 3))
        whole = working_copy(open_embeddings(rows), "sqeuclidean")
        for cuts in ([1], [511, 513, 1024], [700, 1999]):
            parts = np.split(rows, cuts)
            found = working_copy(open_embeddings(parts), "sqeuclidean")
            np.testing.assert_array_equal(found.center, whole.center)
        by_hand = sum(rows[i : i + 512].sum(0) for i in range(0, 2000, 512))
        np.testing.assert_array_equal(whole.center, by_hand / 2000)

    @parameterized.parameters(1e200, 1e-200, 1e-310)
    def test_the_cosine_does_not_know_lengths(self, factor):
        rows = np.array([[3.0, 4.0], [-4.0, 3.0], [1.0, 1.0]])
        factors = np.array([[factor], [1.0], [1.0]])
        found = [
            working_copy(open_embeddings(source), "cosine").rows
            for source in (rows, rows * factors)
        ]
        np.testing.assert_allclose(*found, rtol=1e-9)

    def test_large_numbers_are_not_called_infinite(self):
        rows = open_embeddings(np.array([[1e200, 1.0], [1.0, 2.0]]))
        with self.assertRaisesRegex(InputError, "squares overflow in 1 rows"):
            working_copy(rows, "sqeuclidean")

    def test_squares_that_overflow_only_off_center_are_refused(self):
        rows = np.full((10, 1), 1.3e154)
        rows[0] *= -1
        with self.assertRaisesRegex(InputError, "squares overflow"):
            working_copy(open_embeddings(rows), "sqeuclidean")


if __name__ == "__main__":
    absltest.main()
