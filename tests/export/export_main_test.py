"""The binary of the export: flags, labels, what it prints."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import subprocess
import sys

import pytest
from absl.testing import absltest, parameterized

from export import export_main
from export.modules.options import ServingOptions
from spactor_tf.inference import save_pretrained
from spactor_tf.inference.pretrained import Pretrained
from spactor_tf.model import t5
from tests.support import testing

ROOT = pathlib.Path(__file__).resolve().parents[2]


class ExportMainTest(parameterized.TestCase):
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

    @parameterized.parameters("100k", "1m", "3m")
    @pytest.mark.slow
    def test_a_small_disk(self, size):
        """A file system of its own, so that the system itself says no."""
        folder = pathlib.Path(self.create_tempdir().full_path)
        disk, preset = folder / "disk", folder / "preset"
        disk.mkdir()
        model = wide_t5()
        save_pretrained(preset, model.backbone, model.vocabulary)
        done = self.in_a_file_system(
            disk,
            size,
            *(sys.executable, "-m", "export.export_main"),
            *(f"--run_dir={preset}", f"--output_dir={disk / 'served'}"),
        )
        self.assertEqual(done.returncode, 2, done.stderr[-2000:])
        self.assertRegex(done.stderr, f"error: --output_dir.*{disk}.*No space")
        served = f"{disk}/served"
        self.assertCountEqual(
            done.stdout.split(), [str(disk), served, f"{served}/.lock"]
        )

    def in_a_file_system(self, folder, size, *command):
        """Runs a command where `folder` is a tmpfs; lists it afterwards."""
        script = (
            f"mount -t tmpfs -o size={size} none {folder} || exit 99\n"
            f'"$@"; code=$?; find {folder}; exit $code'
        )
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", script, "sh", *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        if "unshare" in done.stderr or done.returncode == 99:
            self.skipTest("this user may not mount a file system")
        return done


def wide_t5():
    """A T5 whose weights alone take more than 3 MiB."""
    config = testing.tiny_config(**{"model.hidden_dim": 512})
    backbone = t5.build_backbone(config.model)
    return Pretrained(backbone, testing.vocabulary(), config)


if __name__ == "__main__":
    absltest.main()
