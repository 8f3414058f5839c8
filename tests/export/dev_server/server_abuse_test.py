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
import time

import grpc
import pytest
from absl.testing import absltest
from tensorflow_serving.apis import (
    classification_pb2,
)

from tests.support import served


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

    def test_canceled_calls(self):
        request = served.predict_request([b"x" * 100] * 1000)
        calls = [self.stub.Predict.future(request) for _ in range(20)]
        for call in calls:
            call.cancel()
        self.assert_serves()


if __name__ == "__main__":
    absltest.main()
