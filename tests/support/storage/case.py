"""A test of runs that write to the emulated object storage."""

import json
import pathlib
import tempfile

import numpy as np
from absl.testing import parameterized

from tests.support import testing
from tests.support.faults import small_run
from tests.support.storage.emulator import Emulator

URL = "s3://bucket/run"


class StorageCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.base = pathlib.Path(folder.name)
        self.dataset = testing.write_corpus(self.base)
        self.storage = Emulator(self.base / "storage")
        self.addCleanup(self.storage.kill)

    def command(self, output_dir=URL, **flags):
        return small_run.command(
            **{
                "dataset": self.dataset,
                "output_dir": output_dir,
                "cache_dir": self.base / "cache",
                "train_steps": 40,
                "transition_step": 20,
                "checkpoint_every": 4,
                **flags,
            }
        )

    def published(self):
        """The state that the bucket names, and whether its files are there."""
        objects = self.storage.objects()
        manifest = json.loads(objects["run/files.json"])
        for name, size in manifest["files"].items():
            found = len(objects[f"run/{name}"])
            if name.startswith("checkpoints/"):
                self.assertEqual(found, size, name)
            else:  # Logs may be longer: a resumed run cuts them.
                self.assertGreaterEqual(found, size, name)
        return manifest["state"]

    def check_same(self, whole):
        """The run's copy has the weights and the lines of a local run."""
        (copy,) = (self.base / "cache").glob("copy-*")
        arrays = testing.final_arrays(copy)
        expected = testing.final_arrays(whole)
        self.assertEqual(arrays.keys(), expected.keys())
        for name, value in expected.items():
            np.testing.assert_array_equal(arrays[name], value, err_msg=name)
        self.assertEqual(
            testing.without_timings(copy), testing.without_timings(whole)
        )
