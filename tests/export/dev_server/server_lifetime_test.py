"""The development server: start, new versions under load, stop."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent import futures
from unittest import mock

import numpy as np
import pytest
from absl.testing import absltest, parameterized

from export.client import Client
from export.dev_server.options import ServerOptions
from export.dev_server.server import DevServer
from export.servables.servable import Servable
from export.transports import RemoteError
from runkit import InputError
from tests.support import served, serving_models

ROOT = pathlib.Path(__file__).resolve().parents[3]


class ReloadTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.base = pathlib.Path(self.create_tempdir().full_path) / "toy"
        serving_models.write_toy(self.base, 1)

    def state(self, server, version):
        return server.manager.states("toy").get(version, ("",))[0]

    def wait_for(self, server, version, state):
        served.wait_until(
            lambda: (
                server.manager.states("toy").get(version, ("",))[0] == state
            ),
            f"version {version} is {state}",
        )

    @parameterized.parameters(True, False)
    def test_new_version_under_load(self, batching):
        self.swap(batching, newest=3)

    @pytest.mark.slow
    def test_five_swaps_under_twenty_thousand_requests(self):
        self.swap(True, newest=6, requests=20_000)

    def swap(self, batching, newest, requests=0):
        """Serves one version after the other to six clients."""
        stop = threading.Event()
        seen = [[] for _ in range(6)]

        def load(port, answers):
            client = Client(f"127.0.0.1:{port}", "toy", retries=0)
            while not stop.is_set():
                value = client.predict("embed", {"text": ["ab"]})["embedding"]
                answers.append(value[0, 0])
            client.close()

        with (
            served.serving(
                self.base, poll_seconds=0.05, enable_batching=batching
            ) as server,
            futures.ThreadPoolExecutor(6) as pool,
        ):
            work = [pool.submit(load, server.port, own) for own in seen]
            try:
                for version in range(2, newest + 1):
                    serving_models.write_toy(self.base, version, float(version))
                    self.wait_for(server, version, "AVAILABLE")
                    self.wait_for(server, version - 1, "END")
                served.wait_until(
                    lambda: (
                        all(own and own[-1] == 2.0 * newest for own in seen)
                        and sum(map(len, seen)) >= requests
                    ),
                    "every client reaches the newest version",
                    600,
                )
            finally:
                stop.set()
            for future in work:
                future.result()  # No request failed.
        for answers in seen:
            self.assertEqual(answers, sorted(answers))
            self.assertLessEqual(
                set(answers), {2.0 * v for v in range(1, newest + 1)}
            )
            self.assertEqual(answers[-1], 2.0 * newest)

    def test_broken_version_is_reported_and_the_old_one_serves_on(self):
        with served.serving(self.base, poll_seconds=0.05) as server:
            broken = self.base / ".tmp-2"
            shutil.copytree(self.base / "1", broken)
            (broken / "saved_model.pb").write_bytes(b"broken")
            broken.rename(self.base / "2")
            self.wait_for(server, 2, "END")
            self.assertNotEmpty(server.manager.states("toy")[2][1])
            client = Client(f"127.0.0.1:{server.port}", "toy")
            self.assertEqual(client.served_version(), 1)
            client.close()

    def test_failing_warm_up_refuses_the_version(self):
        path = self.base / "1/assets.extra/tf_serving_warmup_requests"
        path.write_bytes(path.read_bytes()[:-3])
        with self.assertRaisesRegex(InputError, "cannot be read"):
            DevServer(self.base, ServerOptions(**served.OPTIONS)).start()

    def test_running_requests_are_answered_at_shutdown(self):
        server = DevServer(
            self.base,
            ServerOptions(**served.OPTIONS, batch_timeout_micros=500_000),
        )
        server.start()
        client = Client(f"127.0.0.1:{server.port}", "toy", retries=0)
        client.predict("embed", {"text": ["a"]})
        arrived = threading.Event()
        predict = Servable.predict

        def noticed(*arguments):
            arrived.set()
            return predict(*arguments)

        with (
            mock.patch.object(Servable, "predict", noticed),
            futures.ThreadPoolExecutor(1) as pool,
        ):
            answer = pool.submit(client.predict, "embed", {"text": ["abc"]})
            self.assertTrue(arrived.wait(60))
            server.stop()  # The request still waits for others to join it.
            np.testing.assert_array_equal(
                answer.result()["embedding"], [[3, 3]]
            )
        with self.assertRaises(RemoteError):
            client.predict("embed", {"text": ["a"]})
        client.close()


class StartTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.base = pathlib.Path(self.create_tempdir().full_path) / "toy"

    def test_no_version(self):
        with self.assertRaisesRegex(InputError, "holds no version"):
            DevServer(self.base, ServerOptions(**served.OPTIONS)).start()

    @parameterized.parameters("port", "rest_api_port")
    def test_port_in_use(self, name):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            options = {**served.OPTIONS, name: taken.getsockname()[1]}
            with self.assertRaisesRegex(InputError, "--" + name):
                DevServer(self.base, ServerOptions(**options)).start()

    def test_host_of_another_machine(self):
        options = {**served.OPTIONS, "host": "999.1.1.1"}
        with self.assertRaisesRegex(InputError, "--host: is not an address of"):
            DevServer(self.base, ServerOptions(**options)).start()

    def test_a_package_that_is_missing(self):
        code = (
            "import sys; sys.modules['aiohttp'] = None\n"
            "from export.dev_server_main import run; run()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, f"--model_base_path={self.base}"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("aiohttp: is not installed", done.stderr)
        self.assertIn("spactor-al[serving]", done.stderr)

    def test_main_serves_and_stops(self):
        serving_models.write_toy(self.base, 1)
        command = [sys.executable, "-m", "export.dev_server_main"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [*command, f"--model_base_path={self.base}", "--port=70000"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 2)
        self.assertIn("not a port", done.stderr)
        server = subprocess.Popen(
            [
                *command,
                f"--model_base_path={self.base}",
                "--model_name=toy",
                "--port=0",
                "--rest_api_port=0",
            ],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        ready = json.loads(server.stdout.readline())
        self.assertIn("not TensorFlow Serving", ready["ready"])
        client = Client(f"127.0.0.1:{ready['port']}", "toy")
        self.assertEqual(client.served_version(), 1)
        client.close()
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(30), 0)
        server.stdout.close()


if __name__ == "__main__":
    absltest.main()
