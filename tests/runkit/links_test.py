"""Links, pipes and devices in the place of results."""

import os
import pathlib

from absl.testing import absltest

from runkit import InputError, files
from tests.support.isolated import FolderTestCase


def names(folder: pathlib.Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class LinksTest(FolderTestCase):
    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()

    def link(self, target: str) -> pathlib.Path:
        link = self.folder / "link"
        link.symlink_to(target)
        return link

    def test_the_file_behind_a_link_is_written(self):
        (self.disk / "a.csv").write_text("old")
        link = self.link("disk/a.csv")
        with files.atomic_write(link) as handle:
            handle.write("new")
        self.assertTrue(link.is_symlink())
        self.assertEqual((self.disk / "a.csv").read_text(), "new")
        self.assertEqual(names(self.disk), ["a.csv"])

    def test_the_directory_behind_a_link_is_replaced(self):
        (self.disk / "kept").mkdir()
        (self.disk / "kept" / "old").touch()
        link = self.link("disk/kept")
        with files.atomic_directory(link, replace=True) as made:
            (made / "new").touch()
        self.assertTrue(link.is_symlink())
        self.assertEqual(names(self.disk / "kept"), ["new"])
        self.assertEqual(names(self.disk), ["kept"])
        (self.disk / ".tmp-kept-1").mkdir()
        files.remove_leftovers(self.folder, "link")
        self.assertEqual(names(self.disk), ["kept"])

    def test_both_names_of_a_directory_have_one_lock(self):
        (self.disk / "kept").mkdir()
        link = self.link("disk/kept")
        with (
            files.lock_directory(self.disk / "kept", beside=True),
            self.assertRaisesRegex(InputError, "is in use"),
            files.lock_directory(link, beside=True),
        ):
            self.fail("locked twice")

    def test_what_is_no_plain_file_is_refused(self):
        os.mkfifo(self.folder / "pipe")
        self.link("link")
        for name in ("pipe", "link"):
            with self.assertRaisesRegex(InputError, "--x: is no plain file"):
                files.check_file(self.folder / name, where="--x")
        with self.assertRaisesRegex(InputError, "--x: is a folder"):
            files.check_file(self.disk, where="--x")
        files.check_file(self.disk / "free.csv", where="--x")

    def test_a_link_that_leads_nowhere_is_no_directory(self):
        with self.assertRaisesRegex(InputError, "leads nowhere"):
            files.check_folder(self.link("gone/away"), where="--x")


if __name__ == "__main__":
    absltest.main()
