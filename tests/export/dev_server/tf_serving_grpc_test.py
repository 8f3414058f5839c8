"""TF Serving's documented behavior over gRPC, with its own stubs."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import tensorflow as tf
from absl.testing import absltest, parameterized
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from export.saved_model.versions import CLASSIFY_METHOD, REGRESS_METHOD
from tests.support import served
from tests.support.serving import half_plus
from tests.support.serving.served_models import CONFIG, ManyModelsCase, config

REGRESS = "tensorflow/serving/regress"


def predict(x, name="half", **spec):
    request = predict_pb2.PredictRequest()
    fill(request.model_spec, name, **spec)
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(x, tf.float32))
    return request


def fill(proto, name="half", version=None, label="", signature=""):
    proto.SetInParent()
    proto.name, proto.signature_name = name, signature
    if version is not None:
        proto.version.value = version
    if label:
        proto.version_label = label


def add_examples(request, *values):
    for x in values:
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(x)


class PredictTest(ManyModelsCase):
    @parameterized.parameters(
        ({}, 124, 4.5),
        ({"version": 123}, 123, 3.5),
        ({"label": "stable"}, 123, 3.5),
        ({"label": "canary"}, 124, 4.5),
        ({"name": "other"}, 1, 0.5),
    )
    def test_versions_labels_and_models(self, spec, version, y):
        response = self.stub.Predict(predict([1.0], **spec))
        self.assertEqual(list(response.outputs["y"].float_val), [y])
        found = response.model_spec
        self.assertEqual(found.version.value, version)
        self.assertEqual(found.name, spec.get("name", "half"))
        self.assertEqual(found.signature_name, "serving_default")
        self.assertEqual(found.version_label, "")

    @parameterized.parameters(
        ({"version": 125}, "NOT_FOUND", "Specific(half, 125)"),
        ({"version": 7}, "NOT_FOUND", "Specific(half, 7)"),
        ({"name": "none"}, "NOT_FOUND", "Latest(none)"),
        ({"name": ""}, "INVALID_ARGUMENT", "no name specified"),
        ({"label": "none"}, "INVALID_ARGUMENT", "version label: none"),
        ({"signature": "none"}, "FAILED_PRECONDITION", '"none" not found'),
    )
    def test_refusals(self, spec, code, message):
        found, details = self.code(self.stub.Predict, predict([1.0], **spec))
        self.assertEqual(found, code)
        self.assertIn(message, details)

    def test_no_model_spec(self):
        for method, request in (
            (self.stub.Predict, predict_pb2.PredictRequest()),
            (self.stub.Classify, classification_pb2.ClassificationRequest()),
            (self.stub.Regress, regression_pb2.RegressionRequest()),
            (
                self.stub.GetModelMetadata,
                get_model_metadata_pb2.GetModelMetadataRequest(),
            ),
            (
                self.models.GetModelStatus,
                get_model_status_pb2.GetModelStatusRequest(),
            ),
        ):
            self.assertEqual(
                self.code(method, request),
                ("INVALID_ARGUMENT", "Missing ModelSpec"),
            )

    def test_output_filter(self):
        request = predict_pb2.PredictRequest()
        fill(request.model_spec, signature="two")
        request.inputs["tag"].CopyFrom(tf.make_tensor_proto(["a"]))
        request.inputs["signal"].CopyFrom(tf.make_tensor_proto([[1.0, 2.0]]))
        request.output_filter.append("total")
        outputs = self.stub.Predict(request).outputs
        self.assertEqual(list(outputs), ["total"])
        self.assertEqual(list(outputs["total"].float_val), [3.0])
        request.output_filter.append("total")
        code, details = self.code(self.stub.Predict, request)
        self.assertEqual(code, "INVALID_ARGUMENT")
        self.assertIn("duplicate output tensor alias: total", details)
        request.output_filter[:] = ["none"]
        code, details = self.code(self.stub.Predict, request)
        self.assertEqual(code, "INVALID_ARGUMENT")
        self.assertIn("alias not found in signature: none", details)


class ExamplesTest(ManyModelsCase):
    def test_regress(self):
        request = regression_pb2.RegressionRequest()
        fill(request.model_spec, signature=REGRESS)
        add_examples(request, 1.0, 2.0)
        response = self.stub.Regress(request)
        values = [entry.value for entry in response.result.regressions]
        self.assertEqual(values, [4.5, 5.0])
        self.assertEqual(response.model_spec.signature_name, REGRESS)
        self.assertEqual(response.model_spec.version.value, 124)

    def test_context_stands_in_every_example(self):
        request = regression_pb2.RegressionRequest()
        fill(request.model_spec, signature=REGRESS)
        listed = request.input.example_list_with_context
        listed.context.features.feature["x"].float_list.value.append(1.0)
        listed.examples.add()
        listed.examples.add()
        response = self.stub.Regress(request)
        values = [entry.value for entry in response.result.regressions]
        self.assertEqual(values, [4.5, 4.5])

    def test_multi_inference(self):
        request = inference_pb2.MultiInferenceRequest()
        for signature, method in (
            (REGRESS, REGRESS_METHOD),
            ("classify_x", CLASSIFY_METHOD),
        ):
            task = request.tasks.add(method_name=method)
            fill(task.model_spec, signature=signature)
        add_examples(request, 1.0)
        regressed, classified = self.stub.MultiInference(request).results
        self.assertEqual(regressed.regression_result.regressions[0].value, 4.5)
        (row,) = classified.classification_result.classifications
        self.assertEqual(
            [(entry.label, entry.score) for entry in row.classes],
            [("low", 1.0), ("high", 4.5)],
        )
        self.assertEqual(classified.model_spec.signature_name, "classify_x")
        self.assertEqual(classified.model_spec.version.value, 124)

        def changed(**fields):
            other = inference_pb2.MultiInferenceRequest()
            other.CopyFrom(request)
            if "method" in fields:
                other.tasks[1].method_name = fields.pop("method")
            for name, value in fields.items():
                setattr(other.tasks[1].model_spec, name, value)
            return self.code(self.stub.MultiInference, other)[0]

        self.assertEqual(changed(name="other"), "INVALID_ARGUMENT")
        self.assertEqual(changed(signature_name=REGRESS), "INVALID_ARGUMENT")
        self.assertEqual(changed(signature_name="none"), "INVALID_ARGUMENT")
        self.assertEqual(
            changed(method="tensorflow/serving/predict"), "UNIMPLEMENTED"
        )
        request.input.Clear()
        self.assertEqual(
            self.code(self.stub.MultiInference, request),
            ("INVALID_ARGUMENT", "Input is empty."),
        )
        request.tasks.clear()
        self.assertEqual(
            self.code(self.stub.MultiInference, request)[0], "INVALID_ARGUMENT"
        )


class MetadataTest(ManyModelsCase):
    def test_metadata_fields(self):
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        fill(request.model_spec, label="stable")
        code, details = self.code(self.stub.GetModelMetadata, request)
        self.assertEqual(code, "INVALID_ARGUMENT")
        self.assertIn("at least one metadata_field", details)
        request.metadata_field.append("signature_def")
        response = self.stub.GetModelMetadata(request)
        self.assertEqual(response.model_spec.version.value, 123)
        request.metadata_field.append("none")
        code, details = self.code(self.stub.GetModelMetadata, request)
        self.assertEqual(code, "INVALID_ARGUMENT")
        self.assertIn("none is not supported", details)

    @parameterized.parameters(
        ({}, [124, 123]),
        ({"version": 123}, [123]),
        ({"label": "x"}, [124, 123]),
    )
    def test_status(self, spec, versions):
        request = get_model_status_pb2.GetModelStatusRequest()
        fill(request.model_spec, **spec)
        response = self.models.GetModelStatus(request)
        self.assertEqual(
            [entry.version for entry in response.model_version_status],
            versions,
        )
        fill(request.model_spec, version=7)
        code, _ = self.code(self.models.GetModelStatus, request)
        self.assertEqual(code, "NOT_FOUND")

    def test_health_and_reflection(self):
        health = health_pb2_grpc.HealthStub(self.channel)
        for name in ("", "ModelService", "tensorflow.serving.ModelService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name))
            self.assertEqual(answer.status, answer.SERVING)
        stub = reflection_pb2_grpc.ServerReflectionStub(self.channel)
        symbol = "tensorflow.serving.PredictionService"
        request = reflection_pb2.ServerReflectionRequest(
            file_containing_symbol=symbol
        )
        (answer,) = stub.ServerReflectionInfo(iter([request]))
        (data,) = answer.file_descriptor_response.file_descriptor_proto[:1]
        (service,) = descriptor_pb2.FileDescriptorProto.FromString(data).service
        self.assertEqual(
            {method.name for method in service.method},
            {
                "Classify",
                "GetModelMetadata",
                "MultiInference",
                "Predict",
                "Regress",
            },
        )


class ReloadTest(ManyModelsCase):
    def reload(self, text):
        request = model_management_pb2.ReloadConfigRequest(config=config(text))
        return self.models.HandleReloadConfigRequest(request, timeout=60)

    def refused(self, text):
        with self.assertRaises(grpc.RpcError) as caught:
            self.reload(text)
        # What is refused changes nothing.
        self.assertEqual(self.y(), 4.5)
        return caught.exception.code().name

    def y(self, **spec):
        return (
            self.stub.Predict(predict([1.0], **spec)).outputs["y"].float_val[0]
        )

    def test_a_label_moves_and_models_come_and_go(self):
        text = CONFIG.format(base=self.base)
        self.assertEqual(self.reload(text).status.error_code, 0)
        moved = text.replace('"stable" value: 123', '"stable" value: 124')
        self.reload(moved)
        self.assertEqual(self.y(label="stable"), 4.5)
        half_plus.write_half_plus(self.base / "third", 1, 7.0)
        head = moved.index('    name: "other"')
        third = moved[:head] + moved[head:].replace("other", "third")
        self.reload(third)
        self.assertEqual(self.y(name="third"), 7.5)
        code, _ = self.code(self.stub.Predict, predict([1.0], name="other"))
        self.assertEqual(code, "NOT_FOUND")
        newest = "model_version_policy { latest { num_versions: 2 } }"
        start = third.index("model_version_policy")
        end = third.index("version_labels")
        self.reload(third[:start] + newest + "\n" + third[end:])
        self.assertEqual(self.y(), 5.5)
        served.wait_until(
            lambda: self.server.manager.states("half")[123][0] == "END",
            "123 is unloaded",
        )
        # A label in use waits for the version that it moves to.
        with self.assertRaises(grpc.RpcError) as caught:
            self.reload(text)
        self.assertEqual(caught.exception.code().name, "FAILED_PRECONDITION")
        self.reload(moved)
        self.reload(text)
        self.assertEqual(self.y(label="stable"), 3.5)

    def test_refusals(self):
        text = CONFIG.format(base=self.base)
        self.reload(text)
        path = f'base_path: "{self.base}/other"'
        platform = 'model_platform: "tensorflow"'
        for old, new, code in (
            ('stable" value: 123', 'stable" value: 125', "FAILED_PRECONDITION"),
            ('name: "other"', 'name: "half"', "INVALID_ARGUMENT"),
            ('name: "other"', 'name: ""', "INVALID_ARGUMENT"),
            (path, 'base_path: "other"', "INVALID_ARGUMENT"),
            (path, 'base_path: "/none/other"', "INVALID_ARGUMENT"),
            (platform, 'model_platform: "other"', "INVALID_ARGUMENT"),
            (platform, "", "INVALID_ARGUMENT"),
        ):
            self.assertIn(old, text)
            self.assertEqual(self.refused(text.replace(old, new)), code, new)
        empty = self.base / "empty"
        empty.mkdir(exist_ok=True)
        moved = text.replace(f"{self.base}/other", str(empty))
        self.assertEqual(self.refused(moved), "UNKNOWN")
        self.assertEqual(self.refused(""), "INVALID_ARGUMENT")
        self.assertEqual(self.y(name="other"), 0.5)


if __name__ == "__main__":
    absltest.main()
