"""The binary's door and its two ways over seeds; kill -9 at random moments."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from types import SimpleNamespace

import numpy as np
import pytest
from absl.testing import absltest, parameterized

from runkit import InputError, read_json
from runkit.errors import EXIT_INTERRUPTED
from spactor_tf import finetune_main
from spactor_tf.training.metrics_log import read_metrics
from tests.support import testing, toy_task

ROOT = pathlib.Path(__file__).absolute().parents[2]
KILLS = 20
# None in sys.modules makes an import fail: these must not be needed.
CODE = """
import sys
for name in ("tensorflow", "keras", "keras_hub", "tensorflow_text"):
    sys.modules[name] = None
from spactor_tf import finetune_main
finetune_main.run()
"""


class BadFlagsTest(parameterized.TestCase):
    def run_binary(self, *arguments):
        folder = pathlib.Path(self.create_tempdir().full_path)
        done = subprocess.run(
            [sys.executable, "-c", CODE, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "HOME": str(folder),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
        return done, list(folder.iterdir())

    @parameterized.named_parameters(
        ("task", ["--task=sst3"], r"task.*'sst3'.*mean 'sst2'"),
        ("tasks", ["--task=sst2,mrcp"], r"task.*'mrcp'.*mean 'mrpc'"),
        ("flag", ["--trian_steps=3"], "trian_steps.*Did you mean: train_steps"),
        ("field", ["--set=optimizer.rate=1"], "'optimizer.rate'"),
        ("word", ["--batch_size=many"], "batch_size.*'many'.*number"),
        ("seeds", ["--seeds=0,x"], "--seeds: are not seeds; got '0,x'"),
        ("same_seeds", ["--seeds=1,1"], "--seeds: are not seeds; got '1,1'"),
        ("runs", ["--parallel_runs=0"], "--parallel_runs: is not positive"),
        ("module", ["--import=no_such"], "--import: there is no such module"),
        ("metrics", ["--metrics=f1"], "--metrics: is for tasks of your own"),
        ("own_kind", ["--task=text:a.txt"], "--task.*'text'"),
        ("own_field", ["--task=tsv:a.tsv:x"], "--task: names one field"),
        (
            "own_metric",
            ["--task=tsv:a.tsv", "--metrics=rogue1"],
            "--metrics.*'rogue1'.*mean 'rouge1'",
        ),
        ("holdout", ["--holdout=1.5"], "--holdout: is not a share"),
        ("method", ["--method=ranks"], "'ranks'.*mean 'rank'"),
        ("flag_without_dashes", ["train_steps=3"], "unexpected argument"),
    )
    def test_refused(self, arguments, pattern):
        default = ["--task=sst2", "--init_from=run", "--output_dir=out"]
        done, written = self.run_binary(*default, *arguments)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, f"(?s){pattern}")
        self.assertNotIn("Traceback", done.stderr)
        self.assertEmpty(done.stdout)
        self.assertEmpty(written)

    @parameterized.parameters("task", "init_from", "output_dir")
    def test_required(self, name):
        given = {"task": "sst2", "init_from": "run", "output_dir": "out"}
        given.pop(name)
        done, written = self.run_binary(
            *(f"--{k}={v}" for k, v in given.items())
        )
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(f"--{name}: is missing", done.stderr)
        self.assertEmpty(written)


class ConfigFromFlagsTest(parameterized.TestCase):
    def config(self, **values):
        names = [flag.name for flag in finetune_main.FLAG_TABLE]
        flags = {
            **dict.fromkeys(names),
            "set": [],
            "from_scratch": None,
            "task": "sst2",
            "init_from": "run",
            **values,
        }
        return finetune_main.config_from_flags(SimpleNamespace(**flags))

    def test_defaults_are_those_of_t5(self):
        config = self.config()
        self.assertEqual(config.optimizer.name, "adafactor")
        self.assertEqual(config.optimizer.schedule, "constant")
        self.assertEqual(config.optimizer.learning_rate, 1e-3)
        self.assertEqual(config.dropout, 0.1)

    def test_flags_and_set_override(self):
        config = self.config(
            from_scratch=True,
            patience="3",
            train_examples="100",
            set=["evaluation.test=false", "evaluation.patience=none"],
        )
        self.assertTrue(config.from_scratch)
        self.assertIsNone(config.evaluation.patience)
        self.assertEqual(config.data.train_examples, 100)
        self.assertFalse(config.evaluation.test)

    def test_every_flag_names_a_field(self):
        # Any text will do at first.
        texts = {"task", "init_from", "import", "metrics", "label_words"}
        texts |= {"validation_file", "test_file"}
        names = {f.name for f in finetune_main.FLAG_TABLE if f.field}
        for name in names - texts:
            with self.assertRaises(InputError):
                self.config(**{name: "\0"})


class ProcessTest(absltest.TestCase):
    """Real processes, on made-up files of a published task."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.base = pathlib.Path(folder.name)
        toy_task.write_anli(self.base)
        toy_task.save_preset(self.base / "start")

    def start(self, name, *flags):
        command = [
            sys.executable,
            "-m",
            "spactor_tf.finetune_main",
            "--task=anli",
            f"--init_from={self.base / 'start'}",
            f"--data_dir={self.base}",
            f"--output_dir={self.base / name}",
            "--batch_size=4",
            "--input_length=48",
            "--target_length=8",
            "--dropout=0.1",
            *flags,
        ]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, name, *flags):
        process = self.start(name, *flags)
        _, log = process.communicate(timeout=900)
        self.assertEqual(process.returncode, 0, log[-2000:])
        return self.base / name

    def wait_for(self, process, sign, seconds=300):
        until = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < until:
            if sign():
                return
            time.sleep(0.0005)

    @pytest.mark.slow
    def test_parallel_runs_equal_runs_in_turn(self):
        flags = ("--train_steps=6", "--eval_every=3", "--seeds=0,1")
        turns = self.finish("turns", *flags)
        parallel = self.finish("parallel", *flags, "--parallel_runs=2")
        self.assertEqual(
            read_json(turns / "results.json"),
            read_json(parallel / "results.json"),
        )

    @pytest.mark.slow
    def test_parallel_runs_stop_and_go_on(self):
        flags = (
            "--train_steps=400",
            "--eval_every=50",
            "--seeds=0,1",
            "--parallel_runs=2",
            "--log_every=10",
        )
        folder = self.base / "runs"
        lines = [folder / f"seed-{i}/metrics.jsonl" for i in (0, 1)]
        process = self.start("runs", *flags)
        self.wait_for(process, lambda: all(p.is_file() for p in lines))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=300)
        self.assertEqual(process.returncode, EXIT_INTERRUPTED, log[-2000:])
        self.finish("runs", *flags)
        self.assertLen(read_json(folder / "results.json")["seeds"], 2)

    @pytest.mark.slow
    def test_kills(self):
        """Half of them inside a checkpoint write; the same bits at the end."""
        flags = (
            "--train_steps=1500",
            "--eval_every=100",
            "--checkpoint_every=15",
            "--log_every=7",
        )
        chooser = random.Random(0)
        whole = self.finish("whole", *flags)
        folder, kills, inside = self.base / "killed", 0, 0
        for moment in range(KILLS):
            process = self.start("killed", *flags)
            self.wait_for(process, self.sign(folder, moment))
            time.sleep(chooser.uniform(0.0, 0.4) if moment % 2 else 0.0)
            if process.poll() is None:
                process.kill()
                kills += 1
                inside += any((folder / "checkpoints").glob(".tmp-*"))
            process.communicate()
        self.finish("killed", *flags)
        print(f"{kills} kills, {inside} of them inside a checkpoint write")
        self.assertEqual(kills, KILLS)
        self.assertGreater(inside, 0)
        self.assertEqual(
            read_json(folder / "results.json"),
            read_json(whole / "results.json"),
        )
        self.assertEqual(self.lines(folder), self.lines(whole))
        mine, expected = map(testing.final_arrays, (folder, whole))
        for name, value in expected.items():
            np.testing.assert_array_equal(mine[name], value, err_msg=name)

    def sign(self, folder, moment):
        checkpoints, metrics = folder / "checkpoints", folder / "metrics.jsonl"
        size = metrics.stat().st_size if metrics.is_file() else 0
        if moment % 2 == 0:
            return lambda: any(checkpoints.glob(".tmp-*"))
        return lambda: metrics.is_file() and metrics.stat().st_size > size

    def lines(self, folder):
        drop = ("examples_per_second", "steps_per_second")
        return [
            {k: v for k, v in line.items() if k not in drop}
            for line in read_metrics(folder / "metrics.jsonl")
        ]


if __name__ == "__main__":
    absltest.main()
