"""A run whose directory is in object storage."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from absl.testing import absltest

from runkit.errors import InterruptedRun
from spactor_tf.training.pretrain_run import pretrain
from tests.support import testing
from tests.support.bucket import bucket


@pytest.mark.slow  # Four runs.
class StorageRunTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.bucket = self.enter_context(bucket())
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        dataset = testing.write_corpus(self.folder)
        vocabulary = self.folder / "v.model"
        testing.vocabulary().save(vocabulary)
        self.fields = {
            "data.dataset": dataset,
            "data.vocabulary": str(vocabulary),
            "runtime.checkpoint_every": 2,
            "train_steps": 6,
        }

    def test_a_bucket_that_goes_resumes_with_the_same_bits(self):
        config = testing.tiny_config(**self.fields)
        expected = pretrain(config, self.folder / "run", self.folder / "cache")
        url = "s3://bucket/run"
        # Each attempt on a machine of its own: only the bucket is the same.
        self.bucket.failures_after = 14  # In the second checkpoint.
        with self.assertRaisesRegex(
            InterruptedRun, "the bucket is gone.*checkpoint there: step 2"
        ):
            pretrain(config, url, self.folder / "one")
        self.bucket.failures_after = None
        found = pretrain(config, url, self.folder / "two")
        self.assertEqual(str(found), url)
        for name in ("config.json", "metrics.jsonl", "preset/config.json"):
            self.assertTrue((found / name).is_file(), name)
        (copy,) = (self.folder / "two").glob("copy-*")
        wanted = testing.final_arrays(expected)
        arrays = testing.final_arrays(copy)
        self.assertEqual(arrays.keys(), wanted.keys())
        for name, array in wanted.items():
            np.testing.assert_array_equal(arrays[name], array, name)
        self.assertEqual(
            testing.without_timings(copy), testing.without_timings(expected)
        )
        # The same machine, and the weights as the start of another run.
        more = testing.tiny_config(**self.fields, init_from=url, seed=1)
        other = pretrain(more, self.folder / "more", self.folder / "two")
        self.assertTrue((other / "preset").is_dir())


if __name__ == "__main__":
    absltest.main()
