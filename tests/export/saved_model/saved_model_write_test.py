"""Exported versions are written whole or not at all."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
from unittest import mock

from absl.testing import absltest, parameterized

from export.saved_model import verify, versions
from export.saved_model import write as saved_model
from runkit import InputError
from tests.support import serving_models

ROOT = pathlib.Path(__file__).resolve().parents[3]


class WriteTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.base = pathlib.Path(self.create_tempdir().full_path) / "toy"

    def test_version_after_the_newest(self):
        self.base.mkdir()
        (self.base / "12").mkdir()
        (self.base / ".tmp-13-aa").mkdir()
        (self.base / "13.old").mkdir()
        self.assertEqual(versions.next_version(self.base), 13)
        serving_models.write_toy(self.base, 13)
        self.assertEqual(versions.list_versions(self.base), [12, 13])
        self.assertFalse((self.base / ".tmp-13-aa").exists())

    @parameterized.parameters(
        "tf.saved_model.save",
        "write_stored_requests",
        "server_config.write_configs",
        "write_json",
        "verify_saved_model",
        "graph_facts",
    )
    def test_failing_export_leaves_nothing(self, step):
        error = verify.VerificationError("does not serve")
        with (
            mock.patch(f"export.saved_model.write.{step}", side_effect=error),
            self.assertRaises(verify.VerificationError),
        ):
            serving_models.write_toy(self.base, 1)
        self.assertEmpty(list(self.base.iterdir()))

    def test_targets_that_cannot_be_written(self):
        serving_models.write_toy(self.base, 1)
        file = self.base / "1" / "model_card.json"
        for base, version, name, message in (
            (self.base, 1, "t5", "exists already.*--version=2"),
            (self.base, 0, "t5", "not a version number"),
            (self.base, 2, "a/b", "not a model name"),
            (file, 2, "t5", "cannot be created"),
        ):
            with self.assertRaisesRegex(InputError, message):
                saved_model.check_target(base, version, name)
        with (
            mock.patch("os.access", return_value=False),
            self.assertRaisesRegex(InputError, "not writable"),
        ):
            saved_model.check_target(self.base, 2, "t5")

    def test_not_a_run(self):
        with self.assertRaisesRegex(InputError, "no such directory"):
            saved_model.export_saved_model(self.base / "run", self.base)
        (self.base / "run" / "checkpoints").mkdir(parents=True)
        with self.assertRaisesRegex(InputError, "not finished"):
            saved_model.export_saved_model(self.base / "run", self.base)


if __name__ == "__main__":
    absltest.main()
