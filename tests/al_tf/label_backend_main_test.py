"""The binary of the backend: a real server, ports, served models."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from unittest import mock

import numpy as np
import pytest
from absl.testing import absltest, parameterized

from al_tf import label_backend_main
from export.client import Client
from tests.support import served, serving_models
from tests.support.labeling import page_data, project_data

ROOT = pathlib.Path(__file__).absolute().parents[2]


def start(project, port, *flags):
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "al_tf.label_backend_main",
            f"--project={project.folder}",
            f"--port={port}",
            *flags,
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def listening(project, *flags):
    """Yields the address of a backend that runs."""
    process = start(project, 0, *flags)
    try:
        line = process.stdout.readline()
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+", line)
        yield url
    finally:
        process.terminate()
        process.communicate()


class BackendMainTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.project = project_data.make_project(self.folder)

    def test_a_real_server(self):
        with (
            listening(self.project) as url,
            urllib.request.urlopen(f"{url}/health") as answer,
        ):
            self.assertEqual(json.load(answer)["status"], "UP")

    def test_a_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            process = start(self.project, taken.getsockname()[1])
            _, error = process.communicate()
        self.assertEqual(process.returncode, 2)
        self.assertIn("in use", error)
        self.assertIn("--port: cannot listen there (the reason", error)

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


@pytest.mark.slow
class ServedModelTest(parameterized.TestCase):
    """The backend asks the development server, over the network."""

    TEXTS = ("one text", "another, longer text", "a third")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.folder = pathlib.Path(folder)
        serving_models.export_t5(cls.folder / "t5")
        cls.server = cls.enterClassContext(
            served.serving(cls.folder / "t5", model_name="t5")
        )
        port = cls.server.rest_api_port
        client = Client(f"127.0.0.1:{port}", "t5", transport="rest")
        cls.answer = client.predict("classify", {"text": list(cls.TEXTS)})

    def project(self, classes):
        folder = pathlib.Path(self.create_tempdir().full_path)
        return page_data.make_texts(folder, classes=classes)

    def predict(self, url, texts):
        tasks = [{"id": 1, "data": {"text": text}} for text in texts]
        request = urllib.request.Request(
            f"{url}/predict",
            json.dumps({"tasks": tasks}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["results"]

    @parameterized.parameters("rest", "grpc")
    def test_suggestions_are_the_served_models(self, transport):
        port = {
            "rest": self.server.rest_api_port,
            "grpc": self.server.port,
        }[transport]
        project = self.project(serving_models.OPTIONS.labels)
        before = self.server.metrics.text()
        with listening(
            project,
            f"--model_server=127.0.0.1:{port}",
            f"--transport={transport}",
        ) as url:
            found = self.predict(url, self.TEXTS)
        self.assertNotEqual(self.server.metrics.text(), before)
        self.assertLen(found, len(self.TEXTS))
        for row, prediction in enumerate(found):
            (result,) = prediction["result"]
            label = self.answer["label"][row].decode()
            self.assertEqual(result["value"]["choices"], [label])
            sure = float(self.answer["probabilities"][row].max())
            self.assertAlmostEqual(result["score"], sure, places=5)
            # No task is of a batch, so the least certain comes first.
            margin = float(self.answer["margin"][row])
            self.assertAlmostEqual(
                prediction["score"], 0.5 + margin / 2, places=5
            )

    def test_a_model_of_other_classes_is_refused(self):
        project = self.project(("bird", "fish"))
        address = f"127.0.0.1:{self.server.rest_api_port}"
        with listening(project, f"--model_server={address}") as url:
            with self.assertRaises(urllib.error.HTTPError) as caught:
                self.predict(url, self.TEXTS)
            error = json.load(caught.exception)["error"]
        self.assertEqual(caught.exception.code, 400)
        self.assertIn("other classes than the project has", error)


if __name__ == "__main__":
    absltest.main()
