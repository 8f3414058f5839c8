"""Questions to people and their answers; oracles."""

import csv
import json
import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.loop import label_files, oracles
from al_tf.pools import pool as pools
from runkit import InputError
from runkit.errors import InterruptedRun
from tests.support import loop_data


class PeopleTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        texts = loop_data.texts(10)
        texts.inputs[3] = 'two\nlines, "quoted"'
        # The ids of files are rows of the source, not positions.
        self.pool = texts.take(np.arange(2, 10))
        self.oracle = oracles.PeopleOracle(self.pool, self.folder)
        self.ids = np.array([1, 5, 3])  # Rows 3, 7 and 5.

    def ask(self, suggested=()):
        return self.oracle.labels(0, self.ids, list(suggested))

    def answer(self, text, suffix=".csv"):
        path = self.folder / "labels" / f"round-000{suffix}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def test_questions(self):
        with self.assertRaisesRegex(InterruptedRun, "3 examples wait"):
            self.ask([1, 0, 1])
        path = self.folder / "to_label" / "round-000.csv"
        with path.open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        self.assertEqual([r["example_id"] for r in rows], ["3", "7", "5"])
        self.assertEqual(rows[0]["text"], 'two\nlines, "quoted"')
        self.assertEqual(
            [r["suggested_label"] for r in rows], ["good", "bad", "good"]
        )
        lines = path.with_suffix(".jsonl").read_text().splitlines()
        self.assertEqual(
            json.loads(lines[1]),
            {
                "example_id": 7,
                "text": self.pool.inputs[5],
                "suggested_label": "bad",
                "label": "",
            },
        )

    def test_questions_are_not_written_over(self):
        with self.assertRaises(InterruptedRun):
            self.ask()
        path = self.folder / "to_label" / "round-000.csv"
        path.write_text("somebody is at work")
        with self.assertRaises(InterruptedRun):
            self.ask([1, 1, 1])
        self.assertEqual(path.read_text(), "somebody is at work")

    def test_the_filled_in_questions_are_labels(self):
        with self.assertRaises(InterruptedRun):
            self.ask()
        text = (self.folder / "to_label" / "round-000.csv").read_text()
        head, *_ = text.splitlines()
        self.assertEndsWith(head, ",label")
        self.answer("\ufeff" + text.replace(",\n", ",good\n"))
        self.assertEqual(self.ask().tolist(), [1, 1, 1])

    def test_order_and_agreeing_duplicates(self):
        self.answer("label,example_id\nbad,5\n good ,3\nbad,7\nbad,5\n")
        self.assertEqual(self.ask().tolist(), [1, 0, 0])

    def test_json_lines(self):
        lines = [{"example_id": i, "label": "bad"} for i in (3, "5", 7)]
        self.answer("\n".join(map(json.dumps, lines)), ".jsonl")
        self.assertEqual(self.ask().tolist(), [0, 0, 0])

    @parameterized.parameters(
        ("3,good\n5,bad\n", "without a label: 7"),
        ("3,good\n5,bad\n7,\n", "without a label: 7"),
        ("3,good\n5,bad\n7,bad\n4,bad\nx,bad\n", "not asked for: 4, x"),
        ("3,good\n5,god\n7,bad\n", "unknown classes: 5 is 'god'.*'good'"),
        ("3,good\n5,bad\n7,bad\n3,bad\n", "that disagree: 3"),
        ("3\n", "without a label: 3, 7, 5"),
        (
            "9,good\n3,bd\n",
            "not asked for: 9; unknown classes: 3 is 'bd'; "
            "examples without a label: 7, 5",
        ),
    )
    def test_bad_labels_are_named(self, rows, message):
        self.answer("example_id,label\n" + rows)
        with self.assertRaisesRegex(InputError, message):
            self.ask()

    @parameterized.parameters(
        (
            ".csv",
            "id,label\n3,good\n",
            "record 1: has no field 'example_id'",
        ),
        (".jsonl", "[3]\n", "line 1: .*expected one object per line"),
        (".jsonl", "{3\n", "line 1: is not JSON"),
    )
    def test_bad_files(self, suffix, text, message):
        self.answer(text, suffix)
        with self.assertRaisesRegex(InputError, message):
            self.ask()

    def test_a_long_text_is_read_back(self):
        # More than the 131,072 characters that `csv` takes by default.
        self.pool.inputs[1] = "long text, " * 20_000
        self.pool.inputs[5] = "carriage\rreturn"
        with self.assertRaises(InterruptedRun):
            self.ask()
        path = self.folder / "to_label" / "round-000.csv"
        rows = path.read_bytes().replace(b",\r\n", b",good\r\n")
        (self.folder / "labels").mkdir()
        (self.folder / "labels" / path.name).write_bytes(rows)
        limit = csv.field_size_limit()
        self.assertEqual(self.ask().tolist(), [1, 1, 1])
        self.assertEqual(csv.field_size_limit(), limit)

    def test_leftovers_of_a_kill_are_removed(self):
        left = self.folder / "to_label" / ".tmp-round-000.csv-01234567"
        left.parent.mkdir()
        left.write_text("half")
        with self.assertRaises(InterruptedRun):
            self.ask()
        self.assertFalse(left.exists())

    def test_two_files(self):
        self.answer("example_id,label\n", ".csv")
        self.answer("", ".jsonl")
        with self.assertRaisesRegex(InputError, "two labels files"):
            self.ask()

    def test_one_class_written_in_other_ways(self):
        pool = pools.make_examples(
            "text", self.pool.inputs, np.zeros(8, int), ("1", "caf\u00e9")
        )
        path = self.folder / "q.csv"
        answers = ["1.0", "cafe\u0301", " 1 ", "01", "1", "1", "1", "1.00"]
        lines = [f"{row}.0;{a}" for row, a in enumerate(answers)]
        text = "example_id;label\r\n" + "\r\n".join(lines)
        path.write_text(text, encoding="utf-16")
        np.testing.assert_array_equal(
            label_files.read_labels(path, pool), [0, 1, 0, 0, 0, 0, 0, 0]
        )

    def test_a_shifted_suggestion_is_no_label(self):
        self.answer(
            "example_id,text,suggested_label,label\n"
            "3,great, but late,bad,good\n"
        )
        with self.assertRaisesRegex(InputError, "more cells than"):
            self.ask()

    def test_multilabel(self):
        batch = loop_data.blobs(3, multilabel=True)
        path = label_files.write_questions(
            self.folder, "q", batch, [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
        )
        with path.open() as handle:
            shown = [r["suggested_label"] for r in csv.DictReader(handle)]
        self.assertEqual(shown, ["ant|cat", "-", "bee"])
        path.write_text("example_id,label\n0,cat|ant\n1,-\n2,bee\n")
        np.testing.assert_array_equal(
            label_files.read_labels(path, batch),
            [[1, 0, 1], [0, 0, 0], [0, 1, 0]],
        )
        lines = self.folder / "q2.jsonl"
        lines.write_text(
            '{"example_id": 0, "label": []}\n'
            '{"example_id": 1, "label": ["bee", "cat"]}\n'
            '{"example_id": 2, "label": "ant"}\n'
        )
        np.testing.assert_array_equal(
            label_files.read_labels(lines, batch),
            [[0, 0, 0], [0, 1, 1], [1, 0, 0]],
        )

    def test_images_lie_beside(self):
        from matplotlib import image

        random = np.random.default_rng(0)
        for channels in (1, 3):
            pixels = random.integers(0, 256, (2, 9, 8, channels), np.uint8)
            pool = pools.make_examples("image", pixels, np.zeros(2, int), "ab")
            folder = self.folder / str(channels)
            path = label_files.write_questions(folder, "q", pool, [])
            with path.open() as handle:
                names = [row["text"] for row in csv.DictReader(handle)]
            for name, expected in zip(names, pixels, strict=True):
                shown = image.imread(folder / name)
                self.assertEqual(shown.shape[:2], (9, 8))
                # Gray ones as they are, not stretched to black and white.
                np.testing.assert_allclose(
                    shown[..., :channels] * 255, expected, atol=0.6
                )

    def test_classes_must_be_known(self):
        pool = pools.make_examples(
            "text", self.pool.inputs, np.full(8, pools.UNKNOWN), ()
        )
        with self.assertRaisesRegex(InputError, "--classes"):
            oracles.PeopleOracle(pool, self.folder).check_pool()

    def test_classes_must_fit_into_a_cell(self):
        for classes, many in (
            (("spam ", "ham"), False),
            (("a|b", "c"), True),
            (("-", "c"), True),
        ):
            labels = np.zeros((8, 2) if many else 8, int)
            pool = pools.make_examples(
                "text", self.pool.inputs, labels, classes, many
            )
            with self.assertRaisesRegex(InputError, "cannot be written into"):
                oracles.PeopleOracle(pool, self.folder).check_pool()
        pool = pools.make_examples("text", self.pool.inputs, labels[:, 0], "|-")
        oracles.PeopleOracle(pool, self.folder).check_pool()


if __name__ == "__main__":
    absltest.main()
