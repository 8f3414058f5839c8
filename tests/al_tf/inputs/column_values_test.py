"""Columns as numbers: what is written unclearly is refused, not guessed."""

import json

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.inputs.pool_files import read_pool
from runkit import InputError
from tests.support.isolated import FolderTestCase


class WrittenVectorsTest(FolderTestCase):
    def read(self, cell):
        path = self.folder / "pool.csv"
        path.write_text(f'id;embedding\n7;"{cell}"\n')
        return read_pool(path).parts[0].tolist()

    @parameterized.parameters(
        "[0.5,1]", "[0.5, 1]", "[0.5; 1]", "[.5 1.]", "[5e-1\n 1]", "[0.5 ,1]"
    )
    def test_numbers(self, cell):
        self.assertEqual(self.read(cell), [[0.5, 1]])

    @parameterized.parameters("[0,5; 1,25]", "[0,5 1,25]", "[1.000,5 1]")
    def test_commas_for_points_are_refused(self, cell):
        with self.assertRaisesRegex(InputError, "commas between .* or in them"):
            self.read(cell)

    @parameterized.parameters("[1_0, 2]", "[٣, 2]", "[1,, 2]", "[0x1 2]", "[]")
    def test_what_only_python_calls_a_number_is_refused(self, cell):
        with self.assertRaisesRegex(InputError, "no list of numbers"):
            self.read(cell)

    def test_the_column_of_the_usual_name_is_what_is_wrong(self):
        with self.assertRaisesRegex(
            InputError, "column embedding: is not a column of lists"
        ):
            self.read("0,5 1,25")


class JsonNumbersTest(FolderTestCase):
    @parameterized.parameters(
        ({"id": 1, "embedding": [True, False]}, "must be numbers"),
        ({"id": 1, "embedding": [1, 10**30]}, "too large a number"),
        ({"id": 2**63, "embedding": [1.0]}, "too large a number"),
    )
    def test_refused(self, row, message):
        path = self.folder / "pool.jsonl"
        path.write_text(json.dumps(row) + "\n")
        with self.assertRaisesRegex(InputError, message):
            read_pool(path)

    def test_archive_of_rows_without_numbers(self):
        path = self.folder / "pool.npz"
        np.savez(path, id=np.arange(2), embedding=np.zeros((2, 0)))
        with self.assertRaisesRegex(InputError, "rows without numbers"):
            read_pool(path)

    @parameterized.parameters("", 5, b"pool.npz")
    def test_no_path(self, source):
        with self.assertRaisesRegex(InputError, "is not a path"):
            read_pool(source)


if __name__ == "__main__":
    absltest.main()
