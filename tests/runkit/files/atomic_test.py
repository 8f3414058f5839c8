"""Whole files or none, whatever happens in between."""

import errno
import os
import pathlib
import resource
import signal
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from runkit import errors, files
from tests.support.isolated import FolderTestCase, run_script


class AtomicWriteTest(FolderTestCase):
    def test_writes_text_and_bytes_and_makes_the_folder(self):
        with files.atomic_write(self.folder / "a" / "b.txt") as handle:
            handle.write("ß\n")
        with files.atomic_write(self.folder / "c.bin", "wb") as handle:
            handle.write(b"\x00\xff")
        text = (self.folder / "a" / "b.txt").read_bytes()
        self.assertEqual(text, b"\xc3\x9f\n")
        self.assertEqual((self.folder / "c.bin").read_bytes(), b"\x00\xff")
        self.assertEqual(self.names(), ["a", "c.bin"])

    def test_new_content_is_invisible_until_complete(self):
        path = self.folder / "x"
        path.write_text("old")
        with files.atomic_write(path) as handle:
            handle.write("new")
            handle.flush()
            self.assertEqual(path.read_text(), "old")
        self.assertEqual(path.read_text(), "new")

    def test_an_error_inside_leaves_the_old_file_alone(self):
        path = self.folder / "x"
        path.write_text("old")
        with (
            self.assertRaises(KeyboardInterrupt),
            files.atomic_write(path) as handle,
        ):
            handle.write("half of the n")
            raise KeyboardInterrupt
        self.assertEqual(path.read_text(), "old")
        self.assertEqual(self.names(), ["x"])

    @parameterized.parameters("os.fsync", "pathlib.Path.replace")
    def test_full_disk_leaves_the_old_file_alone(self, call):
        path = self.folder / "x"
        path.write_text("old")
        full = OSError(errno.ENOSPC, "No space left on device")
        with (
            mock.patch(call, side_effect=full),
            self.assertRaises(OSError) as caught,
            files.atomic_write(path) as handle,
        ):
            handle.write("new")
        self.assertEqual(caught.exception.errno, errno.ENOSPC)
        self.assertEqual(caught.exception.filename, str(path))
        self.assertEqual(path.read_text(), "old")
        self.assertEqual(self.names(), ["x"])

    def test_array(self):
        rows = np.arange(12, dtype=np.float32).reshape(3, 4).T
        files.write_npy(self.folder / "x.npy", rows)
        np.testing.assert_array_equal(np.load(self.folder / "x.npy"), rows)

    def test_array_that_does_not_fit_tells_why(self):
        # A full disk, but that the error has another number; it comes after
        # the file's header was written.
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            with self.assertRaises(OSError) as caught:
                files.write_npy(self.folder / "x.npy", np.zeros(100_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        self.assertEqual(caught.exception.errno, errno.EFBIG)
        self.assertEqual(self.names(), [])

    def test_a_folder_that_cannot_be_created_is_refused(self):
        # Not even root may make a folder there.
        with self.assertRaisesRegex(errors.InputError, "here: may not be wr"):
            files.check_folder("/proc/none", where="here")
        with (
            self.assertRaisesRegex(errors.InputError, "here: cannot be creat"),
            files.lock_directory("/proc/none", where="here"),
        ):
            pass

    def test_check_folder(self):
        files.check_folder(self.folder / "new" / "one", where="here")
        (self.folder / "x").touch()
        for path in ("x", "x/y", "x/y/z"):
            with self.assertRaisesRegex(
                errors.InputError, "here: is not a directory"
            ):
                files.check_folder(self.folder / path, where="here")
        self.assertEqual(self.names(), ["x"])

    def test_killed_in_the_middle(self):
        path = self.folder / "x"
        path.write_text("old")
        script = """
            import os, signal, sys
            from runkit import files
            with files.atomic_write(sys.argv[1]) as handle:
                handle.write("half of the n")
                handle.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        """
        done = run_script(script, str(path))
        self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
        self.assertEqual(path.read_text(), "old")
        self.assertLen(self.leftovers(), 1)
        files.remove_leftovers(self.folder)
        self.assertEqual(self.names(), ["x"])

    def test_data_is_on_disk_before_the_name_changes(self):
        calls = []
        fsync, replace = os.fsync, pathlib.Path.replace

        def traced_fsync(handle):
            calls.append("fsync")
            fsync(handle)

        def traced_replace(source, target):
            calls.append("replace")
            return replace(source, target)

        with (
            mock.patch("os.fsync", traced_fsync),
            mock.patch("pathlib.Path.replace", traced_replace),
            files.atomic_write(self.folder / "x") as handle,
        ):
            handle.write("new")
        self.assertEqual(calls, ["fsync", "replace", "fsync"])


class AtomicDirectoryTest(FolderTestCase):
    def fill(self, content: str, **kwargs) -> None:
        with files.atomic_directory(self.folder / "d", **kwargs) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "f").write_text(content)

    def content(self) -> str:
        return (self.folder / "d" / "sub" / "f").read_text()

    def test_appears_complete(self):
        with files.atomic_directory(self.folder / "d") as folder:
            (folder / "f").write_text("new")
            self.assertFalse((self.folder / "d").exists())
        self.assertEqual((self.folder / "d" / "f").read_text(), "new")
        self.assertEqual(self.names(), ["d"])

    def test_existing_directory_is_refused_before_any_work(self):
        self.fill("old")
        with self.assertRaisesRegex(errors.InputError, "exists already"):
            self.fill("new")
        self.assertEqual(self.content(), "old")

    def test_replace_takes_the_new_one_whole(self):
        self.fill("old")
        (self.folder / "d" / "gone").touch()
        self.fill("new", replace=True)
        self.assertEqual(self.content(), "new")
        self.assertFalse((self.folder / "d" / "gone").exists())
        self.assertEqual(self.names(), ["d"])

    def test_an_error_inside_leaves_the_old_one_alone(self):
        self.fill("old")
        with (
            self.assertRaises(ZeroDivisionError),
            files.atomic_directory(self.folder / "d", replace=True) as folder,
        ):
            (folder / "f").write_text("half")
            raise ZeroDivisionError
        self.assertEqual(self.content(), "old")
        self.assertEqual(self.names(), ["d"])

    def test_full_disk_leaves_the_old_one_alone(self):
        self.fill("old")
        full = OSError(errno.ENOSPC, "No space left on device")
        with (
            mock.patch("os.fsync", side_effect=full),
            self.assertRaises(OSError),
        ):
            self.fill("new", replace=True)
        self.assertEqual(self.content(), "old")
        self.assertEqual(self.names(), ["d"])

    @parameterized.parameters(1, 2, 3, 4)
    def test_killed_at_any_change_of_names(self, nth):
        self.fill("old")
        script = """
            import os, signal, sys
            from runkit import files

            left = int(sys.argv[2])

            def kill_at(event, arguments):
                global left
                if event in ("os.rename", "os.rmdir", "shutil.rmtree",
                             "ctypes.dlopen"):
                    left -= 1
                    if not left:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(kill_at)
            with files.atomic_directory(sys.argv[1], replace=True) as folder:
                (folder / "sub").mkdir()
                (folder / "sub" / "f").write_text("new")
        """
        run_script(script, str(self.folder / "d"), str(nth))
        files.remove_leftovers(self.folder)
        self.assertIn(self.content(), ("old", "new"))
        self.assertEqual(self.names(), ["d"])

    @parameterized.parameters(1, 2)
    def test_without_exchange_a_failing_rename_restores_the_old(self, nth):
        self.fill("old")
        rename, calls = pathlib.Path.rename, []

        def failing(source, target):
            calls.append(target)
            if len(calls) == nth:
                raise OSError(errno.EIO, "Input/output error")
            return rename(source, target)

        with (
            mock.patch("ctypes.CDLL", return_value=object()),
            mock.patch("pathlib.Path.rename", failing),
            self.assertRaises(OSError),
        ):
            self.fill("new", replace=True)
        self.assertEqual(self.content(), "old")
        self.assertEqual(self.names(), ["d"])

    def test_leftovers_of_a_killed_process_are_removed(self):
        (self.folder / ".tmp-d-0" / "sub").mkdir(parents=True)
        (self.folder / ".tmp-x-1").touch()
        self.fill("good")
        files.remove_leftovers(self.folder)
        self.assertEqual(self.names(), ["d"])


class JsonTest(FolderTestCase):
    def test_round_trip_is_stable_text(self):
        path = self.folder / "c.json"
        files.write_json(path, {"b": [1, 2.5], "a": None})
        self.assertEqual(files.read_json(path), {"a": None, "b": [1, 2.5]})
        first = path.read_bytes()
        files.write_json(path, {"a": None, "b": [1, 2.5]})
        self.assertEqual(path.read_bytes(), first)

    @parameterized.parameters(b"{", b"", b"\xff\xfe{}")
    def test_what_is_not_json_is_refused_by_name(self, content):
        path = self.folder / "c.json"
        path.write_bytes(content)
        with self.assertRaisesRegex(errors.InputError, "c.json: is not JSON"):
            files.read_json(path)

    def test_missing_file(self):
        with self.assertRaisesRegex(errors.InputError, "no such file"):
            files.read_json(self.folder / "none.json")

    def test_value_that_json_cannot_hold_leaves_the_old_file(self):
        path = self.folder / "c.json"
        files.write_json(path, 1)
        with self.assertRaises(TypeError):
            files.write_json(path, {"a": object()})
        self.assertEqual(files.read_json(path), 1)
        self.assertEqual(self.names(), ["c.json"])


def names_in(folder):
    return [path.name for path in folder.iterdir()]


class LinksTest(FolderTestCase):
    """Links, pipes and devices in the place of results."""

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
        self.assertEqual(names_in(self.disk), ["a.csv"])

    def test_the_directory_behind_a_link_is_replaced(self):
        (self.disk / "kept").mkdir()
        (self.disk / "kept" / "old").touch()
        link = self.link("disk/kept")
        with files.atomic_directory(link, replace=True) as made:
            (made / "new").touch()
        self.assertTrue(link.is_symlink())
        self.assertEqual(names_in(self.disk / "kept"), ["new"])
        self.assertEqual(names_in(self.disk), ["kept"])
        (self.disk / ".tmp-kept-1").mkdir()
        files.remove_leftovers(self.folder, "link")
        self.assertEqual(names_in(self.disk), ["kept"])

    def test_both_names_of_a_directory_have_one_lock(self):
        (self.disk / "kept").mkdir()
        link = self.link("disk/kept")
        with (
            files.lock_directory(self.disk / "kept", beside=True),
            self.assertRaisesRegex(errors.InputError, "is in use"),
            files.lock_directory(link, beside=True),
        ):
            self.fail("locked twice")

    def test_what_is_no_plain_file_is_refused(self):
        os.mkfifo(self.folder / "pipe")
        self.link("link")
        for name in ("pipe", "link"):
            with self.assertRaisesRegex(
                errors.InputError, "--x: is not a plain file"
            ):
                files.check_file(self.folder / name, where="--x")
        with self.assertRaisesRegex(errors.InputError, "--x: is a folder"):
            files.check_file(self.disk, where="--x")
        files.check_file(self.disk / "free.csv", where="--x")

    def test_a_link_that_leads_nowhere_is_no_directory(self):
        with self.assertRaisesRegex(errors.InputError, "leads nowhere"):
            files.check_folder(self.link("gone/away"), where="--x")


if __name__ == "__main__":
    absltest.main()
