"""A fine-tuning run knows the data that it was trained and tested on."""

import dataclasses
import os
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl.testing import absltest, parameterized

from runkit import InputError, read_json
from runkit.datasets import inputs
from spactor_tf import tasks
from spactor_tf.finetune import data_record
from spactor_tf.finetune import run as finetune
from spactor_tf.finetune.chosen_tasks import chosen_tasks
from spactor_tf.finetune.data_record import DataRecord
from spactor_tf.tasks import Example
from tests.support import finetune_case, toy_task

ROWS = "nana ba\tbad\nzuzu de\tgood\nnana fi\tbad\nzuzu go\tgood\n"


def other_examples(record, row):
    return [Example(record["text"].upper(), record["target"], str(row))]


class RecordTest(finetune_case.Base):
    def setUp(self):
        super().setUp()
        self.folder = self.base / self.id().rsplit(".", 1)[-1]
        self.folder.mkdir()
        toy_task.write_data(self.base)

    def record(self, accept=False, **fields):
        config = self.config(**fields)
        return DataRecord(
            chosen_tasks(config), config, self.folder, self.base, accept
        )

    def test_the_same_data_are_read_once(self):
        toy = self.base / "toy-train.jsonl"
        os.utime(toy, (1, 1))
        self.record().write()
        with mock.patch.object(inputs, "sha256", wraps=inputs.sha256) as read:
            self.assertEqual(self.record().changes, [])
        self.assertNotIn(mock.call(toy), read.call_args_list)
        os.utime(toy, (2, 2))  # Touched, with the same bytes.
        self.assertEqual(self.record().changes, [])

    @parameterized.parameters("train", "validation", "test")
    def test_a_changed_file_is_named(self, split):
        self.record().write()
        before = (self.folder / data_record.RECORD).read_bytes()
        path = self.base / f"toy-{split}.jsonl"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("nana", "zuzu"), encoding="utf-8")
        message = rf"--task.*toy-{split}.jsonl was changed.*--accept_changed"
        with self.assertRaisesRegex(InputError, message):
            self.record()
        self.assertEqual(
            (self.folder / data_record.RECORD).read_bytes(), before
        )
        accepted = self.record(accept=True)
        self.assertLen(accepted.changes, 2)  # The file, and what it gives.
        accepted.write()
        self.assertEqual(self.record().changes, [])

    def test_only_splits_that_are_read_count(self):
        fields = {"evaluation.test": False}
        self.record(**fields).write()
        (self.base / "toy-test.jsonl").write_text('{"text": "a"}\n')
        self.assertEqual(self.record(**fields).changes, [])

    def test_files_of_ones_own(self):
        path = self.base / "mine.tsv"
        path.write_text("inputs\ttargets\n" + ROWS, encoding="utf-8")
        fields = {"task": f"tsv:{path}", "own.holdout": 0.5}
        self.record(**fields).write()
        path.write_text("inputs\ttargets\n" + ROWS * 2, encoding="utf-8")
        message = r"mine\.tsv was changed \(\d+ bytes, now \d+\)"
        with self.assertRaisesRegex(InputError, message):
            self.record(**fields)

    def test_another_module_makes_other_data_of_the_same_files(self):
        self.record().write()
        toy = dataclasses.replace(
            tasks.TASKS["toy"], to_examples=other_examples
        )
        with (
            mock.patch.dict(tasks.TASKS, {"toy": toy}),
            self.assertRaisesRegex(InputError, "code of toy, .*was changed"),
        ):
            self.record()

    @parameterized.parameters(
        "[]",
        "{}",
        '{"content": {"toy, train": []}}',
        '{"content": {"toy, train": {"a": {"sha256": 3}}}}',
        "{",
    )
    def test_a_damaged_record_is_refused(self, text):
        (self.folder / data_record.RECORD).write_text(text)
        with self.assertRaisesRegex(InputError, data_record.RECORD):
            self.record()


class RunTest(finetune_case.Base):
    def run_it(self, name, accept=False):
        config = self.config(
            **{"train_steps": 2, "evaluation.eval_every": 2},
        )
        return finetune.finetune(
            config, self.base / name, self.base, accept_changed_data=accept
        )

    def test_results_are_those_of_the_data(self):
        results = self.run_it("run")
        folder = self.base / "run"
        self.assertIn("toy, test", read_json(folder / "data.json")["content"])
        path = self.base / "toy-validation.jsonl"
        text = path.read_text(encoding="utf-8")
        path.write_text("".join(text.splitlines(True)[:12]), encoding="utf-8")
        before = (folder / "results.json").read_bytes()
        with self.assertRaisesRegex(InputError, "toy-validation.jsonl"):
            self.run_it("run")
        self.assertEqual((folder / "results.json").read_bytes(), before)
        self.run_it("run", accept=True)  # Measured on twelve rows.
        predicted = folder / "predictions" / "toy.validation.jsonl"
        self.assertLen(predicted.read_text().splitlines(), 12)
        path.write_text(text, encoding="utf-8")
        self.assertEqual(self.run_it("run", accept=True), results)
        # A run of an older version has no record, and is taken as it is.
        (folder / "data.json").unlink()
        path.write_text("".join(text.splitlines(True)[:12]), encoding="utf-8")
        self.assertEqual(self.run_it("run"), results)


if __name__ == "__main__":
    absltest.main()
