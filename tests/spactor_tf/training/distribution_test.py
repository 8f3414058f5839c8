"""Replicas: two devices, or two processes, compute what one device does."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.training import distribution

ROOT = pathlib.Path(__file__).resolve().parents[3]


def start(strategy, output, *more, **environment):
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **environment,
    }
    worker = "tests.support.workers.replicas_worker"
    return subprocess.Popen(
        [sys.executable, "-m", worker, strategy, output, *more],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes):
    for process in processes:
        log, _ = process.communicate(timeout=540)
        if process.returncode:
            raise AssertionError(f"worker failed:\n{log[-3000:]}")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class ReplicasTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        path = str(cls.folder / "one.npz")
        finish(start("none", path, "UNEQUAL"))
        cls.one = dict(np.load(path))

    def assert_same(self, path):
        found = dict(np.load(path))
        # Loss and gradient norm of both stages, then every weight.
        np.testing.assert_allclose(
            found["losses"], self.one["losses"], rtol=2e-5
        )
        self.assertEqual(set(found), set(self.one))
        for name, value in self.one.items():
            np.testing.assert_allclose(
                found[name], value, rtol=1e-4, atol=2e-5, err_msg=name
            )

    def test_two_devices_with_unequal_token_counts_equal_one(self):
        path = str(self.folder / "mirrored.npz")
        finish(start("mirrored", path, "UNEQUAL"))
        self.assert_same(path)

    def test_two_processes_on_loopback_equal_one(self):
        workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
        paths = [str(self.folder / f"worker{i}.npz") for i in range(2)]
        processes = [
            start(
                "multi_worker",
                path,
                "UNEQUAL",
                TF_CONFIG=tf_config(workers, "worker", index),
            )
            for index, path in enumerate(paths)
        ]
        finish(*processes)
        for path in paths:
            self.assert_same(path)


def tf_config(workers, kind, index):
    task = {"type": kind, "index": index}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


class MakeStrategyTest(parameterized.TestCase):
    def test_unknown_name(self):
        with self.assertRaisesRegex(InputError, "Did you mean 'mirrored'"):
            distribution.make_strategy("miror")

    @parameterized.parameters(
        "",
        "{}",
        "[1]",
        '{"cluster": {"worker": []}}',
        tf_config(["h:1"], "worker", 1),
        tf_config(["h:1"], "worker", "x"),
        tf_config(["h:1"], "worker", None),
        tf_config(["h:1"], "boss", 0),
        tf_config("h:1", "worker", 0),
    )
    def test_multi_worker_needs_tf_config(self, text):
        old = os.environ.get("TF_CONFIG")
        os.environ["TF_CONFIG"] = text
        try:
            with self.assertRaisesRegex(InputError, "TF_CONFIG"):
                distribution.make_strategy("multi_worker")
        finally:
            os.environ.pop("TF_CONFIG")
            if old is not None:
                os.environ["TF_CONFIG"] = old


if __name__ == "__main__":
    absltest.main()
