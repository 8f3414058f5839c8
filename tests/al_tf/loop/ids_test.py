"""A loop whose pool has ids: in questions, answers and what is kept."""

import csv
import dataclasses
import json
import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.loop import label_files
from al_tf.pools import near_copies
from al_tf.pools import pool as pools
from runkit import InputError
from runkit.errors import InterruptedRun
from tests.support import loop_data
from tests.support.loop_main_case import MainTestCase


class ReadTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def open(self, *records, id_column="key"):
        path = self.folder / "pool.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in records))
        return pools.open_pool(f"jsonl:{path}:text:label", id_column=id_column)

    def records(self, *ids):
        return [
            {"text": f"text {i}", "label": "ab"[i % 2], "key": name}
            for i, name in enumerate(ids)
        ]

    @parameterized.parameters((["x", "é", "7"],), ([7, -1, 2**40],))
    def test_ids_of_a_table(self, ids):
        pool = self.open(*self.records(*ids))
        self.assertEqual(pool.named.tolist(), ids)
        self.assertEqual(pool.take(np.array([2])).named.tolist(), ids[2:])
        self.assertEqual(pool.id_name, "key")
        plain = self.open(*self.records(*ids), id_column="")
        self.assertEqual(plain.named.tolist(), [0, 1, 2])
        self.assertNotEqual(plain.fingerprint, pool.fingerprint)

    @parameterized.parameters(
        (["x", "y", "x"], "1 ids occur more than once: 'x'"),
        (["x", 7], "ids are texts and whole numbers"),
        (["x", None], "line 2: is not an id"),
        (["x", ""], "line 2: is not an id"),
        ([1, 2.5], "line 2: is not an id; got 2.5"),
        ([1, True], "line 2: is not an id"),
        ([1, 2**63], "line 2: is not an id"),
    )
    def test_bad_ids(self, ids, message):
        with self.assertRaisesRegex(InputError, message):
            self.open(*self.records(*ids))

    def test_no_such_field(self):
        with self.assertRaisesRegex(InputError, "Did you mean 'key'"):
            self.open(*self.records("x"), id_column="keys")

    def test_an_archive(self):
        pool = loop_data.blobs(5)
        path = self.folder / "pool.npz"
        arrays = {"embeddings": pool.inputs, "labels": pool.labels}
        np.savez(path, **arrays, ids=np.array(list("vwxyz")))
        found = pools.open_pool(f"npz:{path}", id_column="ids")
        self.assertEqual(found.named.tolist(), list("vwxyz"))
        with self.assertRaisesRegex(InputError, "Did you mean 'ids'"):
            pools.open_pool(f"npz:{path}", id_column="id")
        np.savez(path, **arrays, ids=np.array(list("vwxy")))
        with self.assertRaisesRegex(InputError, "not one id for each.*got 4"):
            pools.open_pool(f"npz:{path}", id_column="ids")

    def test_copies_are_other_examples(self):
        pool = self.open(*self.records("x", "y"))
        copies, _ = near_copies.plant(pool, 2)
        self.assertIsNone(copies.ids)
        self.assertEqual(copies.id_name, "example_id")


class AnswersTest(parameterized.TestCase):
    def batch(self, *ids):
        names = np.empty(len(ids), object)
        names[:] = ids
        return dataclasses.replace(
            loop_data.texts(len(ids)), ids=names, id_name="uuid"
        )

    def read(self, text, *ids):
        path = pathlib.Path(self.create_tempdir().full_path) / "a.csv"
        path.write_text(text)
        return label_files.read_labels(path, self.batch(*ids)).tolist()

    def test_texts_are_compared_as_they_are(self):
        text = "label,note,uuid\nbad,x,007\ngood,y,7\n"
        self.assertEqual(self.read(text, "7", "007"), [1, 0])
        with self.assertRaisesRegex(InputError, "not asked for: 007"):
            self.read(text, "7", "8")

    def test_numbers_as_spreadsheets_write_them(self):
        text = "uuid;label\n3.0;good\n 5;bad\n"
        self.assertEqual(self.read(text, 5, 3), [0, 1])
        with self.assertRaisesRegex(InputError, "has no field 'uuid'"):
            self.read("example_id,label\n3,good\n", 3)

    def test_a_column_of_another_name_is_needed(self):
        batch = dataclasses.replace(self.batch("a"), id_name="label")
        with self.assertRaisesRegex(InputError, "another column"):
            label_files.check_names(batch)


class PeopleTest(MainTestCase):
    def setUp(self):
        super().setUp()
        self.pool = loop_data.blobs(120)
        self.names = [f"photo-{i:03d}.png" for i in range(120)]
        np.savez(
            self.npz,
            embeddings=self.pool.inputs,
            labels=self.pool.labels,
            classes=np.array(self.pool.classes),
            uuid=np.array(self.names),
        )

    def people(self, **change):
        values = {
            "oracle": "people",
            "strategies": ["cluster_margin"],
            "id_column": "uuid",
        }
        self.main(**{**values, **change})

    def test_people_answer_by_id(self):
        for number in range(3):
            with self.assertRaisesRegex(InterruptedRun, f"round {number}: "):
                self.people()
            stem = f"round-{number:03d}.csv"
            with (self.run_dir / "to_label" / stem).open() as handle:
                asked = list(csv.DictReader(handle))
            self.assertEqual(list(asked[0])[0], "uuid")
            labels = self.run_dir / "labels"
            labels.mkdir(exist_ok=True)
            with (labels / stem).open("w") as handle:
                writer = csv.writer(handle)
                writer.writerow(["label", "uuid"])
                for row in reversed(asked):
                    label = self.pool.labels[self.names.index(row["uuid"])]
                    writer.writerow([self.pool.classes[label], row["uuid"]])
        self.people()
        found = self.curves()
        # The labels of the data set, asked for by the same strategy.
        self.main(
            strategies=["cluster_margin"],
            output_dir=str(self.folder / "by_row"),
        )
        with (self.folder / "by_row" / "curves.csv").open() as handle:
            expected = list(csv.DictReader(handle))
        for row, other in zip(found, expected, strict=True):
            self.assertEqual(row["accuracy"], other["accuracy"])
        with self.assertRaisesRegex(InputError, "another id_column, pool"):
            self.people(id_column="")


if __name__ == "__main__":
    absltest.main()
