"""Files of a dataset under every name, packed or not."""

import bz2
import gzip
import lzma
import pathlib
import sys
import types
import zlib
from unittest import mock

from absl.testing import absltest, parameterized

from runkit import InputError
from runkit.datasets.inputs import (
    matching_files,
    open_input,
    plain_suffix,
    reading,
)
from runkit.datasets.specification import parse

TEXT = "one\ntwo \u05e9\u4e2d\U0001f600\n"


def fake_zstandard(name):
    """Installs a library of the interface of `name` that unpacks zlib."""
    library = types.ModuleType(name)
    one_frame = zlib.decompressobj
    if name == "zstandard":
        library.ZstdDecompressor = lambda: mock.Mock(decompressobj=one_frame)
    else:
        library.ZstdDecompressor = one_frame
    names = ("compression.zstd", "backports.zstd", "zstandard")
    return mock.patch.dict(sys.modules, dict.fromkeys(names) | {name: library})


class InputsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def read(self, data, name="a.txt"):
        path = self.folder / name
        path.write_bytes(data)
        with open_input(path) as handle:
            return handle.read()

    @parameterized.product(
        pack=(gzip.compress, bz2.compress, lzma.compress),
        name=("a.txt", "a", "a.jsonl", "a.csv"),
    )
    def test_packed_files_without_suffix(self, pack, name):
        self.assertEqual(self.read(pack(TEXT.encode()), name), TEXT.encode())

    @parameterized.parameters("a.GZ", "a.txt.Gz")
    def test_suffixes_in_capitals(self, name):
        packed = gzip.compress(TEXT.encode())
        self.assertEqual(self.read(packed, name), TEXT.encode())
        self.assertEqual(plain_suffix(pathlib.Path("a.JSONL.GZ")), ".jsonl")

    @parameterized.parameters("utf-16", "utf-16-le", "utf-16-be", "utf-32")
    def test_wide_encodings_are_text(self, encoding):
        self.assertEqual(self.read(TEXT.encode(encoding)), TEXT.encode())
        long = TEXT * 20_000  # Characters that lie across two blocks.
        self.assertEqual(self.read(long.encode(encoding)), long.encode())

    def test_packed_utf_16(self):
        packed = gzip.compress(TEXT.encode("utf-16"))
        self.assertEqual(self.read(packed), TEXT.encode())

    @parameterized.parameters(b"", b"a", b"\0", b"\0\0\0\0", b"ab\0c", b"\xff")
    def test_other_bytes_stay(self, data):
        self.assertEqual(self.read(data), data)

    def test_a_missing_library_is_named(self):
        absent = dict.fromkeys(
            ("compression.zstd", "backports.zstd", "zstandard")
        )
        self.enter_context(mock.patch.dict(sys.modules, absent))
        with self.assertRaisesRegex(InputError, "pip install zstandard"):
            self.read(b"\x28\xb5\x2f\xfd", "a.txt")

    @parameterized.parameters("backports.zstd", "zstandard")
    def test_zstandard_files_are_read_to_their_end(self, library):
        self.enter_context(fake_zstandard(library))
        frame = zlib.compress(TEXT.encode() * 50_000, 0)
        for data, times in ((frame, 50_000), (frame + frame, 100_000)):
            self.assertEqual(self.read(data, "a.zst"), TEXT.encode() * times)
        half = frame[: len(frame) // 2]
        for cut in (frame[:-1], half, frame * 2 + b"x", b""):
            with (
                self.assertRaisesRegex(InputError, "a.zst: cannot be read"),
                reading(self.folder / "a.zst"),
            ):
                self.read(cut, "a.zst")

    def test_folders_with_brackets(self):
        folder = self.folder / "part[1]:x"
        folder.mkdir()
        for name in ("b[2].txt", "a.txt"):
            (folder / name).touch()
        found = matching_files(f"{folder}/*.txt", "--dataset", "")
        self.assertEqual([p.name for p in found], ["a.txt", "b[2].txt"])
        self.assertLen(matching_files(f"{folder}/b[2].txt", "", ""), 1)
        spec = parse(f"text:{folder}/*.txt:lines")
        self.assertEqual(spec.path, f"{folder}/*.txt")
        self.assertEqual(spec.unit, "lines")

    @parameterized.parameters("~nobody-here/x", "a" * 300, "a\0*", "b/" * 3000)
    def test_no_path_at_all(self, pattern):
        with self.assertRaisesRegex(InputError, "--dataset: "):
            matching_files(pattern, "--dataset", pattern)
        parse(f"text:{pattern}:lines")


if __name__ == "__main__":
    absltest.main()
