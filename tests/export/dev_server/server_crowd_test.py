"""Many bad clients at once: the good ones are answered, in bounded memory."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import pytest
from absl.testing import absltest

from export.client import Client
from tests.support import serving_models

ROOT = pathlib.Path(__file__).resolve().parents[3]
_PATH = b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: a\r\n"
# What all of it may add to the server's memory. The largest part are two
# bodies of 20,000 rows as Python objects, and what TensorFlow keeps.
_MOST_MIB = 200


def resident_mib(pid):
    """Returns the resident memory of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next(x for x in status.splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.slow
class CrowdTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        base = pathlib.Path(folder) / "toy"
        serving_models.write_toy(base, 1)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "export.dev_server_main"),
                f"--model_base_path={base}",
                "--model_name=toy",
                "--port=0",
                "--rest_api_port=0",
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.process.communicate)
        self.addCleanup(self.process.send_signal, signal.SIGTERM)
        ready = json.loads(self.process.stdout.readline())
        self.address = "127.0.0.1", ready["rest_api_port"]

    def half_open(self, number):
        """Returns a connection that has sent a part of a request."""
        connection = socket.create_connection(self.address, timeout=60)
        self.addCleanup(connection.close)
        body = b'{"instances": [' + b'"x",' * 500
        head = _PATH + b"Content-Length: 60000\r\n\r\n"
        part = (b"", b"PO", _PATH, head, head + body)[number % 5]
        connection.sendall(part)
        return connection

    def malformed(self, number):
        """Sends one of many bad requests; returns the answer's status."""
        bodies = (b"{", b"[]", b'{"instances": 3}', b"\xff" * 50, b'{"a": [[')
        body = bodies[number % 5] * (1 + number % 7)
        size = (len(body), len(body) // 2, -1, "x", 10**15)[number // 5 % 5]
        head = _PATH + f"Content-Length: {size}\r\n".encode()
        with (
            contextlib.suppress(OSError),
            socket.create_connection(self.address, timeout=60) as connection,
        ):
            connection.sendall(head + b"Connection: close\r\n\r\n" + body)
            answer = connection.recv(1 << 16)
            return int(answer.split(b" ")[1]) if answer else 0
        return 0

    def rows(self, count):
        """Sends a request of many rows."""
        client = Client(
            "{}:{}".format(*self.address),
            "toy",
            transport="rest",
            batch_size=count,
            deadline_seconds=300,
        )
        texts = ["some text of usual length"] * count
        found = client.predict("embed", {"text": texts})["embedding"]
        client.close()
        return len(found)

    def test_good_clients_among_bad_ones(self):
        client = Client(
            "{}:{}".format(*self.address), "toy", transport="rest", retries=0
        )
        client.predict("embed", {"text": ["a"]})
        before = resident_mib(self.process.pid)
        self.rows(20_000)
        open_ones = [self.half_open(number) for number in range(400)]
        statuses, stop = set(), threading.Event()

        def bad():
            for number in range(3000):
                statuses.add(self.malformed(number))
            for _ in range(4):
                self.rows(20_000)
            stop.set()

        thread = threading.Thread(target=bad)
        thread.start()
        answered, most = 0, 0.0
        while not stop.wait(0.005):
            value = client.predict("embed", {"text": ["abc"]})["embedding"]
            self.assertEqual(value.tolist(), [[3, 3]])
            answered += 1
            most = max(most, resident_mib(self.process.pid))
        thread.join()
        client.close()
        self.assertLen(open_ones, 400)
        self.assertLessEqual(statuses, {0, 200, 400, 411, 413})
        self.assertIn(400, statuses)
        self.assertGreater(answered, 100)
        self.assertLess(most - before, _MOST_MIB)


if __name__ == "__main__":
    absltest.main()
