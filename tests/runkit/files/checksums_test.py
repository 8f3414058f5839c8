"""Directories with checksums: any change of a stated file is noticed."""

import json

from absl.testing import absltest, parameterized

from runkit import InputError
from runkit.files import check_checksums, write_checksums
from tests.support.isolated import FolderTestCase


class ChecksumsTest(FolderTestCase):
    def setUp(self):
        super().setUp()
        (self.folder / "sub").mkdir()
        for name in ("a", "b", "sub/c", "README.md"):
            (self.folder / name).write_bytes(b"123456789")

    def test_values_are_those_of_crc_32(self):
        write_checksums(self.folder)
        stated = json.loads((self.folder / "checksums.json").read_text())
        # The check value that the catalog of CRCs states for "123456789".
        self.assertEqual(
            stated, {"crc32": dict.fromkeys(("a", "b", "sub/c"), 0xCBF43926)}
        )

    @parameterized.parameters(b"123456788", b"12345678", b"1234567890", b"")
    def test_changed_files(self, data):
        write_checksums(self.folder)
        check_checksums(self.folder, "Again")
        (self.folder / "sub/c").write_bytes(data)
        with self.assertRaisesRegex(InputError, "c: damaged: not the .*Again"):
            check_checksums(self.folder, "Again")

    def test_missing_added_and_unnamed_files(self):
        write_checksums(self.folder, ["a"])
        (self.folder / "b").unlink()
        (self.folder / "new").write_text("x")
        check_checksums(self.folder, "Again")
        (self.folder / "a").unlink()
        with self.assertRaisesRegex(InputError, "a: damaged.*No such file"):
            check_checksums(self.folder, "Again")

    @parameterized.parameters(
        "", "[]", "{}", '{"crc32": 1}', '{"crc32": {}}', '{"crc33": {"a": 1}}'
    )
    def test_damaged_checksums(self, text):
        (self.folder / "checksums.json").write_text(text)
        with self.assertRaises(InputError):
            check_checksums(self.folder, "Again")

    def test_a_directory_without_checksums_passes(self):
        check_checksums(self.folder, "Again")


if __name__ == "__main__":
    absltest.main()
