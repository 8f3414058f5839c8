"""The development server: what cannot break it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib
import random
import signal
import socket
import struct
import subprocess
import sys

import grpc
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import absltest, parameterized
from tensorflow_serving.apis import classification_pb2

from tests.support import served

# Sends a part of a request, then waits to be killed.
_CLIENT = """
import socket, sys
port, part = int(sys.argv[1]), float(sys.argv[2])
body = b'{"instances": [' + b'"abcdef",' * 50000 + b'""]}'
head = b"POST /v1/models/toy:predict HTTP/1.1\\r\\n"
head += b"Content-Length: %d\\r\\n\\r\\n" % len(body)
request = head + body
with socket.create_connection(("127.0.0.1", port)) as connection:
    connection.sendall(request[: int(part * len(request))])
    print("sent", flush=True)
    sys.stdin.read()
"""


class AbuseTest(served.ServerCase):
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
            served.predict_request([b"a", b"bcd"]).SerializeToString(),
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
        self.assertNotIn('"INTERNAL"', self.server.metrics.text())

    def test_malformed_requests(self):
        self.fuzz(400)

    @pytest.mark.slow
    def test_ten_thousand_malformed_requests(self):
        self.fuzz(10_000)

    def test_canceled_calls(self):
        request = served.predict_request([b"x" * 100] * 1000)
        calls = [self.stub.Predict.future(request) for _ in range(20)]
        canceled = [call for call in calls if call.cancel()]
        self.assertNotEmpty(canceled)
        for call in canceled:
            self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)
        # None of them takes part in the answer to another request.
        response = self.stub.Predict(
            served.predict_request([b"ab", b"c"]), timeout=30
        )
        value = tf.make_ndarray(response.outputs["embedding"])
        np.testing.assert_array_equal(value, [[2, 2], [1, 1]])
        self.assert_serves()


class KilledClientTest(served.ServerCase):
    @parameterized.parameters((0.0, 0), (0.5, 0), (1.0, 1))
    def test_server_outlives_a_killed_client(self, part, more):
        """A request that is cut off is not counted, and none is an error."""
        codes = ("INVALID_ARGUMENT", "OK", "INTERNAL")
        before = {c: self.count(c) for c in codes}
        client = subprocess.Popen(
            [
                *(sys.executable, "-c", _CLIENT),
                *(str(self.server.rest_api_port), str(part)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.assertEqual(client.stdout.readline(), b"sent\n")
        client.send_signal(signal.SIGKILL)
        client.wait()
        client.stdin.close()
        client.stdout.close()
        self.assert_serves()  # Two requests.
        # Whole or not, the client may be gone before its request is read.
        self.assertLessEqual(self.count("OK") - before["OK"] - 2, more)
        for code in ("INVALID_ARGUMENT", "INTERNAL"):
            self.assertEqual(self.count(code), before[code], code)


if __name__ == "__main__":
    absltest.main()
