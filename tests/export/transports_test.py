"""One table of requests over REST and gRPC: the same answers and refusals."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import pathlib
import tempfile
import urllib.error
import urllib.request

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from export.c_api.tensors import proto_array
from export.client import Client
from export.dev_server.options import ServerOptions
from export.dev_server.server import DevServer
from export.dev_server.tensors import typed_proto
from export.request_inputs import checked_inputs, from_json
from export.saved_model.session import SessionModel
from export.transports import RemoteError
from runkit import InputError
from tests.support import serving_models

_SIGNATURES = ("embed", "classify", "generate")


class TransportsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        base = pathlib.Path(folder) / "t5"
        cls.model = SessionModel(
            serving_models.export_t5(base, 1, request_options=True)
        )
        cls.server = DevServer(base, ServerOptions(port=0, rest_api_port=0))
        cls.server.start()
        cls.addClassCleanup(cls.server.stop)
        cls.ports = {
            "grpc": cls.server.port,
            "rest": cls.server.rest_api_port,
        }
        cls.channel = grpc.insecure_channel(f"127.0.0.1:{cls.server.port}")
        cls.addClassCleanup(cls.channel.close)
        cls.stub = prediction_service_pb2_grpc.PredictionServiceStub(
            cls.channel
        )

    def client(self, transport):
        client = Client(
            f"127.0.0.1:{self.ports[transport]}", transport=transport, retries=0
        )
        self.addCleanup(client.close)
        return client

    @parameterized.product(
        transport=("grpc", "rest"),
        signature=_SIGNATURES,
        texts=([], ["one"], ["one", "", "two"]),
    )
    def test_types_and_shapes(self, transport, signature, texts):
        found = self.client(transport).predict(signature, {"text": texts})
        expected = self.model.run(signature, {"text": texts})
        self.assertEqual(
            {k: (v.dtype, v.shape) for k, v in found.items()},
            {k: (v.dtype, v.shape) for k, v in expected.items()},
        )

    @parameterized.product(
        transport=("grpc", "rest"),
        inputs=(
            {"text": "fine"},
            {"text": b"fine"},
            {"text": None},
            {"text": [None]},
            {"text": ["a", None]},
            {"text": ["a", 1]},
            {"text": [["a", 1]]},
            {"text": [[1, 2], [3]]},
            {"text": 3},
            {"text": np.array("fine")},
            {"text": np.array(["a", None], object)},
            {"text": {"a": 1}},
            {"text": ["\ud800"]},
            {"text": [2**70]},
            {"text": np.ma.masked_array([1.0, 2.0], [True, False])},
            {"text": ["a"], "more": ["b", "c"]},
            {},
            None,
            "fine",
        ),
    )
    def test_the_client_refuses(self, transport, inputs):
        with self.assertRaisesRegex(InputError, "^inputs?( text)?: "):
            self.client(transport).predict("embed", inputs)

    @parameterized.parameters(
        (("a", "b"),),
        (["a", b"b"],),
        (np.array(["a", "b"]),),
        (np.array([b"a", "b"], object),),
        (tf.constant(["a", "b"]),),
    )
    def test_forms_of_a_list_of_texts(self, texts):
        expected = self.model.run("embed", {"text": ["a", "b"]})["embedding"]
        for transport in self.ports:
            found = self.client(transport).predict("embed", {"text": texts})
            np.testing.assert_allclose(found["embedding"], expected, atol=1e-5)

    def rest_code(self, body):
        url = f"http://127.0.0.1:{self.ports['rest']}/v1/models/t5:predict"
        try:
            with urllib.request.urlopen(url, json.dumps(body).encode()) as done:
                return done.status
        except urllib.error.HTTPError as error:
            return error.code

    def grpc_code(self, inputs, signature="embed"):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "t5"
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            proto = None if value is None else tf.make_tensor_proto(value)
            request.inputs[name].SetInParent()
            if proto is not None:
                request.inputs[name].CopyFrom(proto)
        try:
            self.stub.Predict(request, timeout=30)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    @parameterized.parameters(
        ({"text": ["a"]}, True),
        ({}, False),
        ({"text": None}, False),
        ({"text": 1}, False),
        ({"text": [1, 2]}, False),
        ({"text": [["a"]]}, False),
        ({"text": "a"}, False),
        ({"txt": ["a"]}, False),
        ({"text": ["a"], "more": ["b"]}, False),
    )
    def test_the_server_answers_alike(self, inputs, accepted):
        body = {"signature_name": "embed", "inputs": inputs}
        self.assertEqual(self.rest_code(body), 200 if accepted else 400)
        self.assertEqual(
            self.grpc_code(inputs), "OK" if accepted else "INVALID_ARGUMENT"
        )

    @parameterized.parameters(
        # What a signature's type holds is sent in it; TensorFlow converts none.
        ([1, 2], [5, 6], "OK"),
        (np.array([1, 2]), np.array([5, 6], np.int32), "OK"),
        ([], [], "OK"),
        ([2**32 + 1, 2], [5, 6], "INVALID_ARGUMENT"),
        ([True, False], [5, 6], "INVALID_ARGUMENT"),
        ([1.5, 2.5], [5, 6], "INVALID_ARGUMENT"),
    )
    def test_numbers_are_sent_in_the_signatures_types(
        self, max_length, seed, expected
    ):
        rows = len(seed)
        inputs = {
            "text": ["a"] * rows,
            "max_length": max_length,
            "seed": seed,
            "temperature": [1] * rows,
            "num_beams": [1] * rows,
        }
        for transport in self.ports:
            client, code = self.client(transport), "OK"
            try:
                found = client.predict("generate_with_options", inputs)
                self.assertLen(found["text"], rows)
            except RemoteError as error:
                code = error.code
            self.assertEqual(code, expected, transport)

    def test_other_types_are_refused_as_by_tensorflow(self):
        numbers = np.array([1], np.int64)
        inputs = {
            "text": ["a"],
            "max_length": numbers,
            "seed": numbers,
            "temperature": numbers.astype(np.float32),
            "num_beams": numbers.astype(np.int32),
        }
        self.assertEqual(
            self.grpc_code(inputs, "generate_with_options"), "INVALID_ARGUMENT"
        )
        inputs["max_length"] = numbers.astype(np.int32)
        self.assertEqual(self.grpc_code(inputs, "generate_with_options"), "OK")

    def test_a_foreign_reader_of_typed_fields(self):
        """Reads the answer's fields alone, as clients without numpy do."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "t5"
        request.model_spec.signature_name = "classify"
        text = request.inputs["text"]
        text.dtype = 7  # DT_STRING
        text.tensor_shape.dim.add(size=3)
        text.string_val.extend([b"one", b"", b"two words"])
        outputs = self.stub.Predict(request, timeout=60).outputs
        for name, expected in self.model.run(
            "classify", {"text": [b"one", b"", b"two words"]}
        ).items():
            field = {
                "label": "string_val",
                "class_id": "int_val",
                "truncated": "bool_val",
            }.get(name, "float_val")
            self.assertEqual(outputs[name].tensor_content, b"", name)
            found = list(getattr(outputs[name], field))
            if field == "float_val":
                np.testing.assert_allclose(found, expected.ravel(), atol=1e-5)
            else:
                self.assertEqual(found, expected.ravel().tolist(), name)


class FormsTest(parameterized.TestCase):
    @parameterized.parameters(
        np.float16,
        np.float32,
        np.float64,
        np.int8,
        np.int16,
        np.int32,
        np.int64,
        np.uint8,
        np.uint16,
        np.uint32,
        np.uint64,
        np.bool_,
        np.complex64,
        np.complex128,
        tf.bfloat16.as_numpy_dtype,
    )
    def test_typed_fields_of_every_type(self, dtype):
        for shape in ((), (0, 3), (1,), (2, 3)):
            value = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
            proto = typed_proto(value)
            self.assertEqual(proto.tensor_content, b"")
            found = tf.make_ndarray(proto)  # TensorFlow's own reader.
            self.assertEqual((found.dtype, found.shape), (dtype, shape))
            np.testing.assert_array_equal(found, value)

    def test_texts(self):
        value = np.array([b"a\0", "\u00e9".encode()], object)
        np.testing.assert_array_equal(
            tf.make_ndarray(typed_proto(value)), value
        )
        info = {"dtype": "DT_STRING"}
        found = from_json(["a\0", "\u00e9"], info)
        np.testing.assert_array_equal(found, value)
        self.assertEqual(from_json([], info).dtype, object)

    def test_both_forms_are_read(self):
        """Servers may pack values, as `tf.make_tensor_proto` does."""
        value = np.arange(6, dtype=np.float32).reshape(2, 3)
        client = Client("localhost:1")
        self.addCleanup(client.close)
        for proto in (tf.make_tensor_proto(value), typed_proto(value)):
            response = predict_pb2.PredictResponse()
            response.outputs["y"].CopyFrom(proto)
            client._transport._stub.Predict = lambda *a, r=response, **k: r
            found = client.predict("embed", {"text": ["a", "b"]})
            np.testing.assert_array_equal(found["y"], value)

    def test_arrays_of_protos_are_tensorflows(self):
        for value in (
            np.array([[1.5, -2.0]], np.float32),
            np.array([3, -4], np.int32),
            np.array([2**40]),
            np.array([True, False]),
            np.array([[b"a\0"], [b""]], object),
            np.zeros([0, 3], np.float32),
            np.float32(7),
        ):
            value = np.asarray(value)
            for proto in (typed_proto(value), tf.make_tensor_proto(value)):
                found = proto_array(proto)
                self.assertEqual(found.dtype, value.dtype)
                np.testing.assert_array_equal(found, tf.make_ndarray(proto))
        # One value may stand for all.
        proto = typed_proto(np.float32([2]))
        proto.tensor_shape.dim[0].size = 3
        np.testing.assert_array_equal(proto_array(proto), [2, 2, 2])

    def test_numbers_stay_what_they_are(self):
        rows = checked_inputs({"x": [[1.0, 2], [3, 4]]})["x"]
        self.assertEqual(rows, [[1.0, 2], [3, 4]])
        array = np.eye(2)
        self.assertIs(checked_inputs({"x": array})["x"], array)


if __name__ == "__main__":
    absltest.main()
