"""The binary that finds near copies: its files, its refusals, its moments."""

import csv
import json
import pathlib
import shutil
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from absl.testing import absltest, parameterized
from pyarrow import parquet

from al_tf import deduplicate_main
from runkit import InputError
from tests.support import testing
from tests.support.faults import killed
from tests.support.isolated import FolderTestCase, run_script


class DeduplicateTestCase(FolderTestCase):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(0)
        self.rows = random.standard_normal((40, 6)).astype(np.float32)
        # Row 30 + i is a copy of row i.
        self.rows[30:] = self.rows[:10] + 1e-4
        self.output = self.folder / "out"
        np.save(self.folder / "rows.npy", self.rows)

    def run_main(self, **values):
        values = {"output_dir": str(self.output), **values}
        with testing.main_flags(deduplicate_main, **values):
            deduplicate_main.main(["main"])
        return self.read("kept.csv"), self.read("dropped.csv")

    def read(self, name):
        with (self.output / name).open(newline="", encoding="utf-8") as handle:
            return list(csv.DictReader(handle))

    def run_pool(self, **values):
        source = {
            "embeddings": str(self.folder / "rows.npy"),
            "distance_threshold": 0.01,
        }
        return self.run_main(**source | values)

    def write_texts(self, texts, ids=None, name="t.jsonl"):
        lines = [{"text": text} for text in texts]
        for line, i in zip(lines, ids or [], strict=False):
            line["key"] = i
        path = self.folder / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return f"jsonl:{path}:text"


class PoolTest(DeduplicateTestCase):
    def test_row_numbers(self):
        kept, dropped = self.run_pool()
        self.assertEqual(
            [row["example_id"] for row in kept], [str(i) for i in range(30)]
        )
        self.assertEqual(
            [(row["dropped_id"], row["kept_id"]) for row in dropped],
            [(str(30 + i), str(i)) for i in range(10)],
        )
        for i, row in enumerate(dropped):
            a, b = self.rows[i].astype(float), self.rows[30 + i].astype(float)
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            np.testing.assert_allclose(
                float(row["distance"]), 1 - cosine, atol=1e-12
            )
        summary = json.loads((self.output / "summary.json").read_text())
        wanted = {
            "rows": 40,
            "kept": 30,
            "dropped": 10,
            "kept_with_copies": 10,
            "most_copies": 1,
            "exact": True,
            "recall": 1.0,
        }
        self.assertEqual({key: summary[key] for key in wanted}, wanted)
        self.assertIn("no two kept rows", summary["guarantee"])
        self.assertEqual(summary["settings"]["distance_threshold"], 0.01)
        page = (self.output / "report.html").read_text()
        self.assertIn("no two kept rows", page)
        self.assertIn("<td>39</td>" if "<td>39" in page else "39", page)
        self.assertEmpty(self.leftovers())

    @parameterized.parameters("npz", "parquet")
    def test_ids_of_a_table_in_any_order(self, kind):
        ids = [f"id, {i:02d} é" for i in range(40)]
        at = np.random.default_rng(1).permutation(40)
        path = self.folder / f"pool.{kind}"
        columns = {
            "id": np.array(ids)[at],
            "embedding": self.rows[at].astype(np.float16),
        }
        if kind == "npz":
            np.savez(path, **columns)
        else:
            columns["embedding"] = list(columns["embedding"])
            parquet.write_table(pa.table(columns), path)
        kept, dropped = self.run_pool(embeddings=str(path))
        self.assertEqual([row["id"] for row in kept], ids[:30])
        self.assertEqual(
            [(row["dropped_id"], row["kept_id"]) for row in dropped],
            list(zip(ids[30:], ids[:10], strict=True)),
        )

    def test_the_most_uncertain_by_id(self):
        parquet.write_table(
            pa.table({"id": list(range(40)), "embedding": list(self.rows)}),
            self.folder / "pool.parquet",
        )
        with (self.folder / "m.csv").open("w") as handle:
            handle.write("margin,id\n")
            # The copies are less certain than their originals.
            handle.writelines(
                f"{0.1 if i >= 30 else 0.9},{i}\n" for i in range(39, -1, -1)
            )
        kept, _ = self.run_pool(
            embeddings=str(self.folder / "pool.parquet"),
            keep="most_uncertain",
            margins=str(self.folder / "m.csv"),
        )
        self.assertEqual([int(row["id"]) for row in kept], [*range(10, 40)])

    @parameterized.parameters(
        ({"embeddings": ""}, "--embeddings: is missing"),
        ({"distance_threshold": None}, "--distance_threshold: is missing"),
        ({"distance_threshold": -0.1}, "--distance_threshold: is too small"),
        ({"metric": "cosin"}, "--metric: unknown name.*'cosine'"),
        ({"keep": "nearest"}, "--keep: unknown name.*'nearest_to_mean'"),
        ({"keep": "most_uncertain"}, "--margins: is missing"),
        ({"margins": "m.npy"}, "looked at by --keep=most_uncertain only"),
        ({"init_from": "run"}, "--init_from: makes embeddings of texts"),
        ({"embeddings": "none.npy"}, "none.npy"),
        ({"output_dir": ""}, "--output_dir: is missing"),
    )
    def test_bad_flags_write_nothing(self, change, message):
        with self.assertRaisesRegex(InputError, message):
            self.run_pool(**change)
        self.assertFalse(self.output.exists())

    def test_bad_files_write_nothing(self):
        table = {"id": ["a", "a"], "embedding": [[1.0, 2.0], [1.0, 0.0]]}
        path = self.folder / "pool.parquet"
        parquet.write_table(pa.table(table), path)
        with self.assertRaisesRegex(InputError, "occur more than once: 'a'"):
            self.run_pool(embeddings=str(path))
        with self.assertRaisesRegex(InputError, "no such column.*'id'"):
            self.run_pool(embeddings=str(path), id_column="idd")
        table = {"id": ["a", "zero"], "embedding": [[1.0, 2.0], [0.0, 0.0]]}
        parquet.write_table(pa.table(table), path)
        with self.assertRaisesRegex(InputError, "no such column.*'embedding'"):
            self.run_pool(embeddings=str(path), embedding_column="embeding")
        with self.assertRaisesRegex(InputError, "zero rows.*ids 'zero'"):
            self.run_pool(embeddings=str(path))
        self.assertEqual(self.names(), ["pool.parquet", "rows.npy"])

    def test_other_files_are_not_replaced(self):
        self.output.mkdir()
        self.run_pool()
        with self.assertRaisesRegex(InputError, "--output_dir: holds files"):
            self.run_pool()

    def test_exit_code(self):
        done = run_script(
            "import sys; from al_tf import deduplicate_main as m\n"
            "sys.argv[1:] = ['--embeddings=x.npy', '--distance_threshold=2',\n"
            "'--output_dir=' + sys.argv[1], '--emebdding_column=x']; m.run()",
            str(self.output),
        )
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("embedding_column", done.stderr)


class TextsTest(DeduplicateTestCase):
    def kept_texts(self):
        lines = (self.output / "kept.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def test_equal_texts(self):
        spec = self.write_texts(["one", "two", "one", "three", "two", "one"])
        kept, dropped = self.run_main(dataset=spec)
        self.assertEqual([row["example_id"] for row in kept], ["0", "1", "3"])
        self.assertEqual(
            [tuple(row.values()) for row in dropped],
            [("2", "0", "0"), ("4", "1", "0"), ("5", "0", "0")],
        )
        self.assertEqual(
            self.kept_texts(),
            [
                {"example_id": 0, "text": "one"},
                {"example_id": 1, "text": "two"},
                {"example_id": 3, "text": "three"},
            ],
        )
        page = (self.output / "report.html").read_text()
        self.assertIn("two kept texts are equal", page)
        # What is kept is a dataset without copies.
        spec = f"jsonl:{self.output / 'kept.jsonl'}:text"
        self.output = self.folder / "again"
        self.assertEmpty(self.run_main(dataset=spec)[1])

    def test_ids(self):
        spec = self.write_texts(["é", "b", "é"], ["x", "y", "z"])
        kept, dropped = self.run_main(dataset=spec, id_column="key")
        self.assertEqual([row["key"] for row in kept], ["x", "y"])
        self.assertEqual(dropped[0]["kept_id"], "x")
        self.assertEqual(self.kept_texts()[0], {"key": "x", "text": "é"})

    def test_embeddings_of_the_same_texts(self):
        texts = [f"text {i}" for i in range(40)]
        spec = self.write_texts(texts)
        _, dropped = self.run_pool(dataset=spec)
        self.assertLen(dropped, 10)
        self.assertEqual([row["text"] for row in self.kept_texts()], texts[:30])
        self.output = self.folder / "again"
        spec = self.write_texts(texts[1:])
        with self.assertRaisesRegex(InputError, "not one text for each.*39"):
            self.run_pool(dataset=spec)

    def test_embeddings_and_texts_are_joined_by_ids(self):
        ids = [f"i{i:02d}" for i in range(40)]
        at = np.random.default_rng(2).permutation(40)
        texts = [f"text of {ids[i]}" for i in at]
        spec = self.write_texts(texts, [ids[i] for i in at])
        path = self.folder / "pool.parquet"
        columns = {"key": ids, "embedding": list(self.rows)}
        parquet.write_table(pa.table(columns), path)
        self.run_pool(embeddings=str(path), dataset=spec, id_column="key")
        self.assertEqual(
            self.kept_texts(),
            [
                {"key": ids[i], "text": f"text of {ids[i]}"}
                for i in at
                if i < 30
            ],
        )
        self.output = self.folder / "again"
        columns["id"] = columns.pop("key")
        parquet.write_table(pa.table(columns), path)
        with self.assertRaisesRegex(InputError, "joined by ids or by their"):
            self.run_pool(embeddings=str(path), dataset=spec)

    def test_a_model_makes_embeddings(self):
        texts = testing.documents(20)
        spec = self.write_texts([*texts, texts[3], texts[4] + "!"])
        with mock.patch(
            "spactor_tf.inference.pretrained.load_pretrained",
            return_value=testing.random_t5(),
        ):
            _, dropped = self.run_main(
                dataset=spec, init_from="run", distance_threshold=1e-6
            )
        self.assertEqual(
            [(row["dropped_id"], row["kept_id"]) for row in dropped],
            [("20", "3")],
        )

    @parameterized.parameters(
        ({"distance_threshold": 0.1}, "texts alone have no distances"),
        ({"keep": "nearest_to_mean"}, "texts alone have no distances"),
        ({"dataset": "jsonl:none.jsonl:text"}, "no file matches"),
        ({"dataset": "jsn:none.jsonl:text"}, "unknown kind.*'jsonl'"),
        ({"id_column": "kee"}, "has no field 'kee'.*'key'"),
    )
    def test_bad_flags_write_nothing(self, change, message):
        spec = self.write_texts(["a", "b"], ["x", "y"])
        with self.assertRaisesRegex(InputError, message):
            self.run_main(**{"dataset": spec, **change})
        self.assertFalse(self.output.exists())


@pytest.mark.slow
class KillTest(DeduplicateTestCase):
    def test_twenty_kills(self):
        base = self.folder / "base"
        output = base / "out"
        arguments = [
            f"--embeddings={self.folder / 'rows.npy'}",
            "--distance_threshold=0.01",
            f"--output_dir={output}",
        ]
        moments = killed.moments(
            self,
            "al_tf.deduplicate_main:run",
            base,
            arguments,
            self.folder / "counts.json",
        )
        names = {"kept.csv", "dropped.csv", "summary.json", "report.html"}
        names.add("distances.png")
        next(moments)
        whole = (output / "kept.csv").read_bytes()
        shutil.rmtree(base)
        kills = 0
        for moment in moments:
            with self.subTest(str(moment)):
                kills += 1
                if output.exists() and any(output.iterdir()):
                    self.assertEqual({p.name for p in output.iterdir()}, names)
                    shutil.rmtree(output)
                self.output = pathlib.Path(output)
                self.run_pool()
                self.assertEqual((output / "kept.csv").read_bytes(), whole)
                self.assertEqual({p.name for p in output.iterdir()}, names)
                self.assertEmpty([*base.glob(".tmp-*")])
            shutil.rmtree(base, ignore_errors=True)
        self.assertEqual(kills, 20)


if __name__ == "__main__":
    absltest.main()
