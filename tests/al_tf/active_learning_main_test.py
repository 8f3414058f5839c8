"""The binary of the loop: bad input, people, resuming."""

import csv
import json
import pathlib
import signal
import sys
import time
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from runkit import InputError
from runkit.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, InterruptedRun
from runkit.files import lock_directory
from runkit.files.locks import LOCK_NAME
from tests.support import loop_data
from tests.support.loop_main_case import MainTestCase, ProcessTestCase

ROOT = pathlib.Path(__file__).absolute().parents[2]


class MainTest(MainTestCase):
    def test_fixed_embeddings(self):
        self.main(seeds=["0", "1"])
        rows = self.curves()
        self.assertLen(rows, 2 * 2 * 3)
        self.assertEqual({row["labels"] for row in rows}, {"12", "18", "24"})
        self.assertTrue((self.run_dir / "report.html").is_file())
        config = json.loads((self.run_dir / "config.json").read_text())
        self.assertEqual(config["learner"], "linear")
        self.assertEqual(config["test"]["examples"], 24)
        held = json.loads(
            (self.run_dir / "runs/random/seed-0/batch-000.json").read_text()
        )
        self.assertLess(max(held["example_ids"]), 120)

    def test_texts(self):
        dataset = self.write_jsonl(loop_data.texts(60))
        test = self.write_jsonl(loop_data.texts(30, 1), "test.jsonl")
        options = {
            "dataset": dataset,
            "test": test,
            "init_from": self.encoder(),
            "train_steps": 3,
            "text_length": 16,
            "rounds": 1,
        }
        self.main(**options)
        self.assertLen(self.curves(), 4)
        self.check_labeled(loop_data.texts(60), 12 + 6)
        self.run_dir = self.folder / "linear"
        self.main(**options, learner="linear", output_dir=str(self.run_dir))
        self.assertLen(self.curves(), 4)
        features = np.load(self.run_dir / "features.npy")
        self.assertEqual(features.shape, (90, 32))

    def check_labeled(self, pool, count):
        path = self.run_dir / "runs/random/seed-0/labeled.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        self.assertLen({row["example_id"] for row in rows}, count)
        for row in rows:
            number = row["example_id"]
            self.assertEqual(row["text"], pool.inputs[number])
            label = pool.classes[pool.labels[number]]
            self.assertEqual(row["label"], label)

    def test_images(self):
        images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3))
        path = self.folder / "images.npz"
        np.savez(path, images=images.astype(np.uint8), labels=np.arange(40) % 2)
        options = {"dataset": f"npz:{path}", "train_steps": 2, "rounds": 1}
        self.main(**options)
        self.assertLen(self.curves(), 4)
        with self.assertRaisesRegex(InputError, "another train_epochs"):
            self.main(**options, train_epochs=3)

    def test_planted_copies(self):
        self.main(near_copies=10, rounds=1)
        config = json.loads((self.run_dir / "config.json").read_text())
        self.assertGreaterEqual(config["pool"]["examples"], 10 * 96)

    def test_a_run_with_other_settings_is_not_mixed_in(self):
        self.main()
        before = loop_data.state(self.run_dir)
        with self.assertRaisesRegex(InputError, "another batch_size"):
            self.main(batch_size=7)
        self.assertEqual(loop_data.state(self.run_dir), before)
        self.main(rounds=3)
        self.assertLen(self.curves(), 2 * 4)

    def test_a_run_in_use_is_refused(self):
        with lock_directory(self.run_dir):
            before = loop_data.state(self.run_dir)
            with self.assertRaisesRegex(InputError, "output_dir: is in use"):
                self.main()
            self.assertEqual(loop_data.state(self.run_dir), before)
        self.main(rounds=1)
        self.assertLen(self.curves(), 2 * 2)

    def test_leftovers_of_a_kill_are_removed(self):
        self.main()
        left = self.run_dir / ".tmp-report.html-01234567"
        left.write_text("half a page")
        self.main()
        self.assertFalse(left.exists())

    @parameterized.parameters(
        ({"dataset": None}, "--dataset: is missing"),
        ({"output_dir": ""}, "--output_dir: is missing"),
        ({"strategies": ["cluster_margn"]}, "mean 'cluster_margin'"),
        ({"strategies": []}, "names nothing"),
        ({"learner": "linera"}, "mean 'linear'"),
        ({"learner": "image"}, "learns from images.*embeddings"),
        ({"oracle": "peple"}, "mean 'people'"),
        ({"seeds": ["0", "x"]}, "whole numbers"),
        ({"seeds": [str(2**63)]}, "below 2.63"),
        ({"output_dir": f"{__file__}/x"}, "--output_dir: is not a directory"),
        ({"seed_size": 500}, "larger than the pool of 96"),
        ({"test": "1.5"}, "not a fraction"),
        ({"test": "npz:nothing.npz"}, "no such file"),
        ({"near_copies": -1}, "--near_copies: is too small"),
        ({"train_steps": 0}, "--train_steps: is not positive"),
        ({"train_epochs": 0}, "--train_epochs: is not positive"),
        ({"learning_rate": -0.1}, "--learning_rate: is not positive"),
        ({"text_length": 0}, "--text_length: is too small"),
        ({"oracle": "people"}, "one strategy and one seed"),
        ({"seed_size": 3, "seeds": ["5"]}, "no example of"),
    )
    def test_bad_input_leaves_nothing(self, change, message):
        with self.assertRaisesRegex(InputError, message):
            self.main(**change)
        self.assertFalse(self.run_dir.exists())

    def test_an_encoder_that_cannot_be_opened_leaves_nothing(self):
        options = {
            "dataset": self.write_jsonl(loop_data.texts(60)),
            "init_from": self.encoder(),
            "train_steps": 2,
            "text_length": 16,
            "rounds": 0,
        }
        weights = pathlib.Path(options["init_from"]) / "model.weights.h5"
        whole = weights.read_bytes()
        weights.write_bytes(whole[:1000])
        with self.assertRaisesRegex(InputError, "not the checksum"):
            self.main(**options)
        self.assertFalse(self.run_dir.exists())
        weights.write_bytes(whole)
        self.main(**options)

    def test_configuration_that_is_none(self):
        self.run_dir.mkdir()
        (self.run_dir / "config.json").write_text("[1]")
        with self.assertRaisesRegex(InputError, "is not a configuration"):
            self.main()

    def test_images_of_the_wrong_shape(self):
        for shape, message in (
            ((40, 4, 8, 3), "cannot take"),
            ((40, 8, 8, 2), "cannot take"),
        ):
            path = self.folder / "images.npz"
            np.savez(
                path, images=np.zeros(shape, np.uint8), labels=np.arange(40) % 2
            )
            with self.assertRaisesRegex(InputError, message):
                self.main(dataset=f"npz:{path}")
        np.savez(
            self.folder / "test.npz",
            images=np.zeros((9, 8, 9, 3), np.uint8),
            labels=np.arange(9) % 2,
        )
        np.savez(
            path,
            images=np.zeros((40, 8, 8, 3), np.uint8),
            labels=np.arange(40) % 2,
        )
        with self.assertRaisesRegex(InputError, "another shape"):
            self.main(
                dataset=f"npz:{path}", test=f"npz:{self.folder / 'test.npz'}"
            )
        self.assertFalse(self.run_dir.exists())

    def test_texts_need_an_encoder(self):
        dataset = self.write_jsonl(loop_data.texts(60))
        with self.assertRaisesRegex(InputError, "--init_from: is missing"):
            self.main(dataset=dataset)
        with self.assertRaisesRegex(InputError, "neither a run"):
            self.main(dataset=dataset, init_from=str(self.folder))

    def test_missing_scikit_learn_is_named_with_its_extra(self):
        # None in sys.modules makes an import fail as if it were missing.
        with (
            mock.patch.dict(sys.modules, {"sklearn": None}),
            self.assertRaisesRegex(
                InputError, r"spactor-al\[active-learning\]"
            ),
        ):
            self.main()
        self.assertFalse(self.run_dir.exists())

    def test_a_foreign_folder_is_left_alone(self):
        self.run_dir.mkdir()
        (self.run_dir / "thesis.txt").write_text("")
        with self.assertRaisesRegex(InputError, "holds files but no run"):
            self.main()


class PeopleTest(MainTestCase):
    """People answer what the data set would have answered."""

    def people(self, **change):
        values = {"oracle": "people", "strategies": ["cluster_margin"]}
        self.main(**{**values, **change})

    def answer(self, number, wrong=None):
        return loop_data.answer(
            self.run_dir, number, loop_data.blobs(120), wrong
        )

    def times(self):
        """When each file was written, but for the lock."""
        files = (p for p in self.run_dir.rglob("*") if p.name != LOCK_NAME)
        return {p: p.stat().st_mtime_ns for p in files}

    def test_labels_changed_after_their_round(self):
        for number in range(2):
            with self.assertRaises(InterruptedRun):
                self.people()
            self.answer(number)
        with self.assertRaisesRegex(InterruptedRun, "round 2: "):
            self.people()
        changed = []

        def amend(rows):
            rows[2]["label"] = rows[
                next(
                    i
                    for i, row in enumerate(rows)
                    if row["label"] != rows[2]["label"]
                )
            ]["label"]
            changed.append(rows[2]["example_id"])

        self.answer(0, amend)
        before = self.times()
        with self.assertRaises(InputError) as caught:
            self.people()
        self.assertIn("1 labels differ", str(caught.exception))
        self.assertIn(f"ids {changed[0]};".rstrip(";"), str(caught.exception))
        self.assertIn("--accept_changed_labels", str(caught.exception))
        self.assertEqual(self.times(), before)
        with self.assertRaisesRegex(InterruptedRun, "round 2: "):
            self.people(accept_changed_labels=True)
        # Taken once and for all.
        with self.assertRaisesRegex(InterruptedRun, "round 2: "):
            self.people()
        self.assertLen(self.curves(), 2)

    def test_people_and_labels_end_alike(self):
        asked = []
        for number in range(3):
            with self.assertRaisesRegex(InterruptedRun, f"round {number}: "):
                self.people()
            # Asked a second time, it waits for the same labels.
            with self.assertRaisesRegex(InterruptedRun, f"round {number}: "):
                self.people()
            asked += self.answer(number)
        self.people()
        self.assertLen(set(asked), 12 + 2 * 6)
        mine = self.curves()
        self.run_dir = self.folder / "labels-run"
        self.main(strategies=["cluster_margin"])
        for row, expected in zip(mine, self.curves(), strict=True):
            self.assertEqual(row["accuracy"], expected["accuracy"])
            self.assertEqual(row["labels"], expected["labels"])

    def test_bad_labels_leave_the_state_untouched(self):
        with self.assertRaises(InterruptedRun):
            self.people()

        def spoil(rows):
            rows[0]["label"] = "dog"
            rows[1]["example_id"] = "99999"

        self.answer(0, spoil)
        files = self.times()
        with self.assertRaisesRegex(InputError, "99999.*dog.*without a label"):
            self.people()
        self.assertEqual(self.times(), files)
        self.answer(0)
        with self.assertRaisesRegex(InterruptedRun, "round 1: 6 examples"):
            self.people()

    def test_a_run_stays_that_of_one_strategy_and_one_seed(self):
        # The files of answers are named only by round.
        with self.assertRaises(InterruptedRun):
            self.people()
        before = loop_data.state(self.run_dir)
        for change in ({"strategies": ["random"]}, {"seeds": ["1"]}):
            with self.assertRaisesRegex(InputError, "another " + [*change][0]):
                self.people(**change)
        self.assertEqual(loop_data.state(self.run_dir), before)
        with self.assertRaisesRegex(InterruptedRun, "round 0: "):
            self.people(rounds=3)

    def test_suggestions_are_the_models_answers(self):
        with self.assertRaises(InterruptedRun):
            self.people()
        self.answer(0)
        with self.assertRaises(InterruptedRun):
            self.people()
        path = self.run_dir / "to_label" / "round-001.csv"
        with path.open() as handle:
            suggested = [r["suggested_label"] for r in csv.DictReader(handle)]
        self.assertContainsSubset(suggested, ("ant", "bee", "cat"))


class ProcessTest(ProcessTestCase):
    def test_ctrl_c_ends_in_one_line(self):
        process = self.start("stopped", "--rounds=9", "--seeds=1,2,3,4")
        self.addCleanup(process.kill)
        # Rounds have begun when the run keeps its first batch.
        while not list((self.folder / "stopped").glob("*/*")):
            self.assertIsNone(process.poll(), "ended before the signal")
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
        self.assertNotIn("Traceback", said)
        self.assertEqual(process.returncode, 130, said)

    def test_exit_codes(self):
        process = self.start("run", "--strategies=marginn")
        _, log = process.communicate(timeout=120)
        self.assertEqual(process.returncode, EXIT_BAD_INPUT, log)
        self.assertIn("Did you mean 'margin'?", log)
        self.assertNotIn("Traceback", log)
        process = self.start("run", "--strategies=margin", "--oracle=people")
        _, log = process.communicate(timeout=120)
        self.assertEqual(process.returncode, EXIT_INTERRUPTED, log)
        self.assertIn("Run the same command again", log)


if __name__ == "__main__":
    absltest.main()
