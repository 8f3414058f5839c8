"""Fine-tuning runs whose data were changed between two starts."""

import dataclasses
import json
import os
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
from absl.testing import absltest

from runkit import InputError, write_json
from spactor_tf.config.fields import to_dict
from spactor_tf.finetune import run as finetune
from spactor_tf.finetune.data_record import RECORD
from spactor_tf.finetune.seeds import finetune_seeds
from tests.support import finetune_case


@pytest.mark.slow
class RunTest(finetune_case.Base):
    def start(self, name, fields=None, **options):
        return finetune.finetune(
            self.config(train_steps=4, **(fields or {})),
            self.base / name,
            self.base,
            **options,
        )

    def edit(self, split):
        """Makes another example of the last one, until the test's end."""
        path = self.base / f"toy-{split}.jsonl"
        before = path.read_text()
        self.addCleanup(path.write_text, before)
        target = '"good"' if split != "test" else '""'
        path.write_text(before + f'{{"text": "zuzu", "target": {target}}}\n')

    def test_a_finished_run_is_not_silently_old(self):
        old = self.start("done")
        results = (self.base / "done/results.json").read_bytes()
        self.edit("test")
        with self.assertRaisesRegex(InputError, "toy-test.jsonl was changed"):
            self.start("done")
        self.assertEqual(
            (self.base / "done/results.json").read_bytes(), results
        )
        # Accepted, the best weights predict the new test set.
        new = self.start("done", accept_changed_data=True)
        self.assertEqual(new["steps"], old["steps"])
        name = "done/predictions/toy.test.jsonl"
        self.assertLen((self.base / name).read_text().splitlines(), 11)
        with mock.patch.object(finetune, "FinetuneRun", None):
            self.assertEqual(self.start("done"), new)  # Known by now.

    def test_a_run_of_an_older_version_goes_on(self):
        results = self.start("old")
        folder = self.base / "old"
        (folder / RECORD).unlink()
        self.edit("train")
        self.assertEqual(self.start("old"), results)  # Finished: only read.
        self.assertFalse((folder / RECORD).exists())
        (folder / "results.json").unlink()
        self.start("old")  # From now on it has a record.
        self.assertLen(json.loads((folder / RECORD).read_text())["content"], 3)

    def test_seeds_are_compared_before_the_first_of_them_runs(self):
        folder = self.base / "seeds"
        self.start("seeds/seed-1", {"seed": 1})
        self.edit("train")
        config = self.config(train_steps=4)
        with self.assertRaisesRegex(InputError, "toy-train.jsonl was changed"):
            finetune_seeds(config, [0, 1], folder, self.base)
        self.assertEqual([p.name for p in folder.iterdir()], ["seed-1"])

    def test_every_seed_is_checked_before_the_first_one_runs(self):
        folder = self.base / "ends"
        config = self.config(train_steps=4)
        (folder / "seed-1/checkpoints/step-00000004").mkdir(parents=True)
        for there, message in (
            ({"seed": 1}, "--train_steps.*at least 4"),
            ({"seed": 1, "batch_size": 3}, "another configuration.*batch_size"),
        ):
            before = to_dict(dataclasses.replace(config, **there))
            write_json(folder / "seed-1" / "config.json", before)
            now = dataclasses.replace(config, train_steps=2)
            with self.assertRaisesRegex(InputError, message):
                finetune_seeds(now, [0, 1], folder, self.base)
            self.assertEqual([p.name for p in folder.iterdir()], ["seed-1"])


if __name__ == "__main__":
    absltest.main()
