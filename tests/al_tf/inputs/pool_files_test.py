"""Files of a pool in every format and order, joined by their ids."""

import gzip
import json
import pathlib

import numpy as np
import pyarrow as pa
from absl.testing import absltest, parameterized
from pyarrow import parquet

from al_tf.inputs import pool_files
from runkit import InputError

FORMATS = ("a.parquet", "a.pq", "a.csv", "a.tsv", "a.jsonl.gz", "a.npz")


def write(path, columns):
    """Writes a table in the format of the suffix; vectors are lists."""
    path = pathlib.Path(path)
    lists = {k: np.asarray(v).tolist() for k, v in columns.items()}
    rows = [
        dict(zip(lists, r, strict=True))
        for r in zip(*lists.values(), strict=True)
    ]
    if path.suffix in (".parquet", ".pq"):
        arrays = {
            k: list(v) if np.ndim(v) == 2 else v for k, v in columns.items()
        }
        parquet.write_table(pa.table(arrays), path, row_group_size=4)
    elif path.suffix == ".npz":
        np.savez(path, **columns)
    elif path.suffix in (".csv", ".tsv"):
        separator = {".csv": ";", ".tsv": "\t"}[path.suffix]
        lines = [separator.join(lists)]
        lines += [separator.join(str(v) for v in r.values()) for r in rows]
        path.write_text("\n".join(lines) + "\n")
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_bytes(gzip.compress(text.encode()))
    return path


class PoolFilesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        random = np.random.default_rng(0)
        self.rows = random.standard_normal((30, 3)).astype(np.float32)
        self.ids = np.array([f"id-{i:02d}" for i in range(30)])
        self.order = random.permutation(30)

    def read(self, source="", **columns):
        return pool_files.read_pool(source or self.folder, **columns)

    @parameterized.product(name=FORMATS, is_text=(True, False))
    def test_one_file_in_any_order(self, name, is_text):
        ids = self.ids if is_text else np.arange(30) * 7 - 50
        at = self.order
        path = write(
            self.folder / name, {"embedding": self.rows[at], "id": ids[at]}
        )
        pool = self.read(path)
        np.testing.assert_array_equal(pool.parts[0], self.rows)
        self.assertEqual(pool.ids.tolist(), ids.tolist())

    def test_shards_in_any_order_and_numbering(self):
        for number, at in enumerate(np.array_split(self.order, 12)):
            write(
                self.folder / f"part-{number}.parquet",
                {"id": self.ids[at], "text": self.ids[at], "v": self.rows[at]},
            )
        pool = self.read()
        np.testing.assert_array_equal(pool.parts[0], self.rows)
        self.assertEqual(pool.ids.tolist(), self.ids.tolist())
        pattern = self.read(str(self.folder / "part-*.parquet"))
        np.testing.assert_array_equal(pattern.parts[0], self.rows)
        with self.assertRaisesRegex(InputError, "part-10.* before part-2"):
            self.read(id_column="")

    @parameterized.parameters("float16", "float32", "float64")
    def test_the_type_stays(self, name):
        rows = self.rows.astype(name)
        for kind in ("a.parquet", "a.npz"):
            path = write(self.folder / kind, {"id": self.ids, "e": rows})
            pool = self.read(path)
            self.assertEqual(pool.parts[0].dtype, name)
            np.testing.assert_array_equal(pool.parts[0], rows)

    def test_columns_have_names(self):
        columns = {"uuid": self.ids, "vector": self.rows, "other": self.rows}
        path = write(self.folder / "a.parquet", columns)
        pool = self.read(path, id_column="uuid", embedding_column="vector")
        self.assertEqual(pool.ids.tolist(), self.ids.tolist())
        with self.assertRaisesRegex(
            InputError, "--id_column: .*a.parquet: .*Did you mean 'uuid'"
        ):
            self.read(path, id_column="uid")
        with self.assertRaisesRegex(InputError, "Did you mean 'vector'"):
            self.read(path, embedding_column="vectors")
        with self.assertRaisesRegex(InputError, "cannot tell which column"):
            self.read(path)

    def test_an_id_column_is_wanted_and_an_npy_has_none(self):
        np.save(self.folder / "a.npy", self.rows)
        with self.assertRaisesRegex(InputError, "has no columns"):
            self.read(id_column="id")
        self.assertIsNone(self.read().ids)

    def test_ids_in_some_files_only(self):
        write(self.folder / "a.parquet", {"id": self.ids, "e": self.rows})
        write(self.folder / "b.parquet", {"name": self.ids, "e": self.rows})
        with self.assertRaisesRegex(InputError, "b.parquet: has no ids"):
            self.read()

    def test_duplicates_across_shards(self):
        for name in ("a.parquet", "b.parquet"):
            write(self.folder / name, {"id": self.ids, "e": self.rows})
        with self.assertRaisesRegex(InputError, "30 ids occur more than once"):
            self.read()

    def test_ids_of_two_kinds(self):
        write(self.folder / "a.parquet", {"id": self.ids, "e": self.rows})
        write(self.folder / "b.parquet", {"id": range(30), "e": self.rows})
        with self.assertRaisesRegex(InputError, "whole numbers in .*b.parquet"):
            self.read()
        path = self.folder / "c.jsonl"
        path.write_text('{"id": 1, "e": [1, 2]}\n{"id": "a", "e": [1, 2]}\n')
        with self.assertRaisesRegex(InputError, "line 1 and after, column id"):
            self.read(path)

    @parameterized.parameters(
        ("id;e\na;[1, x]\n", "is not a list of numbers"),
        ("id;e\na;[1, 2]\nb;[1]\n", "rows of different length"),
        ("id;e\na;[1, 2]\n;[1, 2]\n", "empty id"),
        ("id;e\n", "holds no rows"),
        ("id;text\na;b\n", "cannot tell which column"),
    )
    def test_bad_tables(self, text, message):
        path = self.folder / "a.csv"
        path.write_text(text)
        with self.assertRaisesRegex(InputError, message):
            self.read(path)

    def test_nested_fields_and_repeated_columns(self):
        path = self.folder / "a.jsonl"
        path.write_text('{"meta": {"id": "x"}, "e": [1, 2]}\n')
        pool = self.read(path, id_column="meta.id")
        self.assertEqual(pool.ids.tolist(), ["x"])
        struct = pa.table({"meta": [{"id": "x"}], "e": [[1.0, 2.0]]})
        file = self.folder / "a.parquet"
        parquet.write_table(struct, file)
        with self.assertRaisesRegex(InputError, "got 'meta.id'"):
            self.read(file, id_column="meta.id")
        columns = [pa.array(["x"]), pa.array(["y"]), pa.array([[1.0]])]
        table = pa.Table.from_arrays(columns, names=["id", "id", "e"])
        parquet.write_table(table, file)
        with self.assertRaisesRegex(InputError, "names a column twice"):
            self.read(file)

    def test_a_gap_is_named_by_its_row_in_the_file(self):
        ids = [f"id-{i}" for i in range(9000)]
        ids[8999] = None
        rows = [[1.0, float(i)] for i in range(9000)]
        path = self.folder / "a.parquet"
        parquet.write_table(pa.table({"id": ids, "e": rows}), path)
        with self.assertRaisesRegex(InputError, "id: row 8999 has no id"):
            self.read(path)

    def test_bad_archives(self):
        path = self.folder / "a.npz"
        np.savez(path, id=self.ids, e=self.rows[:-1])
        with self.assertRaisesRegex(InputError, "29; expected 30 rows"):
            self.read(path)
        np.savez(path, id=self.ids[1:], e=self.rows)
        with self.assertRaisesRegex(InputError, "30; expected 29 rows"):
            self.read(path)
        np.savez(path, id=self.ids, e=np.float32(1))
        with self.assertRaisesRegex(InputError, "plain values"):
            self.read(path)
        np.savez(path, id=np.array([{}]), e=self.rows)
        with self.assertRaisesRegex(InputError, "plain values"):
            self.read(path)
        np.savez(path, id=self.ids, e=self.rows)
        path.write_bytes(path.read_bytes()[:-40])
        with self.assertRaisesRegex(InputError, "not a whole .npz"):
            self.read(path)

    def test_an_archive_whose_columns_come_first(self):
        path = self.folder / "a.npz"
        np.savez(path, ids=self.ids, embeddings=np.asfortranarray(self.rows))
        np.testing.assert_array_equal(self.read(path).parts[0], self.rows)


if __name__ == "__main__":
    absltest.main()
