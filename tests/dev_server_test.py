"""The development server: answers, reloads, and what cannot break it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib
import json
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from concurrent import futures

import grpc
import numpy as np
import pytest
import serving_models
import tensorflow as tf
from absl.testing import absltest, parameterized
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export.batching import Batcher, QueueFull
from export.client import Client, RemoteError
from export.dev_server import DevServer
from export.server_options import ServerOptions
from runkit import InputError

ROOT = pathlib.Path(__file__).resolve().parents[1]
OPTIONS = {"model_name": "toy", "port": 0, "rest_api_port": 0}


@contextlib.contextmanager
def serving(base, **options):
    server = DevServer(base, ServerOptions(**{**OPTIONS, **options}))
    server.start()
    try:
        yield server
    finally:
        server.stop()


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


class GrpcTest(ServerCase):
    @parameterized.parameters(0, 1, 3, 64, 100)
    def test_predict(self, size):
        texts = [b"x" * i for i in range(size)]
        response = self.stub.Predict(predict_request(texts))
        value = tf.make_ndarray(response.outputs["embedding"])
        self.assertEqual(value.shape, (size, 2))
        np.testing.assert_array_equal(value[:, 0], np.arange(size))
        spec = response.model_spec
        self.assertEqual(
            (spec.name, spec.version.value, spec.signature_name),
            ("toy", 1, "embed"),
        )

    def test_classify(self):
        request = classification_pb2.ClassificationRequest()
        request.model_spec.name = "toy"
        request.model_spec.signature_name = "classify_examples"
        for text in (b"ab", b"abc"):
            example = request.input.example_list.examples.add()
            example.features.feature["text"].bytes_list.value.append(text)
        rows = self.stub.Classify(request).result.classifications
        self.assertEqual(
            [[(c.label, c.score) for c in row.classes] for row in rows],
            [[("short", 2), ("long", 2)], [("short", 3), ("long", 3)]],
        )
        request.model_spec.signature_name = "embed"
        self.assertEqual(
            self.code(self.stub.Classify, request), "INVALID_ARGUMENT"
        )
        request.model_spec.signature_name = "classify_examples"
        request.input.example_list.examples[1].Clear()
        self.assertEqual(
            self.code(self.stub.Classify, request), "INVALID_ARGUMENT"
        )
        request.input.Clear()
        self.assertEqual(
            self.code(self.stub.Classify, request), "INVALID_ARGUMENT"
        )

    def test_metadata_and_status(self):
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        request.model_spec.name = "toy"
        response = self.stub.GetModelMetadata(request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        self.assertEqual(
            set(signatures.signature_def),
            {"embed", "classify_examples", "serving_default"},
        )
        stub = model_service_pb2_grpc.ModelServiceStub(self.channel)
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "toy"
        (status,) = stub.GetModelStatus(request).model_version_status
        state = get_model_status_pb2.ModelVersionStatus.State.Name(status.state)
        self.assertEqual((status.version, state), (1, "AVAILABLE"))
        request.model_spec.name = "other"
        self.assertEqual(self.code(stub.GetModelStatus, request), "NOT_FOUND")

    def test_refusals(self):
        def changed(change):
            request = predict_request([b"a"])
            change(request)
            return self.code(self.stub.Predict, request)

        def spec(field, value):
            return lambda r: setattr(r.model_spec, field, value)

        def shape(size):
            def change(request):
                request.inputs["text"].tensor_shape.dim[0].size = size

            return change

        for change, code in (
            (spec("name", "other"), "NOT_FOUND"),
            (spec("signature_name", "embd"), "INVALID_ARGUMENT"),
            (spec("version_label", "stable"), "INVALID_ARGUMENT"),
            (lambda r: r.model_spec.version.SetInParent(), "NOT_FOUND"),
            (lambda r: r.inputs.clear(), "INVALID_ARGUMENT"),
            (lambda r: r.output_filter.append("no"), "INVALID_ARGUMENT"),
            (shape(2), "INVALID_ARGUMENT"),
            (shape(-1), "INVALID_ARGUMENT"),
            (shape(2**62), "INVALID_ARGUMENT"),
            (lambda r: r.inputs["text"].tensor_shape.dim.add(size=1),
             "INVALID_ARGUMENT"),
            (lambda r: setattr(r.inputs["text"], "dtype", 99),
             "INVALID_ARGUMENT"),
            (lambda r: setattr(r.inputs["text"], "dtype", 1),
             "INVALID_ARGUMENT"),
        ):  # fmt: skip
            self.assertEqual(changed(change), code)
        big = predict_request([b"x" * (17 * 2**20)])
        self.assertEqual(
            self.code(self.stub.Predict, big), "RESOURCE_EXHAUSTED"
        )
        self.assert_serves()


class RestTest(ServerCase):
    def test_every_form(self):
        path = "/v1/models/toy:predict"
        for body, expected in (
            ({"instances": ["ab", ""]}, {"predictions": [[2, 2], [0, 0]]}),
            ({"instances": [{"text": "ab"}]}, {"predictions": [[2, 2]]}),
            ({"instances": [{"b64": "AAEC"}]}, {"predictions": [[3, 3]]}),
            ({"inputs": ["a"]}, {"outputs": [[1, 1]]}),
            ({"inputs": {"text": ["a"]}, "signature_name": "embed"},
             {"outputs": [[1, 1]]}),
        ):  # fmt: skip
            self.assertEqual(self.rest(path, body), (200, expected), body)
        body = {"instances": ["ab"]}
        self.assertEqual(
            self.rest("/v1/models/toy/versions/1:predict", body)[0], 200
        )

    def test_status_metadata_metrics(self):
        code, answer = self.rest("/v1/models/toy")
        self.assertEqual(code, 200)
        self.assertEqual(answer["model_version_status"][0]["version"], "1")
        code, answer = self.rest("/v1/models/toy/metadata")
        self.assertIn("embed", answer["metadata"]["signature_def"]
                      ["signature_def"])  # fmt: skip
        self.rest("/v1/models/toy:predict", {"instances": ["ab"]})
        url = f"http://127.0.0.1:{self.server.rest_api_port}"
        with urllib.request.urlopen(
            url + "/monitoring/prometheus/metrics"
        ) as response:
            text = response.read().decode()
        found = dict(
            line.rsplit(" ", 1) for line in text.splitlines()
            if not line.startswith("#")
        )  # fmt: skip
        count = 'dev_server_requests_total{api="rest",code="OK"}'
        total = 'dev_server_request_seconds_count{api="rest"}'
        last = 'dev_server_request_seconds_bucket{api="rest",le="+Inf"}'
        self.assertGreaterEqual(int(found[count]), 3)
        self.assertEqual(found[total], found[last])

    @parameterized.parameters(
        ("/v1/models/other:predict", {"instances": ["a"]}, 404),
        ("/v1/models/toy/versions/7:predict", {"instances": ["a"]}, 404),
        ("/v1/models/toy/versions/7", None, 404),
        ("/v1/models/toy:regress", {"instances": ["a"]}, 400),
        ("/v1/models/toy", {"instances": ["a"]}, 400),
        ("/v1/models/toy:predict", None, 400),
        ("/nonsense", None, 400),
        ("/v1/models/toy:predict", b"", 400),
        ("/v1/models/toy:predict", b"{", 400),
        ("/v1/models/toy:predict", b"[]", 400),
        ("/v1/models/toy:predict", b"[" * 100_000, 400),
        ("/v1/models/toy:predict",
         b'{"instances":' + b"[" * 900 + b"]" * 900 + b"}", 400),
        ("/v1/models/toy:predict", b"\xff\xfe", 400),
        ("/v1/models/toy:predict", {}, 400),
        ("/v1/models/toy:predict", {"instances": [], "inputs": []}, 400),
        ("/v1/models/toy:predict", {"instances": []}, 400),
        ("/v1/models/toy:predict", {"instances": "a"}, 400),
        ("/v1/models/toy:predict", {"instances": [1]}, 400),
        ("/v1/models/toy:predict", {"instances": [None]}, 400),
        ("/v1/models/toy:predict", {"instances": [["a"]]}, 400),
        ("/v1/models/toy:predict", {"instances": [{"text": 1}]}, 400),
        ("/v1/models/toy:predict", {"instances": [{"text": "a"}, 1]}, 400),
        ("/v1/models/toy:predict", {"instances": [{"b64": "?"}]}, 400),
        ("/v1/models/toy:predict", {"inputs": {"txt": ["a"]}}, 400),
        ("/v1/models/toy:predict", {"inputs": None}, 400),
        ("/v1/models/toy:predict",
         {"instances": ["a"], "signature_name": "x"}, 400),
        ("/v1/models/toy:predict",
         {"instances": ["a"], "signature_name": 3}, 400),
    )  # fmt: skip
    def test_refusals(self, path, body, code):
        found, answer = self.rest(path, body)
        self.assertEqual(found, code, answer)
        self.assertNotEmpty(answer["error"])
        self.assert_serves()

    def test_lone_surrogate_is_text(self):
        path, body = "/v1/models/toy:predict", b'{"instances": ["\\ud800"]}'
        self.assertEqual(self.rest(path, body)[0], 200)


class AbuseTest(ServerCase):
    def raw(self, data: bytes, linger: bool = False) -> None:
        """Sends bytes and goes away, with a reset if `linger`."""
        address = "127.0.0.1", self.server.rest_api_port
        with (
            contextlib.suppress(OSError),
            socket.create_connection(address, timeout=5) as connection,
        ):
            connection.sendall(data)
            if linger:
                option = struct.pack("ii", 1, 0)
                connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, option
                )

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        data = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(data) + 1)
            match rng.randrange(4):
                case 0:
                    data[place : place + 1] = bytes([rng.randrange(256)])
                case 1:
                    data[place:place] = rng.randbytes(rng.randint(1, 9))
                case 2:
                    del data[place : place + rng.randint(1, 9)]
                case 3:
                    data[place:place] = data[: rng.randint(1, 40)]
        return bytes(data)

    def fuzz(self, count: int) -> None:
        rng = random.Random(count)
        service = "/tensorflow.serving.PredictionService/"
        calls = [
            self.channel.unary_unary(service + name)
            for name in ("Predict", "Classify", "GetModelMetadata")
        ]
        example = classification_pb2.ClassificationRequest()
        example.model_spec.name = "toy"
        example.model_spec.signature_name = "classify_examples"
        example.input.example_list.examples.add()
        seeds = [
            predict_request([b"a", b"bcd"]).SerializeToString(),
            example.SerializeToString(),
        ]
        body = b'{"signature_name": "embed", "inputs": {"text": ["a", "b"]}}'
        for number in range(count):
            if rng.random() < 0.6:
                with contextlib.suppress(grpc.RpcError):
                    data = self.mutate(rng.choice(seeds), rng)
                    rng.choice(calls)(data, timeout=20)
            elif rng.random() < 0.7:
                code, _ = self.rest(
                    "/v1/models/toy:predict", self.mutate(body, rng)
                )
                self.assertIn(code, (200, 400, 404))
            else:
                head = b"POST /v1/models/toy:predict HTTP/1.1\r\n"
                size = rng.choice([b"5", b"-1", b"99999999999", b"x", b"\xff"])
                head += b"Content-Length: " + size + b"\r\n\r\n"
                self.raw(self.mutate(head + body, rng), rng.random() < 0.5)
            if number % 100 == 0:
                self.assert_serves()
        self.assert_serves()
        self.assertNotIn('code="INTERNAL"', self.server.metrics.text())

    def test_malformed_requests(self):
        self.fuzz(400)

    @pytest.mark.slow
    def test_ten_thousand_malformed_requests(self):
        self.fuzz(10_000)

    def test_killed_client(self):
        code = (
            "import http.client, sys\n"
            "c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]))\n"
            "body = b'{\"instances\": [' + b'\"abcdef\",' * 50000\n"
            "body += b'\"\"]}'\n"
            "print('go', flush=True)\n"
            "while True:\n"
            "    c.request('POST', '/v1/models/toy:predict', body)\n"
            "    c.getresponse().read()\n"
        )
        for delay in (0.02, 0.1, 0.3):
            client = subprocess.Popen(
                [sys.executable, "-c", code, str(self.server.rest_api_port)],
                stdout=subprocess.PIPE,
            )
            client.stdout.readline()
            time.sleep(delay)
            client.send_signal(signal.SIGKILL)
            client.wait()
            client.stdout.close()
            self.assert_serves()

    def test_cancelled_calls(self):
        request = predict_request([b"x" * 100] * 1000)
        calls = [self.stub.Predict.future(request) for _ in range(20)]
        for call in calls:
            call.cancel()
        self.assert_serves()


class ReloadTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.base = pathlib.Path(self.create_tempdir().full_path) / "toy"
        serving_models.write_toy(self.base, 1)

    def wait_for(self, server, version, state):
        end = time.monotonic() + 60
        while server.store.states().get(version, ("",))[0] != state:
            self.assertLess(time.monotonic(), end, server.store.states())
            time.sleep(0.02)

    @parameterized.parameters(True, False)
    def test_new_version_under_load(self, batching):
        stop = threading.Event()

        def load(port):
            client = Client(f"127.0.0.1:{port}", "toy", retries=0)
            seen = []
            while not stop.is_set():
                value = client.predict("embed", {"text": ["ab"]})["embedding"]
                seen.append(value[0, 0])
            client.close()
            return seen

        with (
            serving(
                self.base, poll_seconds=0.05, enable_batching=batching
            ) as server,
            futures.ThreadPoolExecutor(6) as pool,
        ):
            work = [pool.submit(load, server.port) for _ in range(6)]
            for version in (2, 3):
                serving_models.write_toy(self.base, version, float(version))
                self.wait_for(server, version, "AVAILABLE")
                self.wait_for(server, version - 1, "END")
            time.sleep(0.2)
            stop.set()
            seen = [future.result() for future in work]  # No request failed.
        for answers in seen:
            self.assertEqual(answers, sorted(answers))
            self.assertEqual({2.0, 4.0, 6.0} | set(answers), {2.0, 4.0, 6.0})
            self.assertEqual(answers[-1], 6.0)

    def test_broken_version_is_reported_and_the_old_one_serves_on(self):
        with serving(self.base, poll_seconds=0.05) as server:
            broken = self.base / ".tmp-2"
            shutil.copytree(self.base / "1", broken)
            (broken / "saved_model.pb").write_bytes(b"broken")
            broken.rename(self.base / "2")
            self.wait_for(server, 2, "END")
            self.assertNotEmpty(server.store.states()[2][1])
            client = Client(f"127.0.0.1:{server.port}", "toy")
            self.assertEqual(client.served_version(), 1)
            client.close()

    def test_failing_warm_up_refuses_the_version(self):
        path = self.base / "1/assets.extra/tf_serving_warmup_requests"
        path.write_bytes(path.read_bytes()[:-3])
        with self.assertRaisesRegex(InputError, "cannot be read"):
            DevServer(self.base, ServerOptions(**OPTIONS)).start()

    def test_running_requests_are_answered_at_shutdown(self):
        server = DevServer(
            self.base, ServerOptions(**OPTIONS, batch_timeout_micros=500_000)
        )
        server.start()
        client = Client(f"127.0.0.1:{server.port}", "toy", retries=0)
        client.predict("embed", {"text": ["a"]})
        with futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(client.predict, "embed", {"text": ["abc"]})
            time.sleep(0.2)  # It waits in the queue for others.
            server.stop()
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
            DevServer(self.base, ServerOptions(**OPTIONS)).start()

    @parameterized.parameters("port", "rest_api_port")
    def test_port_in_use(self, name):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            options = {**OPTIONS, name: taken.getsockname()[1]}
            with self.assertRaisesRegex(InputError, "--" + name):
                DevServer(self.base, ServerOptions(**options)).start()

    def test_main_serves_and_stops(self):
        serving_models.write_toy(self.base, 1)
        command = [sys.executable, "-m", "export.dev_server_main"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [*command, f"--model_base_path={self.base}", "--port=70000"],
            cwd=ROOT, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 2)
        self.assertIn("not a port", done.stderr)
        server = subprocess.Popen(
            [*command, f"--model_base_path={self.base}", "--model_name=toy",
             "--port=0", "--rest_api_port=0"],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        ready = json.loads(server.stdout.readline())
        self.assertIn("not TensorFlow Serving", ready["ready"])
        client = Client(f"127.0.0.1:{ready['port']}", "toy")
        self.assertEqual(client.served_version(), 1)
        client.close()
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(30), 0)
        server.stdout.close()


class BatcherTest(absltest.TestCase):
    def test_joins_what_waits(self):
        sizes, go = [], threading.Event()

        def run(inputs):
            go.wait(10)
            sizes.append(len(inputs["x"]))
            return {"y": inputs["x"] * 2}

        batcher = Batcher(run, max_batch_size=4, timeout_seconds=0.0)
        answers = [batcher.submit({"x": np.array([i])}) for i in range(9)]
        wide = batcher.submit({"x": np.arange(7)})
        go.set()
        self.assertEqual([int(a.result(10)["y"][0]) for a in answers],
                         [2 * i for i in range(9)])  # fmt: skip
        self.assertEqual(wide.result(10)["y"].tolist(),
                         [0, 2, 4, 6, 8, 10, 12])  # fmt: skip
        batcher.close()
        self.assertEqual(sum(sizes), 16)
        self.assertLess(len(sizes), 10)
        self.assertLessEqual(max(sizes[:-1]), 4)

    def test_bad_request_does_not_fail_its_neighbours(self):
        def run(inputs):
            if (inputs["x"] < 0).any():
                raise ValueError("negative")
            return {"y": inputs["x"]}

        batcher = Batcher(run, timeout_seconds=0.2)
        answers = [
            batcher.submit({"x": np.array([value])}) for value in (1, -1, 2)
        ]
        self.assertEqual(answers[0].result(10)["y"].tolist(), [1])
        self.assertEqual(answers[2].result(10)["y"].tolist(), [2])
        with self.assertRaisesRegex(ValueError, "negative"):
            answers[1].result(10)
        batcher.close()

    def test_full_queue_and_cancelled_requests(self):
        go, seen = threading.Event(), []

        def run(inputs):
            go.wait(10)
            seen.extend(inputs["x"].tolist())
            return inputs

        batcher = Batcher(run, 1, 0.0, max_waiting=2)
        first = batcher.submit({"x": np.array([0])})
        while not first.running():
            time.sleep(0.001)
        waiting = [batcher.submit({"x": np.array([i])}) for i in (1, 2)]
        with self.assertRaises(QueueFull):
            batcher.submit({"x": np.array([3])})
        self.assertTrue(waiting[0].cancel())
        go.set()
        batcher.close()
        self.assertEqual(seen, [0, 2])


if __name__ == "__main__":
    absltest.main()
