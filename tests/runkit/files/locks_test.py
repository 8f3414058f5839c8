"""Locks on directories, between processes."""

import os
import pathlib
import socket
import subprocess
import sys
import textwrap
from unittest import mock

from absl.testing import absltest

from runkit import InputError
from runkit.files import atomic_directory, lock_directory
from tests.support.isolated import ROOT, FolderTestCase

_HOLDER = """
    import sys
    from runkit.files import lock_directory
    with lock_directory(sys.argv[1], beside=len(sys.argv) > 2):
        print("held", flush=True)
        sys.stdin.readline()
"""


# Asks for the lock at each line that it reads, and keeps it until the next.
_RACER = """
    import contextlib, sys
    from runkit import InputError
    from runkit.files import lock_directory
    for line in sys.stdin:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock_directory(sys.argv[1]))
                print("held", flush=True)
            except InputError as error:
                print(error, flush=True)
            sys.stdin.readline()
        print("free", flush=True)
"""


class RaceTest(FolderTestCase):
    def test_of_three_processes_one_gets_the_lock_each_time(self):
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(_RACER), "run"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            for _ in range(3)
        ]
        for racer in racers:
            self.addCleanup(racer.communicate)
            self.addCleanup(racer.kill)
        for _ in range(50):
            self.told(racers)
            said = [racer.stdout.readline() for racer in racers]
            self.assertEqual(said.count("held\n"), 1, said)
            refused = [line for line in said if line != "held\n"]
            for line in refused:
                self.assertIn("is in use by", line)
            self.told(racers)
            for racer in racers:
                self.assertEqual(racer.stdout.readline(), "free\n")

    @staticmethod
    def told(racers):
        for racer in racers:
            racer.stdin.write("\n")
            racer.stdin.flush()


class LockTest(FolderTestCase):
    def setUp(self):
        super().setUp()
        self.run_dir = self.folder / "run"

    def holder(self, *options):
        """Starts a process that holds the lock until it reads a line."""
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                textwrap.dedent(_HOLDER),
                str(self.run_dir),
                *options,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "held\n")
        return process

    def lock(self, **options):
        with lock_directory(self.run_dir, **options):
            return True

    def test_the_refusal_says_who_holds_it(self):
        process = self.holder()
        with self.assertRaises(InputError) as caught:
            self.lock(where="--output_dir")
        message = str(caught.exception)
        self.assertIn("--output_dir: is in use by process", message)
        self.assertIn(f"process {process.pid} on", message)
        self.assertIn(socket.gethostname(), message)
        self.assertRegex(message, r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
        self.assertIn(f"({sys.executable} -c", message)

    def test_released_at_the_end_and_by_a_kill(self):
        process = self.holder()
        process.communicate("\n")
        self.assertTrue(self.lock())
        process = self.holder()
        process.kill()
        process.wait()
        self.assertTrue(self.lock())

    def test_released_by_an_error(self):
        with self.assertRaises(ZeroDivisionError), lock_directory(self.run_dir):
            raise ZeroDivisionError
        self.assertTrue(self.lock())

    def test_waiting_takes_it_over(self):
        process = self.holder()
        with self.assertRaisesRegex(InputError, str(process.pid)):
            self.lock()
        # The holder ends while this process waits in `flock`.
        release = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import os, sys, time; time.sleep(0.2); "
                "os.kill(int(sys.argv[1]), 9)",
                str(process.pid),
            ]
        )
        self.assertTrue(self.lock(wait=True))
        release.wait()

    def test_the_same_process_is_kept_out_too(self):
        with lock_directory(self.run_dir):
            message = f"is in use by process {os.getpid()} on"
            with self.assertRaisesRegex(InputError, message):
                self.lock()
        self.assertTrue(self.lock())

    def test_beside_a_directory_that_appears_whole(self):
        self.holder("beside")
        self.assertFalse(self.run_dir.exists())
        with self.assertRaisesRegex(InputError, "is in use by process"):
            self.lock(beside=True)
        self.assertFalse(self.run_dir.exists())

    def test_a_replaced_directory_can_be_locked(self):
        with lock_directory(self.run_dir, beside=True):
            with atomic_directory(self.run_dir) as made:
                (made / "x").touch()
            with atomic_directory(self.run_dir, replace=True) as made:
                (made / "y").touch()
        self.assertTrue(self.lock(beside=True))
        self.assertEqual([p.name for p in self.run_dir.iterdir()], ["y"])

    def test_a_holder_that_has_not_written_its_name(self):
        self.holder()
        (self.run_dir / ".lock").write_text("")
        with self.assertRaisesRegex(InputError, "in use by another process"):
            self.lock()

    def test_a_file_system_without_locks_is_used_without(self):
        error = OSError(37, "No locks available")
        with (
            mock.patch("fcntl.flock", side_effect=error),
            self.assertLogs(level="WARNING") as logs,
        ):
            self.assertTrue(self.lock())
        self.assertIn("no lock (No locks available)", logs.output[0])

    def test_another_error_is_told(self):
        with (
            mock.patch("fcntl.flock", side_effect=OSError(5, "I/O error")),
            self.assertRaisesRegex(OSError, "I/O error"),
        ):
            self.lock()

    def test_the_current_directory(self):
        before = pathlib.Path.cwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.folder)
        with lock_directory("here"):
            self.assertTrue((self.folder / "here").is_dir())


if __name__ == "__main__":
    absltest.main()
