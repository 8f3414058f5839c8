"""Object storage in a process of its own, killed while a run writes to it."""

import pytest
from absl.testing import absltest, parameterized

from tests.support.storage.case import StorageCase
from tests.support.storage.emulator import needs_driver


@needs_driver
@pytest.mark.slow
class BucketGoneTest(StorageCase):
    def test_killed_in_mid_run_and_once_more_before_anything_is_new(self):
        self.storage.start()
        whole = self.base / "whole"
        code, log = self.storage.run(self.command(whole))
        self.assertEqual(code, 0, log[-2000:])
        self.storage.kill()
        states = []
        # In some later checkpoint; then in the first of the next process,
        # which has the manifest as its first object.
        for put in (40, 2):
            self.storage.start(put, "dies")
            code, log = self.storage.run(self.command())
            self.storage.kill()
            self.assertEqual(code, 75, log[-2000:])
            states.append(self.published())
            self.assertRegex(
                log, rf"(?m)^interrupted: .*checkpoint there: {states[-1]};"
            )
            self.assertNotIn("Traceback", log)
            self.assertIn("again in 16 s", log)
        self.assertRegex(states[0], r"^step [1-9]\d*$")
        self.assertEqual(states[1], states[0])
        self.storage.start()
        code, log = self.storage.run(self.command())
        self.assertEqual(code, 0, log[-2000:])
        self.assertEqual(self.published(), "the end of the run")
        self.check_same(whole)


@needs_driver
@pytest.mark.slow
class RefusedTest(StorageCase):
    @parameterized.parameters(
        ({"output_dir": "s3://nobody/run"}, {}, "NoSuchBucket.*bucket's name"),
        ({}, {"AWS_ACCESS_KEY_ID": "nobody"}, "Forbidden|InvalidAccessKeyId"),
        (
            {},
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
            "NoCredentials.*credentials",
        ),
        ({"output_dir": "gs://bucket/run"}, {}, "pip install gcsfs"),
        ({"output_dir": "ftp://bucket/run"}, {}, "unknown scheme"),
        (
            {"dataset": "text:s3://bucket/*.txt"},
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
            "credentials",
        ),
        (
            {"vocabulary": "s3://bucket/none.model", "output_dir": "LOCAL"},
            {},
            "none.model: cannot be read",
        ),
        (
            {"vocabulary": "s3://bucket/none.model", "output_dir": "LOCAL"},
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
            "none.model: cannot be read.*NoCredentials",
        ),
    )
    def test_exit_2_says_what_to_do(self, flags, environment, message):
        if flags.get("output_dir") == "LOCAL":
            flags = {**flags, "output_dir": self.base / "run"}
        self.storage.start()
        code, log = self.storage.run(self.command(**flags), **environment)
        self.assertEqual(code, 2, log[-2000:])
        self.assertRegex(log, f"(?m)^error: .*({message})")
        self.assertEmpty(self.storage.objects())


if __name__ == "__main__":
    absltest.main()
