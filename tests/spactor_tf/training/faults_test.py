"""What must not harm a run: numbers that are not finite, failing reports."""

import dataclasses
import json
import pathlib
from unittest import mock

import numpy as np
import pytest
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.classifier.classifier import TextClassifier
from spactor_tf.inference.pretrained import load_pretrained, save_pretrained
from spactor_tf.training import pretrain_report
from spactor_tf.training.checkpointing import CheckpointStore
from spactor_tf.training.metrics_log import MetricsLog
from spactor_tf.training.pretrain_run import pretrain
from tests.support import testing


class RunTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.corpus = testing.write_corpus(self.folder)

    def pretrain(self, **fields):
        config = testing.tiny_config(
            **{"data.dataset": self.corpus, **fields},
        )
        pretrain(config, self.folder / "run", self.folder / "cache")

    def steps(self):
        return CheckpointStore(self.folder / "run").steps()

    @parameterized.parameters("adafactor", "adamw")
    def test_a_rate_far_too_high(self, optimizer):
        with self.assertRaisesRegex(InputError, r"(?s)diverged|not finite"):
            self.pretrain(
                **{
                    "optimizer.name": optimizer,
                    "optimizer.learning_rate": 1e30,
                    "train_steps": 40,
                    "runtime.log_every": 5,
                    "runtime.checkpoint_every": 10,
                }
            )
        self.assertFalse((self.folder / "run" / "preset").exists())
        for step in self.steps():
            path = self.folder / f"run/checkpoints/step-{step:08d}"
            with np.load(path / "variables.npz") as arrays:
                for name in arrays.files:
                    self.assertTrue(np.isfinite(arrays[name]).all(), name)

    def test_the_last_good_checkpoint_and_the_step_are_named(self):
        calls = []
        add = MetricsLog.add

        def sixth_is_nan(log, values):
            calls.append(1)
            bad = {"loss": [float("nan")]} if len(calls) == 6 else {}
            add(log, {**values, **bad})

        with (
            mock.patch.object(MetricsLog, "add", sixth_is_nan),
            self.assertRaises(InputError) as caught,
        ):
            self.pretrain(
                **{"runtime.log_every": 4, "runtime.checkpoint_every": 4}
            )
        message = str(caught.exception)
        self.assertIn("step 6", message)
        self.assertIn("last good checkpoint is that of step 4", message)
        self.assertEqual(self.steps(), [4])
        lines = (self.folder / "run" / "metrics.jsonl").read_text()
        for line in lines.splitlines():
            self.assertLessEqual(json.loads(line)["step"], 4)


class ReportTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.config = testing.tiny_config(
            **{
                "data.dataset": testing.write_corpus(self.folder),
                "train_steps": 4,
                "objective.transition_step": 2,
            }
        )

    @parameterized.parameters("float32", "mixed_bfloat16")
    @pytest.mark.slow
    def test_it_is_written_in_every_dtype(self, dtype):
        config = dataclasses.replace(self.config, dtype=dtype)
        pretrain(config, self.folder / "run", self.folder / "cache")
        page = (self.folder / "run" / "report.html").read_text("utf-8")
        self.assertIn("<img", page)

    def test_one_that_fails_does_not_fail_the_run(self):
        with mock.patch.object(
            pretrain_report, "write_report", side_effect=TypeError("no plot")
        ):
            pretrain(self.config, self.folder / "run", self.folder / "cache")
        self.assertTrue((self.folder / "run" / "preset").is_dir())
        self.assertFalse((self.folder / "run" / "report.html").exists())


class WeightsTest(parameterized.TestCase):
    @parameterized.parameters(np.nan, np.inf, -np.inf)
    def test_weights_from_outside_are_checked(self, value):
        model = testing.random_t5.__wrapped__()
        kernel = model.backbone.token_embedding.embeddings
        array = np.array(kernel)
        array[3, 1] = value
        kernel.assign(array)
        folder = pathlib.Path(self.create_tempdir().full_path) / "preset"
        save_pretrained(folder, model.backbone, model.vocabulary, model.config)
        with self.assertRaisesRegex(InputError, "weights are not finite"):
            load_pretrained(folder)

    def test_a_checkpoint_never_holds_numbers_that_are_not_finite(self):
        import keras

        store = CheckpointStore(self.create_tempdir().full_path)
        good = {"model": [keras.Variable(np.ones(3, np.float32))]}
        store.save(1, good, {"score": None}, {})
        bad = {"model": [keras.Variable(np.array([1, np.inf], np.float32))]}
        with self.assertRaisesRegex(InputError, "not finite.*"):
            store.save(2, bad, {"score": None}, {})
        self.assertEqual(store.steps(), [1])


class ClassifierTest(absltest.TestCase):
    def test_a_rate_far_too_high(self):
        model = TextClassifier(testing.random_t5.__wrapped__(), ["a", "b"])
        with self.assertRaisesRegex(InputError, "diverged"):
            model.fit(
                ["good", "bad"] * 8,
                np.array([0, 1] * 8),
                seed=0,
                train_steps=60,
                learning_rate=1e38,
            )


if __name__ == "__main__":
    absltest.main()
