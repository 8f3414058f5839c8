"""kill -9 at twenty moments of an export: nothing, or a whole version."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import shutil
import sys

import pytest
import tensorflow as tf
from absl.testing import absltest

from export.saved_model import verify, versions
from runkit import read_json
from tests.support import serving_models, testing
from tests.support.faults import killed


def export_toy():
    """What is killed; its argument is the base path."""
    serving_models.write_toy(pathlib.Path(sys.argv[1]), 1)


@pytest.mark.slow
class KillTest(absltest.TestCase):
    def state(self, base):
        """Names of all files, and all of what the model says and computes."""
        version = base / "1"
        names = [name for name in testing.contents(base) if ".tmp-" not in name]
        loaded = tf.saved_model.load(str(version))
        answers = {
            name: {
                key: value.numpy().tolist()
                for key, value in signature(tf.constant(["a", "bcd"])).items()
            }
            for name, signature in loaded.signatures.items()
            if name == "embed"
        }
        return names, answers, read_json(version / "model_card.json")

    def test_twenty_kills(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        base = folder / "toy"
        moments = killed.moments(
            self,
            "tests.export.saved_model.kill_test:export_toy",
            base,
            [base],
            folder / "counts.json",
        )
        next(moments)
        whole, kills = self.state(base), 0
        shutil.rmtree(base)
        for moment in moments:
            with self.subTest(str(moment)):
                kills += 1
                found = versions.list_versions(base) if base.is_dir() else []
                for version in found:
                    verify.verify_saved_model(base / str(version))
                if not found:
                    serving_models.write_toy(base, 1)
                self.assertEqual(self.state(base), whole)
            shutil.rmtree(base, ignore_errors=True)
        print(f"{kills} kills")
        self.assertEqual(kills, 20)


if __name__ == "__main__":
    absltest.main()
