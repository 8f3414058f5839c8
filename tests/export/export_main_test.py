"""The binary of the export: flags, labels, what it prints."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import subprocess
import sys

from absl.testing import absltest

from export import export_main
from export.modules.options import ServingOptions
from tests.support import testing

ROOT = pathlib.Path(__file__).resolve().parents[2]


class ExportMainTest(absltest.TestCase):
    def run_main(self, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "export.export_main", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def test_bad_input_ends_with_2(self):
        base = pathlib.Path(self.create_tempdir().full_path) / "out"
        for arguments, message in (
            ([], "--run_dir: is missing"),
            (
                ["--run_dir=x", f"--output_dir={base}", "--decoding=beem"],
                "Did you mean 'beam'",
            ),
            (
                ["--run_dir=x", f"--output_dir={base}", "--labels=one"],
                "fewer than two",
            ),
        ):
            done = self.run_main(*arguments)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(message, done.stderr)
        self.assertFalse(base.exists())

    def test_options_of_flags(self):
        with testing.main_flags(
            export_main, labels=["a", "b"], num_beams=3
        ) as values:
            options = export_main.serving_options(values, input_length=32)
        self.assertEqual(
            options,
            ServingOptions(labels=("a", "b"), num_beams=3, input_length=32),
        )

    def test_flags_default_to_the_options(self):
        with testing.main_flags(export_main) as values:
            options = export_main.serving_options(values)
        self.assertEqual(options, ServingOptions())

    def test_a_flag_overrides_what_the_run_says(self):
        words = ("entailment", "not_entailment")
        with testing.main_flags(export_main) as values:
            options = export_main.serving_options(values, 48, words)
        self.assertEqual(options.labels, words)
        self.assertEqual(options.input_length, 48)
        with testing.main_flags(
            export_main, labels=["a", "b"], input_length=9
        ) as values:
            options = export_main.serving_options(values, 48, words)
        self.assertEqual(options.labels, ("a", "b"))
        self.assertEqual(options.input_length, 9)


if __name__ == "__main__":
    absltest.main()
