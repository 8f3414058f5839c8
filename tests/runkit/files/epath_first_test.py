"""TFDS may touch a path before we do: epath decides on its first one."""

import subprocess
import sys

from absl.testing import absltest

PROGRAM = """
import runkit
from etils import epath
assert epath.Path("/").exists()
from runkit.files.storage import as_path
from tests.support.bucket import bucket
with bucket():
    folder = as_path("s3://bucket")
    (folder / "a.txt").write_text("whole")
    assert [p.read_text() for p in folder.iterdir()] == ["whole"]
    assert as_path("s3://bucket/a.txt").parent.exists()
import os
assert "EPATH_USE_TF" not in os.environ
"""


class EpathFirstTest(absltest.TestCase):
    def test_urls_are_read_after_local_paths(self):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    absltest.main()
