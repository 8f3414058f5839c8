"""The binary of the export: flags, labels, what it prints."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import subprocess
import sys
from unittest import mock

from absl.testing import absltest

from export import export_main
from export.modules.options import ServingOptions

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
        names = [name for name, _, _ in export_main._OPTIONS]
        values = mock.Mock(labels=["a", "b"], **dict.fromkeys(names))
        values.num_beams = 3
        options = export_main.serving_options(values, input_length=32)
        self.assertEqual(
            options,
            ServingOptions(labels=("a", "b"), num_beams=3, input_length=32),
        )

    def test_label_words_of_a_task_are_the_default(self):
        names = [name for name, _, _ in export_main._OPTIONS]
        values = mock.Mock(labels=None, **dict.fromkeys(names))
        words = ("entailment", "not_entailment")
        options = export_main.serving_options(values, labels=words)
        self.assertEqual(options.labels, words)
        values.labels = ["a", "b"]
        options = export_main.serving_options(values, labels=words)
        self.assertEqual(options.labels, ("a", "b"))


if __name__ == "__main__":
    absltest.main()
