"""The selection binary over files that are joined by ids."""

import csv
import json
import pathlib

import numpy as np
import pyarrow as pa
from absl.testing import absltest, parameterized
from pyarrow import parquet

import al_tf
from al_tf import select_main
from runkit import InputError
from tests.support import testing


class SelectIdsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        random = np.random.default_rng(0)
        centers = random.standard_normal((30, 8))
        self.rows = np.repeat(centers, 4, 0) + 0.05 * random.standard_normal(
            (120, 8)
        )
        self.rows = self.rows.astype(np.float16)
        self.margins = random.random(120).astype(np.float32)
        self.ids = [f"doc/{i:04d}-é" for i in range(120)]
        self.random = random
        self.write_pool()
        self.write_margins("m.csv", range(120))

    def write_pool(self, shards=11, **extra):
        """Shards with numbers of one and two digits, rows shuffled."""
        place = self.folder / "pool"
        place.mkdir(exist_ok=True)
        parts = np.array_split(self.random.permutation(120), shards)
        for number, at in enumerate(parts):
            columns = {
                "text": [f"text of {i}" for i in at],
                "id": [self.ids[i] for i in at],
                "vector": list(self.rows[at]),
                **extra,
            }
            table = pa.table(columns)
            parquet.write_table(table, place / f"part-{number}.parquet")

    def write_margins(self, name, at):
        path = self.folder / name
        with path.open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["margin", "id"])
            for i in self.random.permutation(np.array(at)):
                writer.writerow([self.margins[i], self.ids[i]])
        return str(path)

    def run_main(self, **change):
        values = {
            "embeddings": str(self.folder / "pool"),
            "margins": str(self.folder / "m.csv"),
            "output": str(self.folder / "out.csv"),
            "batch_size": 9,
            "target_cluster_size": 4.0,
            **change,
        }
        with testing.main_flags(select_main, **values):
            select_main.main(["select_main"])
        with pathlib.Path(values["output"]).open(newline="") as handle:
            return list(csv.DictReader(handle))

    def expected(self, labeled=()):
        clusters = al_tf.cluster_embeddings(
            self.rows, target_cluster_size=4
        ).cluster_ids
        unlabeled = np.setdiff1d(np.arange(120), list(labeled))
        batch = al_tf.select_batch(
            self.margins, clusters, batch_size=9, unlabeled=unlabeled
        )
        return batch, clusters

    def test_shuffled_shards_and_margins_give_what_the_arrays_give(self):
        batch, clusters = self.expected()
        found = self.run_main(text_column="text")
        self.assertEqual(
            list(found[0]),
            ["rank", "id", "margin", "cluster_id", "cluster_size", "text"],
        )
        for row, i in zip(found, batch, strict=True):
            self.assertEqual(row["id"], self.ids[i])
            self.assertEqual(row["text"], f"text of {i}")
            self.assertEqual(row["cluster_id"], str(clusters[i]))
            self.assertAlmostEqual(float(row["margin"]), self.margins[i], 5)

    def test_the_order_of_files_changes_nothing(self):
        kept = str(self.folder / "clusters")
        first = self.run_main(clustering=kept)
        for path in (self.folder / "pool").iterdir():
            path.unlink()
        self.write_pool(shards=3)
        self.write_margins("m.csv", range(120))
        self.assertEqual(self.run_main(clustering=kept), first)
        members = parquet.read_table(self.folder / "clusters/clusters.parquet")
        self.assertEqual(members["id"].to_pylist(), self.ids)
        clusters = al_tf.load_clustering(kept).cluster_ids
        self.assertEqual(members["cluster_id"].to_pylist(), clusters.tolist())
        self.ids[3] = "another"
        self.write_pool(shards=3)
        self.write_margins("m.csv", range(120))
        with self.assertRaisesRegex(InputError, "examples with other ids"):
            self.run_main(clustering=kept)

    def test_an_earlier_batch_is_not_picked_again(self):
        labeled = self.expected()[0]
        first = self.run_main()
        again = [row["id"] for row in first]
        for name in ("a.txt", "a.jsonl", "a.csv", "a.parquet"):
            path = self.folder / name
            if name == "a.txt":
                path.write_text("\n".join(again))
            elif name == "a.jsonl":
                lines = [json.dumps({"id": i}) + "\n" for i in again]
                path.write_text("".join(lines))
            elif name == "a.csv":
                path.write_text("id;label\r\n" + ";x\r\n".join([*again, ""]))
            else:
                parquet.write_table(pa.table({"id": again}), path)
            second = self.run_main(labeled=str(path))
            expected = [self.ids[i] for i in self.expected(labeled)[0]]
            self.assertEqual([row["id"] for row in second], expected)

    def test_rows_without_a_label_are_not_labeled(self):
        first = self.run_main()
        (self.folder / "none.txt").write_text("\n")
        none = self.run_main(labeled=str(self.folder / "none.txt"))
        self.assertEqual(none, first)
        path = self.folder / "half.csv"
        lines = ["id,label"]
        for number, row in enumerate(first):
            lines.append(f"{row['id']},{'yes' if number < 4 else ' '}")
        path.write_text("\n".join(lines))
        labeled = self.expected()[0][:4]
        expected = [self.ids[i] for i in self.expected(labeled)[0]]
        np.savez(
            self.folder / "half.npz",
            id=[row["id"] for row in first],
            label=np.where(np.arange(len(first)) < 4, 1, -1),
        )
        for half in (path, path.with_suffix(".npz")):
            found = self.run_main(labeled=str(half), label_column="label")
            self.assertEqual([row["id"] for row in found], expected)
        with self.assertRaisesRegex(InputError, "Did you mean 'label'"):
            self.run_main(labeled=str(path), label_column="labels")

    def test_what_does_not_fit_is_named(self):
        self.write_margins("m.csv", range(1, 120))
        with self.assertRaisesRegex(InputError, "1 ids of the pool are missi"):
            self.run_main()
        self.write_margins("m.csv", [*range(120), 5])
        with self.assertRaisesRegex(
            InputError, "--margins: 1 ids occur more than once: 'doc/0005-é'"
        ):
            self.run_main()
        self.write_margins("m.csv", range(120))
        np.save(self.folder / "m.npy", self.margins)
        with self.assertRaisesRegex(
            InputError, "--margins: no ids here, but in --embeddings"
        ):
            self.run_main(margins=str(self.folder / "m.npy"))
        np.save(self.folder / "e.npy", self.rows)
        with self.assertRaisesRegex(InputError, "--embeddings: no ids here"):
            self.run_main(embeddings=str(self.folder / "e.npy"))
        (self.folder / "l.txt").write_text("doc/1\n")
        with self.assertRaisesRegex(InputError, "l.txt: 1 ids are not in"):
            self.run_main(labeled=str(self.folder / "l.txt"))
        (self.folder / "l.csv").write_text("example_id\n3\n")
        with self.assertRaisesRegex(InputError, "no such column; got 'id'"):
            self.run_main(labeled=str(self.folder / "l.csv"))
        with self.assertRaisesRegex(InputError, "Did you mean 'margin'"):
            self.run_main(margin_column="margins")
        kept = str(self.folder / "clusters")
        with self.assertRaisesRegex(InputError, "Did you mean 'text'"):
            self.run_main(text_column="texts", clustering=kept)
        self.assertFalse(pathlib.Path(kept).exists())
        self.assertFalse((self.folder / "out.csv").exists())

    def test_a_bad_row_is_named_by_its_id(self):
        self.rows[7] = np.nan
        self.write_pool()
        with self.assertRaisesRegex(InputError, "NaN.*ids 'doc/0007-é'"):
            self.run_main()

    def test_by_position_where_it_is_asked_for(self):
        at = np.random.default_rng(5).permutation(120)
        columns = {"id": [self.ids[i] for i in at], "e": list(self.rows[at])}
        path = self.folder / "e.parquet"
        parquet.write_table(pa.table(columns), path)
        np.save(self.folder / "m.npy", self.margins[at])
        found = self.run_main(
            embeddings=str(path),
            margins=str(self.folder / "m.npy"),
            id_column="",
        )
        picked = [at[int(row["example_id"])] for row in found]
        self.assertLess(self.margins[picked].mean(), np.sort(self.margins)[40])


if __name__ == "__main__":
    absltest.main()
