"""How a dataset is named: parts, colons, refusals."""

import os
import pathlib
from unittest import mock

from absl.testing import absltest, parameterized

from runkit import InputError
from runkit.datasets import LABELED_KINDS, parse
from runkit.datasets.inputs import matching_files
from tests.support.isolated import FolderTestCase


def parts(spec):
    """(path, split or unit, text field, label field)."""
    found = parse(spec, kinds=LABELED_KINDS)
    middle = found.split if found.kind == "tfds" else found.unit
    return found.path, middle, found.text_field, found.label_field


class PartsTest(parameterized.TestCase):
    @parameterized.parameters(
        ("text:x/*.txt", ("x/*.txt", "whole", "", "")),
        ("text:x:blank_lines", ("x", "blank_lines", "", "")),
        ("text:x:lines", ("x", "lines", "", "")),
        ("text:x:t", ("x", "whole", "t", "")),
        ("text:x:t:l", ("x", "whole", "t", "l")),
        ("jsonl:x:t", ("x", "whole", "t", "")),
        ("jsonl:x:t:l", ("x", "whole", "t", "l")),
        ("csv:x:t:l", ("x", "whole", "t", "l")),
        ("tsv:x:t", ("x", "whole", "t", "")),
        ("npz:x", ("x", "whole", "", "")),
        # No file of either name is there: fields are counted from the right.
        ("jsonl:a:b:t:l", ("a:b", "whole", "t", "l")),
        ("npz:a:b", ("a:b", "whole", "", "")),
        # Colons that are not separators.
        (r"jsonl:a\:b:t", ("a:b", "whole", "t", "")),
        (r"jsonl:a:b\:c", ("a", "whole", "b:c", "")),
        (r"jsonl:C:\pool.jsonl:t:l", (r"C:\pool.jsonl", "whole", "t", "l")),
        ("text:d:/x.txt:lines", ("d:/x.txt", "lines", "", "")),
        ("tfds:a", ("a", "train", "", "")),
        ("tfds:a/b:1.0.0", ("a/b:1.0.0", "train", "", "")),
        ("tfds:a:test[:10%]:t", ("a", "test[:10%]", "t", "")),
        ("tfds:a::t:l", ("a", "train", "t", "l")),
        ("tfds:a:test:t+u", ("a", "test", "t+u", "")),
    )
    def test_parts(self, spec, expected):
        self.assertEqual(parts(spec), expected)

    @parameterized.parameters(
        ("json:x:t", "--d: unknown kind of dataset.*'json:x:t'.*mean 'jsonl'"),
        ("", "unknown kind of dataset"),
        ("docstrings:x", "has nothing to choose from"),
        ("npz:x", "cannot be used here"),
        ("text:", "names nothing.*text:GLOB"),
        ("tfds:", "names nothing"),
        ("jsonl:x", "names no text field.*jsonl:GLOB:FIELD"),
        ("csv:x:", "names no text field"),
        ("text:x:lines:t", "has a field after 'lines'"),
        ("tfds:a:b:c:d:e", "has too many parts"),
    )
    def test_refusals(self, spec, message):
        with self.assertRaisesRegex(InputError, message):
            parse(spec, where="--d")


class ColonsTest(FolderTestCase):
    """The longest path that exists wins."""

    def setUp(self):
        super().setUp()
        before = pathlib.Path.cwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)

    @parameterized.parameters(
        ("jsonl:a:b:t", "a:b", "t"),
        ("jsonl:a:*:t", "a:*", "t"),
        ("text:a:b", "a:b", ""),
        ("text:a:c", "a", "c"),
        ("jsonl:~/a:b:t", "~/a:b", "t"),
    )
    def test_paths(self, spec, path, text_field):
        (self.folder / "a:b").touch()
        (self.folder / "a").touch()
        with mock.patch.dict(os.environ, HOME=str(self.folder)):
            found = parse(spec)
        self.assertEqual((found.path, found.text_field), (path, text_field))


class FilesTest(FolderTestCase):
    def names(self, pattern):
        path = f"{self.folder}/{pattern}"
        return [f.name for f in matching_files(path, "--d", f"text:{path}")]

    def test_order_and_brackets_in_a_name(self):
        for name in ("b.txt", "a.txt", "n[1].txt", "n1.txt"):
            (self.folder / name).touch()
        (self.folder / "c.txt").mkdir()
        self.assertEqual(self.names("?.txt"), ["a.txt", "b.txt"])
        self.assertEqual(self.names("n[1].txt"), ["n[1].txt"])
        (self.folder / "n[1].txt").unlink()
        self.assertEqual(self.names("n[1].txt"), ["n1.txt"])

    def test_nothing(self):
        with self.assertRaisesRegex(InputError, "--d: no file matches"):
            self.names("*.txt")


if __name__ == "__main__":
    absltest.main()
