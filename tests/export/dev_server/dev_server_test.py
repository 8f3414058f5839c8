"""The development server: what it answers, over gRPC and REST."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import re
import urllib.error
import urllib.request

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
)

from tests.support import served


class GrpcTest(served.ServerCase):
    @parameterized.parameters(0, 1, 3, 64, 100)
    def test_predict(self, size):
        texts = [b"x" * i for i in range(size)]
        response = self.stub.Predict(served.predict_request(texts))
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
        request.metadata_field.append("signature_def")
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
            request = served.predict_request([b"a"])
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
            (spec("signature_name", "embd"), "FAILED_PRECONDITION"),
            (spec("version_label", "stable"), "INVALID_ARGUMENT"),
            (lambda r: r.model_spec.version.SetInParent(), "NOT_FOUND"),
            (lambda r: r.inputs.clear(), "INVALID_ARGUMENT"),
            (lambda r: r.output_filter.append("no"), "INVALID_ARGUMENT"),
            (shape(2), "INVALID_ARGUMENT"),
            (shape(-1), "INVALID_ARGUMENT"),
            (shape(2**62), "INVALID_ARGUMENT"),
            (
                lambda r: r.inputs["text"].tensor_shape.dim.add(size=1),
                "INVALID_ARGUMENT",
            ),
            (
                lambda r: setattr(r.inputs["text"], "dtype", 99),
                "INVALID_ARGUMENT",
            ),
            (
                lambda r: setattr(r.inputs["text"], "dtype", 1),
                "INVALID_ARGUMENT",
            ),
        ):
            self.assertEqual(changed(change), code)
        big = served.predict_request([b"x" * (17 * 2**20)])
        self.assertEqual(
            self.code(self.stub.Predict, big), "RESOURCE_EXHAUSTED"
        )
        self.assert_serves()


class RestTest(served.ServerCase):
    def test_every_form(self):
        path = "/v1/models/toy:predict"
        for body, expected in (
            ({"instances": ["ab", ""]}, {"predictions": [[2, 2], [0, 0]]}),
            ({"instances": [{"text": "ab"}]}, {"predictions": [[2, 2]]}),
            ({"instances": [{"b64": "AAEC"}]}, {"predictions": [[3, 3]]}),
            ({"inputs": ["a"]}, {"outputs": [[1, 1]]}),
            (
                {"inputs": {"text": ["a"]}, "signature_name": "embed"},
                {"outputs": [[1, 1]]},
            ),
        ):
            self.assertEqual(self.rest(path, body), (200, expected), body)
        body = {"instances": ["ab"]}
        self.assertEqual(
            self.rest("/v1/models/toy/versions/1:predict", body)[0], 200
        )

    def test_status_and_metadata(self):
        code, answer = self.rest("/v1/models/toy")
        self.assertEqual(code, 200)
        self.assertEqual(answer["model_version_status"][0]["version"], "1")
        code, answer = self.rest("/v1/models/toy/metadata")
        self.assertIn(
            "embed", answer["metadata"]["signature_def"]["signature_def"]
        )

    def metrics(self):
        """Returns (content type, {sample: value}) of the metrics page."""
        url = f"http://127.0.0.1:{self.server.rest_api_port}"
        with urllib.request.urlopen(
            url + "/monitoring/prometheus/metrics"
        ) as response:
            kind = response.headers["Content-Type"]
            lines = response.read().decode().splitlines()
        samples = [x.rsplit(" ", 1) for x in lines if not x.startswith("#")]
        return kind, {name: float(value) for name, value in samples}

    def test_metrics(self):
        predict = "/v1/models/toy:predict"
        self.rest(predict, {"instances": ["ab"]})
        _, before = self.metrics()
        self.rest(predict, {"instances": ["ab", "c"]})
        self.rest(predict, {"instances": []})
        self.rest("/v1/models/invented:predict", {"instances": ["a"]})
        kind, found = self.metrics()
        self.assertStartsWith(kind, "text/plain; version=")
        api, model = 'API="predict",entrypoint="REST"', 'model_name="toy"'
        for sample, more in (
            ('request_count{model_name="toy",status="OK"}', 1),
            ('request_count{model_name="toy",status="INVALID_ARGUMENT"}', 1),
            # Clients cannot invent names without end.
            ('request_count{model_name="",status="NOT_FOUND"}', 1),
            (f"request_latency_count{{{api},{model}}}", 1),
            (f'request_latency_bucket{{{api},le="+Inf",{model}}}', 1),
            (
                'runtime_latency_count{API="Predict",model_name="toy",'
                'runtime="TF1"}',
                1,
            ),
            ("batching_session:wrapped_run_count", 1),
            ("batching_session:processed_batch_size_sum", 2),
        ):
            name = f":tensorflow:serving:{sample}"
            self.assertEqual(
                found.get(name, 0) - before.get(name, 0), more, name
            )
        # Dashboards read these names; nothing else is on the page.
        names = {name.partition("{")[0].split(":")[-1] for name in found}
        histograms = (
            "request_latency",
            "runtime_latency",
            "request_example_counts",
            "processed_batch_size",
        )
        parts = ("bucket", "sum", "count")
        self.assertLessEqual(
            names,
            {
                *(f"{name}_{part}" for name in histograms for part in parts),
                "request_count",
                "request_example_count_total",
                "wrapped_run_count",
            },
        )
        bounds = re.findall(
            r'request_latency_bucket{API="predict",entrypoint="REST",'
            r'le="([^"]+)"',
            "\n".join(found),
        )
        self.assertEqual(bounds[:2], ["10.0", "18.0"])

    @parameterized.parameters(
        ("/v1/models/other:predict", {"instances": ["a"]}, 404),
        ("/v1/models/toy/versions/7:predict", {"instances": ["a"]}, 404),
        ("/v1/models/toy/versions/7", None, 404),
        ("/v1/models/toy:regress", {"instances": ["a"]}, 400),
        ("/v1/models/toy", {"instances": ["a"]}, 400),
        ("/v1/models/toy:predict", None, 400),
        ("/nonsense", None, 404),
        ("/v1/models/toy:predict", b"", 400),
        ("/v1/models/toy:predict", b"{", 400),
        ("/v1/models/toy:predict", b"[]", 400),
        ("/v1/models/toy:predict", b"[" * 100_000, 400),
        (
            "/v1/models/toy:predict",
            b'{"instances":' + b"[" * 900 + b"]" * 900 + b"}",
            400,
        ),
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
        (
            "/v1/models/toy:predict",
            {"instances": ["a"], "signature_name": "x"},
            400,
        ),
        (
            "/v1/models/toy:predict",
            {"instances": ["a"], "signature_name": 3},
            400,
        ),
    )
    def test_refusals(self, path, body, code):
        found, answer = self.rest(path, body)
        self.assertEqual(found, code, answer)
        self.assertNotEmpty(answer["error"])
        self.assert_serves()

    @parameterized.parameters(
        ("/v1/models/toy:classify", {"examples": []}, "empty array"),
        ("/v1/models/toy/versions/1:regress", {}, "'examples' is expected"),
        (
            "/v1/models/toy/labels/stable:predict",
            {"instances": ["a"]},
            "Unrecognized servable version label: stable",
        ),
        (
            "/v1/models/toy:predict",
            {"instances": ["a"], "inputs": ["a"]},
            "both `instances` and `inputs`",
        ),
        ("/v1/models/toy:predict", {}, "neither `instances` nor `inputs`"),
        (
            "/v1/models/toy:predict",
            {"instances": ["a"], "signature_name": 3},
            "'signature_name' key must be a string",
        ),
        ("/v1/models/toy:nonsense", {}, "Malformed request"),
    )
    def test_each_cause_has_its_message(self, path, body, message):
        code, answer = self.rest(path, body)
        self.assertEqual(code, 400)
        self.assertIn(message, answer["error"])

    def test_lone_surrogate_is_text(self):
        path, body = "/v1/models/toy:predict", b'{"instances": ["\\ud800"]}'
        # It is read as "?", the replacement of what UTF-8 cannot hold.
        self.assertEqual(
            self.rest(path, body), (200, {"predictions": [[1, 1]]})
        )


if __name__ == "__main__":
    absltest.main()
