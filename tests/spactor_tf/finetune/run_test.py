"""Fine-tuning runs: exact resume, early stopping, results, refusals."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from absl.testing import absltest, parameterized

from runkit import InputError, read_json
from runkit.errors import InterruptedRun
from spactor_tf.config.fields import from_dict
from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.finetune import run as finetune
from spactor_tf.finetune.seeds import finetune_seeds, summarize
from spactor_tf.inference import pretrained
from spactor_tf.model.curriculum import Stage
from spactor_tf.training.metrics_log import MetricsLog, read_metrics
from tests.support import finetune_case, testing, toy_task


class Crash(BaseException):
    """Stands for the end of the process."""


def at_step(number, what):
    """Patches the log so that something happens in the n-th step."""
    add, count = MetricsLog.add, iter(range(1, 1000))

    def dying(self, metrics):
        if next(count) == number:
            what()
        add(self, metrics)

    return mock.patch.object(MetricsLog, "add", dying)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def crash():
    raise Crash


class RunTest(finetune_case.Base):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.results = cls.run_once("whole")
        cls.whole = cls.base / "whole"

    def test_interrupted_runs_compute_the_same_bits(self):
        with at_step(2, terminate), self.assertRaises(InterruptedRun):
            self.run_once("broken")
        with at_step(6, crash), self.assertRaises(Crash):
            self.run_once("broken")  # Dies in step 8, behind the save at 6.
        self.assertEqual(self.run_once("broken"), self.results)
        self.assert_same_run(self.base / "broken")

    def test_several_steps_a_call_are_the_same_run(self):
        """Batches of one call have different lengths."""
        config = self.config(**{"runtime.steps_per_execution": 10})
        self.assertEqual(self.run_once("ten", config), self.results)
        self.assert_same_run(self.base / "ten")

    def assert_same_run(self, folder):
        drop = ("examples_per_second", "steps_per_second")
        lines = [
            [
                {k: v for k, v in line.items() if k not in drop}
                for line in read_metrics(path / "metrics.jsonl")
            ]
            for path in (folder, self.whole)
        ]
        self.assertEqual(*lines)
        mine, whole = map(testing.final_arrays, (folder, self.whole))
        self.assertEqual(set(mine), set(whole))
        for name, value in whole.items():
            np.testing.assert_array_equal(mine[name], value, err_msg=name)
        for split in ("validation", "test"):
            name = f"predictions/toy.{split}.jsonl"
            self.assertEqual(
                (folder / name).read_bytes(), (self.whole / name).read_bytes()
            )

    def test_run_directory_is_complete(self):
        names = {path.name for path in self.whole.iterdir()}
        self.assertContainsSubset(
            {
                "config.json",
                "metrics.jsonl",
                "checkpoints",
                "preset",
                "report.html",
                "tensorboard",
                "loss.png",
                "results.json",
                "validation_toy_accuracy.png",
                "predictions",
            },
            names,
        )
        again = from_dict(read_json(self.whole / "config.json"), FinetuneConfig)
        self.assertEqual(again, self.config())
        page = (self.whole / "report.html").read_text(encoding="utf-8")
        self.assertIn("data:image/png;base64,", page)
        for link in ("http://", "https://", 'src="/'):
            self.assertNotIn(link, page)

    def test_lines_of_metrics(self):
        records = read_metrics(self.whole / "metrics.jsonl")
        self.assertEqual([r["step"] for r in records], [3, 4, 6, 8, 9, 12])
        for record in records:
            self.assertEqual(record["stage"], "finetune")
            self.assertNotIn("sc_loss", record)
            self.assertAlmostEqual(record["learning_rate"], 0.02, places=7)
            self.assertGreater(record["gradient_norm"], 0.0)
            self.assertEqual(
                "validation_toy_accuracy" in record, record["step"] % 4 == 0
            )

    def test_tokens_seen_are_those_of_the_batches(self):
        run = finetune.FinetuneRun(self.config(), self.whole, self.base)
        batches = run.pipeline(Stage.SPAN_CORRUPTION).dataset(0, 12)
        seen = np.cumsum(
            [
                sum(int((v != 0).sum()) for v in b.values())
                for b in batches.as_numpy_iterator()
            ]
        )
        for record in read_metrics(self.whole / "metrics.jsonl"):
            self.assertEqual(record["tokens_seen"], seen[record["step"] - 1])

    def test_preset_and_results_are_those_of_the_best_step(self):
        records = read_metrics(self.whole / "metrics.jsonl")
        scores = {
            r["step"]: r["validation_score"]
            for r in records
            if "validation_score" in r
        }
        best = min(s for s, v in scores.items() if v == max(scores.values()))
        self.assertEqual(self.results["best_step"], best)
        metrics = self.results["tasks"]["toy"]
        self.assertEqual(metrics["validation"], {"accuracy": scores[best]})
        self.assertNotIn("test", metrics)
        stored = np.load(
            self.whole / f"checkpoints/step-{best:08d}/variables.npz"
        )
        model = pretrained.load_pretrained(self.whole)
        self.assertEqual(model.input_length, 32)
        # Of the pre-training run, which had another seed.
        self.assertEqual(model.config.seed, 5)
        np.testing.assert_array_equal(
            model.backbone.token_embedding.embeddings, stored["model/00000"]
        )

    def test_predictions_are_those_of_the_preset(self):
        evaluated = self.run_once(
            "again",
            self.config(init_from=str(self.whole), train_steps=0),
        )
        self.assertEqual(evaluated["steps"], 0)
        self.assertEqual(evaluated["tasks"], self.results["tasks"])
        for split, size in (("validation", 24), ("test", 10)):
            name = f"predictions/toy.{split}.jsonl"
            lines = (self.whole / name).read_text().splitlines()
            self.assertLen(lines, size)
            self.assertIn(json.loads(lines[0])["label"], toy_task.WORDS)
            self.assertEqual(
                (self.base / "again" / name).read_text().splitlines(), lines
            )

    def test_a_finished_run_is_only_read(self):
        with mock.patch.object(finetune, "FinetuneRun", crash):
            self.assertEqual(self.run_once("whole"), self.results)

    def test_a_finished_run_goes_on_to_a_later_end(self):
        self.run_once("longer", self.config(train_steps=8))
        self.assertEqual(self.run_once("longer"), self.results)
        mine, whole = map(
            testing.final_arrays, (self.base / "longer", self.whole)
        )
        for name, value in whole.items():
            np.testing.assert_array_equal(mine[name], value, err_msg=name)
        # What was reached is not taken back, and the results stay.
        with self.assertRaisesRegex(InputError, "at least 12"):
            self.run_once("longer", self.config(train_steps=8))
        self.assertTrue((self.base / "longer/results.json").is_file())

    @parameterized.parameters(
        ({"seed": 1}, "seed: 0 -> 1"), ({"dropout": 0.2}, "dropout: 0.1 -> 0.2")
    )
    def test_another_configuration_is_refused(self, fields, message):
        shutil.copytree(self.whole, self.base / "other", dirs_exist_ok=True)
        (self.base / "other" / "results.json").unlink(missing_ok=True)
        for name in ("whole", "other"):
            with self.assertRaisesRegex(InputError, message):
                self.run_once(name, self.config(**fields))


class LearningTest(finetune_case.Base):
    def test_it_learns_and_stops_early(self):
        config = self.config(
            **{"train_steps": 400, "evaluation.patience": 3, "dropout": 0.0}
        )
        with mock.patch("builtins.print") as told:
            results = self.run_once("learned", config)
        self.assertTrue(results["stopped_early"])
        self.assertIn(
            f"--patience=3 at step {results['steps']} of 400: no better score "
            f"since step {results['best_step']}",
            str(told.mock_calls),
        )
        self.assertLess(results["steps"], 400)
        self.assertEqual(results["steps"], results["best_step"] + 3 * 4)
        accuracy = results["tasks"]["toy"]["validation"]["accuracy"]
        self.assertGreater(accuracy, 90)
        steps = {p.name for p in (self.base / "learned/checkpoints").iterdir()}
        self.assertIn(f"step-{results['best_step']:08d}", steps)

    def test_patience_is_the_configuration_s_after_a_resume(self):
        run = finetune.FinetuneRun(
            self.config(**{"evaluation.patience": 3}),
            self.base / "none",
            self.base,
        )
        stored = finetune.EarlyStopping(1, best=5.0, best_step=4, stale=2)
        run.take_state({"stopping": dataclasses.asdict(stored)})
        self.assertEqual(run.stopping, dataclasses.replace(stored, patience=3))
        self.assertFalse(run.is_over)

    def test_from_scratch_draws_other_weights_of_the_same_sizes(self):
        config = self.config(from_scratch=True, train_steps=1)
        started = finetune.FinetuneRun(
            self.config(train_steps=1), self.base / "none", self.base
        )
        scratch = finetune.FinetuneRun(config, self.base / "none", self.base)
        weights = pretrained.load_pretrained(self.base / "start").backbone
        changed = 0
        for a, b, c in zip(
            weights.get_weights(),
            started.model.backbone.get_weights(),
            scratch.model.backbone.get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)
            self.assertEqual(a.shape, c.shape)
            changed += not np.array_equal(a, c)
        self.assertGreater(changed, 10)
        self.assertFalse((self.base / "none").exists())

    def test_mixture_with_a_cap_and_free_text(self):
        config = self.config(
            **{"task": "toy, words", "data.examples_cap": 16, "train_steps": 4}
        )
        results = self.run_once("mixture", config)
        shares = {r["task"]: r["share"] for r in results["mixture"]}
        self.assertEqual(shares, {"toy": 16 / 28, "words": 12 / 28})
        self.assertEqual(list(results["tasks"]), ["toy", "words"])
        record = read_metrics(self.base / "mixture/metrics.jsonl")[-1]
        self.assertAlmostEqual(
            record["validation_score"],
            (
                record["validation_toy_accuracy"]
                + record["validation_words_accuracy"]
            )
            / 2,
        )


class SeedsTest(finetune_case.Base):
    @pytest.mark.slow
    def test_means_and_errors_over_seeds(self):
        config = self.config(train_steps=4)
        summary = finetune_seeds(config, [3, 1], self.base / "seeds", self.base)
        values = [
            read_json(self.base / f"seeds/seed-{seed}/results.json")["tasks"][
                "toy"
            ]["validation"]["accuracy"]
            for seed in (3, 1)
        ]
        found = summary["tasks"]["toy"]["validation"]["accuracy"]
        self.assertEqual(found["values"], values)
        self.assertEqual(summary["seeds"], [3, 1])
        self.assertEqual(summary, read_json(self.base / "seeds/results.json"))
        self.assertTrue((self.base / "seeds/report.html").is_file())
        arrays = [
            testing.final_arrays(self.base / f"seeds/seed-{seed}")
            for seed in (3, 1)
        ]
        self.assertFalse(np.array_equal(*(a["model/00000"] for a in arrays)))

    def test_summary_by_hand(self):
        runs = [
            {"seed": i, "tasks": {"a": {"primary": "m", "test": {"m": v}}}}
            for i, v in enumerate([1.0, 2.0, 6.0])
        ]
        found = summarize(runs)["tasks"]["a"]["test"]["m"]
        self.assertEqual(found["mean"], 3.0)
        # Variance (4 + 1 + 9) / 2 = 7; error sqrt(7 / 3).
        self.assertAlmostEqual(found["standard_error"], (7 / 3) ** 0.5)
        one = summarize(runs[:1])["tasks"]["a"]["test"]["m"]
        self.assertIsNone(one["standard_error"])

    def test_single_runs_and_seeds_do_not_share_a_folder(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        (folder / "results.json").write_text("{}")
        with self.assertRaisesRegex(InputError, "results of several seeds"):
            finetune.finetune(self.config(), folder, self.base)
        (folder / "config.json").write_text("{}")
        with self.assertRaisesRegex(InputError, "holds a single run"):
            finetune_seeds(self.config(), [3], folder, self.base)
        self.assertLen(list(folder.iterdir()), 2)

    @parameterized.parameters(([],), ([1, 1],))
    def test_bad_seeds(self, seeds):
        with self.assertRaisesRegex(InputError, "different numbers"):
            finetune_seeds(self.config(), seeds, self.base / "no")


class StoppingTest(absltest.TestCase):
    def test_equal_scores_are_no_improvement(self):
        stopping = finetune.EarlyStopping(2)
        for step, score in enumerate([1.0, 3.0, 3.0]):
            stopping.update(score, step)
            self.assertFalse(stopping.is_over)
        stopping.update(2.0, 3)
        self.assertTrue(stopping.is_over)
        self.assertEqual((stopping.best, stopping.best_step), (3.0, 1))
        again = finetune.EarlyStopping(**dataclasses.asdict(stopping))
        self.assertEqual(again, stopping)

    def test_without_patience(self):
        stopping = finetune.EarlyStopping(None)
        for step in range(50):
            stopping.update(0.0, step)
        self.assertFalse(stopping.is_over)


if __name__ == "__main__":
    absltest.main()
