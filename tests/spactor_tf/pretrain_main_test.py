"""The binary's door: bad flags end with code 2, at once, nothing written."""

import os
import pathlib
import subprocess
import sys
from types import SimpleNamespace

from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf import pretrain_main

ROOT = pathlib.Path(__file__).absolute().parents[2]
# None in sys.modules makes an import fail: these must not be needed.
CODE = """
import sys
for name in ("tensorflow", "keras", "keras_hub", "tensorflow_text"):
    sys.modules[name] = None
from spactor_tf import pretrain_main
pretrain_main.run()
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
                "XDG_CACHE_HOME": str(folder),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
        return done, list(folder.iterdir())

    @parameterized.named_parameters(
        ("preset", ["--preset=tinny"], r"--preset.*'tinny'.*mean 'tiny'"),
        ("flag", ["--trian_steps=3"], "trian_steps.*Did you mean: train_steps"),
        (
            "objective",
            ["--objective=spacktor"],
            "--objective.*'spacktor'.*mean 'spactor'",
        ),
        ("strategy", ["--strategy=mirored"], "'mirored'.*mean 'mirrored'"),
        ("dtype", ["--dtype=bfloat16"], "'bfloat16'.*mean 'mixed_bfloat16'"),
        (
            "field",
            ["--set=optimizer.momentun=1"],
            "'optimizer.momentun'.*mean 'optimizer.momentum'",
        ),
        ("section", ["--set=optimzer.momentum=1"], "'optimizer.momentum'"),
        ("no_value", ["--set=seed"], "--set: has no value; got 'seed'"),
        ("word", ["--train_steps=many"], "train_steps.*'many'.*number"),
        ("half_a_step", ["--train_steps=1.5"], "train_steps.*'1.5'.*whole"),
        (
            "compiled_replicas",
            ["--jit_compile=true", "--strategy=mirrored"],
            "jit_compile.*several devices; got 'true'.*--jit_compile=auto",
        ),
        (
            "compiler",
            ["--jit_compile=2"],
            "jit_compile.*Known: auto, false, true",
        ),
        (
            "no_steps",
            ["--steps_per_execution=0"],
            "steps_per_execution: must be positive; got 0",
        ),
        ("negative", ["--batch_size=-4"], "error: --batch_size: must be posit"),
        (
            "tau",
            ["--train_steps=10", "--transition_step=11"],
            "transition_step.*behind the last step; got 11.*at most 10",
        ),
        (
            "slices",
            ["--batch_size=10", "--accumulation_steps=4"],
            "batch_size.*got 10; expected a multiple of 4",
        ),
        ("rate", ["--set=corruption.noise_density=15"], "density.*got 15"),
        (
            "flag_without_dashes",
            ["train_steps=3"],
            "unexpected argument; got 'train_steps=3'.*--name=value",
        ),
    )
    def test_refused(self, arguments, pattern):
        done, written = self.run_binary("--output_dir=run", *arguments)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, f"(?s){pattern}")
        self.assertNotIn("Traceback", done.stderr)
        self.assertEmpty(done.stdout)
        self.assertEmpty(written)

    def test_output_dir_is_required(self):
        done, written = self.run_binary("--preset=tiny")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("--output_dir: is missing", done.stderr)
        self.assertEmpty(written)

    def test_output_dir_that_is_a_file(self):
        path = self.create_tempfile(content="mine").full_path
        done, written = self.run_binary(f"--output_dir={path}")
        self.assertEqual(done.returncode, 2, done.stderr)
        # A long value loses its middle in messages.
        self.assertRegex(done.stderr, f"--output_dir.*{path[:90]}")
        self.assertEmpty(written)

    def test_good_flags_come_as_far_as_tensorflow(self):
        done, _ = self.run_binary("--output_dir=run", "--train_steps=5")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(
            done.stderr.splitlines()[-1], "import of (tensorflow|keras) halted"
        )
        self.assertIn('"train_steps": 5', done.stdout)


class ConfigFromFlagsTest(parameterized.TestCase):
    def config(self, **values):
        names = [flag.name for flag in pretrain_main.FLAG_TABLE]
        flags = {**dict.fromkeys(names), "preset": "tiny", "set": []}
        return pretrain_main.config_from_flags(
            SimpleNamespace(**{**flags, **values})
        )

    def test_flags_and_set_override_the_preset(self):
        config = self.config(
            preset="small_v1_1",
            dataset="text:a=b/*.txt",
            seed="7",
            set=["data.vocabulary=v=1.model", "optimizer.clip_norm=1"],
        )
        self.assertEqual(config.preset, "small_v1_1")
        self.assertEqual(config.data.dataset, "text:a=b/*.txt")
        self.assertEqual(config.data.vocabulary, "v=1.model")
        self.assertEqual(config.seed, 7)
        self.assertEqual(config.optimizer.clip_norm, 1.0)

    def test_set_comes_last(self):
        config = self.config(train_steps="5", set=["train_steps=6"])
        self.assertEqual(config.train_steps, 6)

    @parameterized.parameters(("0.5", 1000), ("500", 500), ("0", 0))
    def test_transition_in_steps_or_as_a_fraction(self, text, step):
        config = self.config(transition_step=text, train_steps="2000")
        self.assertEqual(config.transition_step, step)

    def test_every_flag_names_a_field(self):
        names = {f.name for f in pretrain_main.FLAG_TABLE if f.field}
        for name in names - {"init_from"}:  # Any text will do at first.
            with self.assertRaises(InputError):
                self.config(**{name: ""})

    def test_remedies_name_flags_that_exist(self):
        # A field is set by --set=section.field, never by --section.field.
        for path in (ROOT / "spactor_tf").rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            self.assertNotRegex(text, r"--[a-z]+\.[a-z_]+", path.name)


if __name__ == "__main__":
    absltest.main()
