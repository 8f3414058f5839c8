"""Object storage in a process of its own, and runs that write to it."""

import contextlib
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
import unittest

from tests.support.storage import s3_server

ROOT = pathlib.Path(__file__).resolve().parents[3]
needs_driver = unittest.skipUnless(
    importlib.util.find_spec("s3fs"), "needs s3fs: `pip install s3fs`"
)


class Emulator:
    """`s3://bucket`, kept in a folder over starts and kills.

    Attributes:
        folder: of the server.
        environment: of processes that are to reach it, or None to leave out.

    Args:
        folder: is made.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "bucket").mkdir(parents=True)
        self._server = None
        self.environment = {
            "AWS_ACCESS_KEY_ID": s3_server.KEY,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self, *moment):
        """Starts the server; see `s3_server` for the moment of a fault."""
        arguments = [str(self.folder), *map(str, moment)]
        self._server = subprocess.Popen(
            [sys.executable, s3_server.__file__, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        port = int(self._server.stdout.readline())
        self.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"

    def wait(self):
        """Returns once the moment has come; "" if the server ends first."""
        return self._server.stdout.readline().strip()

    def kill(self):
        """Ends the server, which may have ended already."""
        server, self._server = self._server, None
        if server is not None:
            with contextlib.suppress(ProcessLookupError):
                server.send_signal(signal.SIGKILL)
            server.communicate()

    def popen(self, command, **environment):
        """Starts a program that reaches the server.

        Args:
            command: of the program.
            **environment: more of it; None leaves a variable out.
        """
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        values = {**os.environ, "PYTHONPATH": path}
        values |= {**self.environment, **environment}
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={k: v for k, v in values.items() if v is not None},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command, **environment):
        """Returns (exit code, standard error) of a program."""
        process = self.popen(command, **environment)
        _, log = process.communicate(timeout=900)
        return process.returncode, log

    def objects(self):
        """Returns {name: bytes} of the bucket."""
        return {
            path.name.replace("%2F", "/"): path.read_bytes()
            for path in (self.folder / "bucket").iterdir()
        }
