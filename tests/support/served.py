"""The development server on a toy model, for several tests."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib
import json
import pathlib
import shutil
import tempfile
import threading
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export.dev_server.options import ServerOptions
from export.dev_server.server import DevServer
from tests.support import serving_models

OPTIONS = {"model_name": "toy", "port": 0, "rest_api_port": 0}


@contextlib.contextmanager
def serving(base, **options):
    server = DevServer(base, ServerOptions(**{**OPTIONS, **options}))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def wait_until(condition, what, seconds=60.0):
    """Returns when the condition holds; fails if it never does."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"never happened: {what}")
        pause.wait(0.005)


def predict_request(texts, signature="embed", name="toy"):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    request.inputs["text"].CopyFrom(
        tf.make_tensor_proto(texts, tf.string, [len(texts)])
    )
    return request


class ServerCase(parameterized.TestCase):
    """One toy model, version 1 of factor 1, served for the whole class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.base = pathlib.Path(tempfile.mkdtemp()) / "toy"
        serving_models.write_toy(cls.base, 1)
        cls.server = DevServer(cls.base, ServerOptions(**OPTIONS))
        cls.server.start()
        cls.channel = grpc.insecure_channel(f"127.0.0.1:{cls.server.port}")
        cls.stub = prediction_service_pb2_grpc.PredictionServiceStub(
            cls.channel
        )

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.stop()
        shutil.rmtree(cls.base.parent)
        super().tearDownClass()

    def rest(self, path, body=None):
        """Returns (HTTP code, JSON)."""
        url = f"http://127.0.0.1:{self.server.rest_api_port}{path}"
        data = body if isinstance(body, bytes | None) else json.dumps(body)
        data = data.encode() if isinstance(data, str) else data
        try:
            with urllib.request.urlopen(url, data, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def count(self, status, model="toy"):
        """How many requests ended with a status so far."""
        sample = (
            ":tensorflow:serving:request_count"
            f'{{model_name="{model}",status="{status}"}} '
        )
        for line in self.server.metrics.text().splitlines():
            if line.startswith(sample):
                return float(line.removeprefix(sample))
        return 0.0

    def code(self, method, request):
        with self.assertRaises(grpc.RpcError) as caught:
            method(request, timeout=30)
        return caught.exception.code().name

    def assert_serves(self):
        response = self.stub.Predict(predict_request([b"abc"]), timeout=30)
        value = tf.make_ndarray(response.outputs["embedding"])
        np.testing.assert_array_equal(value, [[3, 3]])
        answer = self.rest("/v1/models/toy:predict", {"instances": ["four"]})
        self.assertEqual(answer, (200, {"predictions": [[4, 4]]}))
