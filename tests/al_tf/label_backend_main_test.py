"""The binary of the backend: a real server, ports, served models."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import urllib.request
from unittest import mock

import numpy as np
from absl.testing import absltest

from al_tf import label_backend_main
from tests.support.labeling import project_data

ROOT = pathlib.Path(__file__).absolute().parents[2]


class BackendMainTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.project = project_data.make_project(self.folder)

    def start(self, port):
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "al_tf.label_backend_main",
                f"--project={self.project.folder}",
                f"--port={port}",
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def test_a_real_server(self):
        process = self.start(0)
        try:
            line = process.stdout.readline()
            (url,) = re.findall(r"http://127\.0\.0\.1:\d+", line)
            with urllib.request.urlopen(f"{url}/health") as answer:
                self.assertEqual(json.load(answer)["status"], "UP")
        finally:
            process.terminate()
            process.communicate()

    def test_a_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            process = self.start(taken.getsockname()[1])
            _, error = process.communicate()
        self.assertEqual(process.returncode, 2)
        self.assertIn("--port: cannot listen there", error)

    def test_a_served_model(self):
        client = mock.Mock()
        client.return_value.predict.return_value = {
            "label": np.array([b"ham", b"spam"], object),
            "probabilities": np.array([[0.75, 0.25], [0.25, 0.75]]),
            "margin": np.array([0.5, 0.5]),
        }
        with mock.patch("export.client.Client", client):
            classify = label_backend_main.served_model("h:1", "t5", "rest")
            found = classify(["x", "y"])
        client.return_value.predict.assert_called_once_with(
            "classify", {"text": ["x", "y"]}
        )
        self.assertEqual(found, [(["ham"], 0.75, 0.5), (["spam"], 0.75, 0.5)])


if __name__ == "__main__":
    absltest.main()
