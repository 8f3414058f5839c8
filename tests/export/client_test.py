"""The client."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import socket
import tempfile
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from export.client import Client
from export.dev_server.options import ServerOptions
from export.dev_server.server import DevServer
from export.saved_model.session import SessionModel
from export.scoring import scorer
from export.transports import RemoteError, RestTransport
from runkit import InputError
from tests.support import serving_models


class TransportTest(parameterized.TestCase):
    """Both transports against one server of the T5."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        base = pathlib.Path(tempfile.mkdtemp()) / "t5"
        cls.path = serving_models.export_t5(base, 4)
        options = ServerOptions(port=0, rest_api_port=0)
        cls.server = DevServer(base, options)
        cls.server.start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    def client(self, transport, **options):
        port = (
            self.server.port
            if transport == "grpc"
            else self.server.rest_api_port
        )
        client = Client(f"127.0.0.1:{port}", transport=transport, **options)
        self.addCleanup(client.close)
        return client

    @parameterized.product(
        transport=["grpc", "rest"],
        signature=["embed", "classify", "generate"],
    )
    def test_equals_the_model(self, transport, signature):
        texts = ["some text", b"", "\u05e9\U0001f600", b"\xff\xfe", "more"]
        client = self.client(transport, batch_size=2)
        found = client.predict(signature, {"text": texts})
        expected = SessionModel(self.path).run(signature, {"text": texts})
        self.assertEqual(set(found), set(expected))
        for name, value in expected.items():
            if value.dtype == np.float32:
                np.testing.assert_allclose(
                    found[name], value, rtol=1e-4, atol=1e-5
                )
            else:
                np.testing.assert_array_equal(found[name], value)

    @parameterized.parameters("grpc", "rest")
    def test_empty_batch_version_and_refusal(self, transport):
        client = self.client(transport)
        self.assertEqual(client.served_version(), 4)
        found = client.predict("embed", {"text": []})
        self.assertLen(found["embedding"], 0)
        with self.assertRaisesRegex(RemoteError, "Did you mean 'embed'"):
            client.predict("embd", {"text": ["a"]})
        with self.assertRaises(RemoteError) as caught:
            self.client(transport, version=9).predict("embed", {"text": ["a"]})
        self.assertEqual(caught.exception.code, "NOT_FOUND")

    @parameterized.parameters("grpc", "rest")
    def test_remote_scores_equal_local_ones(self, transport):
        texts = [f"text {'word ' * (i % 7)} {i}" for i in range(25)]
        folder = pathlib.Path(self.create_tempdir().full_path)
        local = scorer.score_pool(
            SessionModel(self.path).run,
            texts,
            folder / "local",
            model="m",
            shard_size=10,
            batch_size=4,
        )
        remote = scorer.score_pool(
            self.client(transport).predict,
            texts,
            folder / "remote",
            model="m",
            shard_size=7,
        )
        np.testing.assert_array_equal(local.example_ids, np.arange(25))
        self.assertEqual(local.embeddings.shape, (25, 32))
        for name in ("embeddings", "margins"):
            np.testing.assert_allclose(
                getattr(remote, name), getattr(local, name), atol=1e-5
            )
        one = SessionModel(self.path).run("classify", {"text": [texts[9]]})
        np.testing.assert_allclose(
            local.margins[9], one["margin"][0], atol=1e-5
        )


class RetryTest(parameterized.TestCase):
    def client(self, outcomes, **options):
        """Returns (client, its transport, the pauses that it makes)."""
        transport, pauses = mock.Mock(), []
        transport.call.side_effect = outcomes
        client = Client(
            "localhost:1",
            transport=transport,
            retries=3,
            first_pause_seconds=1.0,
            sleep=pauses.append,
            **options,
        )
        return client, transport, pauses

    def test_passing_trouble(self):
        busy = RemoteError("UNAVAILABLE", "busy")
        client, _, pauses = self.client([busy, busy, {"y": np.ones(1)}])
        answer = client.predict("embed", {"text": ["a"]})
        np.testing.assert_array_equal(answer["y"], [1])
        self.assertLen(pauses, 2)
        self.assertBetween(pauses[0], 0.5, 1.0)
        self.assertBetween(pauses[1], 1.0, 2.0)

    @parameterized.parameters(
        ("UNAVAILABLE", 4),
        ("RESOURCE_EXHAUSTED", 4),
        ("INVALID_ARGUMENT", 1),
        ("NOT_FOUND", 1),
        ("DEADLINE_EXCEEDED", 1),
    )
    def test_lasting_trouble(self, code, calls):
        client, transport, _ = self.client(
            RemoteError(code, "no") for _ in range(9)
        )
        with self.assertRaisesRegex(RemoteError, code):
            client.predict("embed", {"text": ["a"]})
        self.assertEqual(transport.call.call_count, calls)

    def test_deadline(self):
        busy = RemoteError("UNAVAILABLE", "busy")
        client, _, pauses = self.client([busy], deadline_seconds=0.0)
        with self.assertRaisesRegex(RemoteError, "out of time"):
            client.predict("embed", {"text": ["a"]})
        self.assertEmpty(pauses)

    @parameterized.parameters("grpc", "rest")
    def test_nobody_listens(self, transport):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        client = Client(
            address, transport=transport, retries=1, sleep=lambda s: None
        )
        with self.assertRaisesRegex(RemoteError, "UNAVAILABLE"):
            client.predict("embed", {"text": ["a"]})

    @parameterized.parameters(
        {"batch_size": 0},
        {"retries": -1},
        {"deadline_seconds": float("inf")},
        {"deadline_seconds": float("nan")},
    )
    def test_bad_options(self, **options):
        with self.assertRaisesRegex(InputError, next(iter(options))):
            Client("localhost:1", **options)

    @parameterized.parameters(
        "localhost", "http://localhost:80", ":80", "h:x", "h:99999", "h:８０"
    )
    def test_bad_address(self, address):
        with self.assertRaisesRegex(InputError, "not an address"):
            Client(address)


class GrpcTypesTest(absltest.TestCase):
    def test_a_newer_version_with_other_types(self):
        """A server whose input is int64, then int32, then refuses all."""
        client = Client("localhost:1")
        self.addCleanup(client.close)
        transport, wanted, sent = client._transport, [tf.int64], []

        def metadata(request, timeout):
            found = get_model_metadata_pb2.SignatureDefMap()
            info = found.signature_def["embed"].inputs["x"]
            info.dtype = wanted[0].as_datatype_enum
            answer = get_model_metadata_pb2.GetModelMetadataResponse()
            answer.metadata["signature_def"].Pack(found)
            return answer

        def predict(method, request, timeout):
            if method is metadata:
                return metadata(request, timeout)
            sent.append(tf.as_dtype(request.inputs["x"].dtype))
            if sent[-1] != wanted[-1]:
                raise RemoteError("INVALID_ARGUMENT", "another type")
            return predict_pb2.PredictResponse()

        transport._stub.GetModelMetadata = metadata
        self.enterContext(mock.patch.object(transport, "_ask", predict))
        client.predict("embed", {"x": [1]})
        wanted[:] = [tf.int32]
        client.predict("embed", {"x": [1]})
        self.assertEqual(sent, [tf.int64, tf.int64, tf.int32])
        wanted[:] = [tf.int32, None]
        with self.assertRaisesRegex(RemoteError, "another type"):
            client.predict("embed", {"x": [1]})
        self.assertLen(sent, 4)


class RestAnswersTest(parameterized.TestCase):
    """Answers of a server that the client does not know beforehand."""

    def client(self, answers):
        """Returns a client whose server gives the (path, answer) in order."""
        found = []

        def ask(transport, method, path, body, timeout):
            del transport, method, body, timeout
            found.append(path.rpartition(":")[2].rpartition("/")[2])
            return answers.pop(0)

        self.enterContext(mock.patch.object(RestTransport, "_ask", ask))
        return Client("localhost:1", transport="rest"), found

    def metadata(self, *names):
        outputs = {
            name: {"dtype": "DT_FLOAT", "tensor_shape": {}} for name in names
        }
        found = {"embed": {"outputs": outputs}}
        return {"metadata": {"signature_def": {"signature_def": found}}}

    def test_a_newer_version_with_other_outputs(self):
        client, asked = self.client(
            [
                {"outputs": [1.0]},
                self.metadata("y"),
                {"outputs": [2.0]},
                {"outputs": {"y": [3.0], "z": [4.0]}},
                self.metadata("y", "z"),
                {"outputs": [5.0]},
                self.metadata("z"),
            ]
        )
        answers = [client.predict("embed", {"text": ["a"]}) for _ in range(4)]
        self.assertEqual(
            [{k: v.tolist() for k, v in answer.items()} for answer in answers],
            [{"y": [1]}, {"y": [2]}, {"y": [3], "z": [4]}, {"z": [5]}],
        )
        self.assertEqual(asked.count("metadata"), 3)

    @parameterized.parameters(
        {},
        {"outputs": {"other": [1.0]}},
        {"outputs": {"y": [[1.0], [1.0, 2.0]]}},
        {"outputs": {"y": ["one"]}},
        {"outputs": {"y": [{"b64": "eA=="}]}},
    )
    def test_a_malformed_answer(self, **answer):
        client, _ = self.client([answer, self.metadata("y")])
        with self.assertRaisesRegex(RemoteError, "INTERNAL.*does not fit"):
            client.predict("embed", {"text": ["a"]})

    def test_malformed_metadata(self):
        client, _ = self.client([{"outputs": [1.0]}, {"metadata": {}}])
        with self.assertRaisesRegex(RemoteError, "INTERNAL.*does not fit"):
            client.predict("embed", {"text": ["a"]})


if __name__ == "__main__":
    absltest.main()
