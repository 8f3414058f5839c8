"""Sources of embeddings: arrays, files, shards, Parquet, half precision."""

import pathlib

import ml_dtypes
import numpy as np
import pyarrow as pa
from absl.testing import absltest, parameterized
from pyarrow import parquet

from al_tf.inputs import embeddings
from runkit import InputError


def read(source) -> np.ndarray:
    opened = embeddings.open_embeddings(source)
    blocks = [block for _, block in opened.blocks()]
    rows = np.concatenate(blocks)
    assert rows.shape == opened.shape
    return rows


class OpenTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.rows = np.random.default_rng(0).standard_normal((40, 3))
        self.rows = self.rows.astype(np.float32)

    @parameterized.parameters("float16", "bfloat16", "float32", "float64")
    def test_dtypes_in_memory_and_mapped(self, name):
        dtype = ml_dtypes.bfloat16 if name == "bfloat16" else np.dtype(name)
        rows = self.rows.astype(dtype)
        expected = rows.astype(np.float64)
        np.testing.assert_array_equal(read(rows), expected)
        np.save(self.folder / "e.npy", rows)
        np.testing.assert_array_equal(read(self.folder / "e.npy"), expected)

    def test_shards_in_order_of_names(self):
        np.save(self.folder / "b.npy", self.rows[15:])
        np.save(self.folder / "a.npy", self.rows[:15])
        np.testing.assert_array_equal(read(self.folder), self.rows)
        parts = [self.rows[:15], self.folder / "b.npy"]
        np.testing.assert_array_equal(read(parts), self.rows)
        opened = embeddings.open_embeddings(self.folder)
        ids = np.array([39, 0, 15, 14])
        np.testing.assert_array_equal(opened.take(ids), self.rows[ids])

    @parameterized.parameters(True, False)
    def test_parquet(self, fixed):
        kind = pa.list_(pa.float32(), 3) if fixed else pa.list_(pa.float32())
        column = pa.array(self.rows.tolist(), kind)
        table = pa.table({"id": np.arange(40), "vector": column})
        parquet.write_table(table, self.folder / "e.parquet")
        np.testing.assert_array_equal(
            read(self.folder / "e.parquet"), self.rows
        )

    @parameterized.parameters("e.pq", "e.PARQUET", "e.Parquet")
    def test_only_the_column_of_embeddings_is_read(self, name):
        table = pa.table(
            {
                "id": range(len(self.rows)),
                "text": ["long text" * 100] * len(self.rows),
                "embedding": list(self.rows),
            }
        )
        parquet.write_table(table, self.folder / name, row_group_size=3)
        np.testing.assert_array_equal(read(self.folder / name), self.rows)

    def test_shards_whose_numbers_are_not_in_order(self):
        for number in range(12):
            np.save(self.folder / f"part-{number}.npy", self.rows)
        with self.assertRaisesRegex(InputError, "part-10.npy before part-2"):
            read(self.folder)
        for path in list(self.folder.glob("part-?.npy")):
            path.rename(self.folder / f"part-0{path.name[5:]}")
        self.assertLen(read(self.folder), 12 * len(self.rows))

    def test_parquet_with_gaps(self):
        for column in ([[1.0, None]], [[1.0], None], [["a"]]):
            table = pa.table({"embedding": column})
            parquet.write_table(table, self.folder / "gap.parquet")
            with self.assertRaises(InputError):
                read(self.folder / "gap.parquet")

    def test_nothing_is_copied_on_opening(self):
        opened = embeddings.open_embeddings(self.rows)
        self.assertTrue(np.shares_memory(opened.parts[0], self.rows))
        np.save(self.folder / "e.npy", self.rows)
        opened = embeddings.open_embeddings(self.folder / "e.npy")
        self.assertIsInstance(opened.parts[0].base, np.memmap | type(None))

    def test_bad_files(self):
        bad = self.folder / "bad.npy"
        with self.assertRaisesRegex(InputError, "no such file"):
            read(self.folder / "none.npy")
        with self.assertRaisesRegex(InputError, "no embeddings here"):
            read(self.folder)
        np.save(bad, self.rows)
        bad.write_bytes(bad.read_bytes()[:-7])
        with self.assertRaisesRegex(InputError, "whole .npy"):
            read(bad)
        bad.write_bytes(b"")
        with self.assertRaisesRegex(InputError, "whole .npy"):
            read(bad)
        bad.write_text("text,label\n")
        with self.assertRaisesRegex(InputError, "is not a .npy file"):
            read(bad)
        with self.assertRaisesRegex(InputError, "--margins: is a directory"):
            embeddings.open_npy(self.folder, "--margins")
        np.save(bad, np.array([{}]), allow_pickle=True)
        with self.assertRaisesRegex(InputError, "whole .npy"):
            read(bad)
        ragged = pa.array([[1.0, 2], [3.0, 4, 5, 6]], pa.list_(pa.float64()))
        file = self.folder / "bad.parquet"
        parquet.write_table(pa.table({"e": ragged}), file)
        with self.assertRaisesRegex(InputError, "different length"):
            read(file)
        parquet.write_table(pa.table({"x": [1], "y": [2]}), file)
        with self.assertRaisesRegex(InputError, "which column"):
            read(file)
        parquet.write_table(pa.table({"embedding": [1.0, 2.0]}), file)
        with self.assertRaisesRegex(InputError, "is not a column of lists"):
            read(file)
        parquet.write_table(pa.table({"e": ragged[:0]}), file)
        with self.assertRaisesRegex(InputError, "holds no rows"):
            read(file)
        with self.assertRaisesRegex(InputError, "an empty list"):
            read([])
        file.write_bytes(b"no")
        with self.assertRaisesRegex(InputError, "not a Parquet file"):
            read(file)

    def test_shards_of_different_dimension(self):
        with self.assertRaisesRegex(InputError, "different dimension"):
            embeddings.open_embeddings([self.rows, self.rows[:, :2]])


if __name__ == "__main__":
    absltest.main()
