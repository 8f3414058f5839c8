"""A folder of files that are read as a corpus, for several tests."""

import gzip
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl.testing import parameterized

from runkit import InputError
from spactor_tf.data.sources import Source


class FolderTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode("utf-8")
        if name.endswith(".gz"):
            content = gzip.compress(content)
        path.write_bytes(content)
        return path

    def read(self, rest, **options):
        return list(Source(f"text:{self.folder}/{rest}", **options))

    def refused(self, rest, pattern, **options):
        with self.assertRaisesRegex(InputError, pattern) as raised:
            self.read(rest, **options)
        return str(raised.exception)
