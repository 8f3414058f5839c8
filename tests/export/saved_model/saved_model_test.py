"""Exported versions: what a server sees, and what it never sees."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools
import pathlib
import shutil
import tempfile

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from google.protobuf import text_format

from export.c_api.graph_session import GraphSession
from export.c_api.library import TensorFlowError
from export.modules.t5_module import ServingModule
from export.saved_model import protos, server_config, verify, versions
from export.saved_model.session import SessionModel
from export.saved_model.stored_requests import HARD_TEXTS, inputs_for
from runkit import InputError, write_json
from tests.support import serving_models

ROOT = pathlib.Path(__file__).resolve().parents[3]
TEXTS = [*HARD_TEXTS, b"two", b"words more"]


@functools.cache
def exported() -> pathlib.Path:
    """One version for all tests that only read it."""
    return serving_models.export_t5(pathlib.Path(tempfile.mkdtemp()) / "t5")


@functools.cache
def session() -> SessionModel:
    return SessionModel(exported())


@functools.cache
def eager() -> ServingModule:
    model = serving_models.pretrained()
    return ServingModule(
        model.backbone, model.vocabulary, serving_models.OPTIONS
    )


def text_inputs(signature, texts):
    inputs = inputs_for(signature, texts)
    return {name: value.numpy() for name, value in inputs.items()}


class VersionTest(parameterized.TestCase):
    @parameterized.product(
        signature=["embed", "classify", "generate", "classify_examples"],
        size=[0, 1, 3, 8, 64],
    )
    def test_session_equals_eager(self, signature, size):
        texts = [TEXTS[i % len(TEXTS)] for i in range(size)]
        inputs = text_inputs(signature, texts)
        found = session().run(signature, inputs)
        function = getattr(eager(), signature)
        tensors = {k: tf.constant(v, tf.string) for k, v in inputs.items()}
        expected = {k: v.numpy() for k, v in function(**tensors).items()}
        verify.largest_difference(expected, found)
        for value in found.values():
            self.assertLen(value, size)

    def test_hard_texts_are_flagged_where_cut(self):
        found = session().run("embed", {"text": list(HARD_TEXTS)})
        self.assertEqual(found["truncated"][:2].tolist(), [False, True])
        self.assertTrue(np.isfinite(found["embedding"]).all())

    def test_names_types_and_shapes_that_clients_rely_on(self):
        card = verify.read_card(exported())
        text = {"text": "string [None]"}
        common = {
            "embedding": "float32 [None, 32]",
            "truncated": "bool [None]",
        }
        self.assertEqual(
            card["signatures"],
            {
                "embed": {
                    "method": "tensorflow/serving/predict",
                    "inputs": text,
                    "outputs": common,
                },
                "serving_default": {
                    "method": "tensorflow/serving/predict",
                    "inputs": text,
                    "outputs": common,
                },
                "classify": {
                    "method": "tensorflow/serving/predict",
                    "inputs": text,
                    "outputs": {
                        **common,
                        "label": "string [None]",
                        "class_id": "int32 [None]",
                        "probabilities": "float32 [None, 3]",
                        "margin": "float32 [None]",
                    },
                },
                "generate": {
                    "method": "tensorflow/serving/predict",
                    "inputs": text,
                    "outputs": {
                        "text": "string [None]",
                        "score": "float32 [None]",
                        "finished": "bool [None]",
                        "truncated": "bool [None]",
                    },
                },
                "classify_examples": {
                    "method": "tensorflow/serving/classify",
                    "inputs": {"inputs": "string [None]"},
                    "outputs": {
                        "classes": "string [None, 3]",
                        "scores": "float32 [None, 3]",
                    },
                },
            },
        )

    def test_card_and_verification(self):
        card = verify.read_card(exported())
        self.assertEqual(card["tensorflow_version"], tf.__version__)
        self.assertEqual(
            card["vocabulary_sha256"],
            serving_models.pretrained().vocabulary.fingerprint,
        )
        self.assertFalse([op for op in card["ops"] if "Xla" in op])
        checked = verify.verify_saved_model(exported())
        self.assertEqual(set(checked.extra_ops), verify.TEXT_OPS)
        self.assertEqual(checked.requests, 4 * (2 + 4))
        weights = serving_models.pretrained().backbone.count_params()
        self.assertEqual(checked.parameters, weights)
        self.assertLessEqual(checked.variables_bytes, 1.05 * 4 * weights)

    def test_warm_up_is_read_as_tf_serving_reads_it(self):
        path = exported() / versions.WARM_UP
        seen = set()
        for data in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            log = protos.prediction_log_pb2().PredictionLog.FromString(data)
            self.assertEqual(log.WhichOneof("log_type"), "predict_log")
            spec = log.predict_log.request.model_spec
            seen.add((spec.name, spec.signature_name))
        self.assertEqual(
            seen,
            {
                ("t5", s)
                for s in set(session().signatures) - {"serving_default"}
            },
        )


class RefusedTest(parameterized.TestCase):
    """Versions that would fail in a server do not pass."""

    def setUp(self):
        super().setUp()
        self.base = pathlib.Path(self.create_tempdir().full_path)

    def copy(self) -> pathlib.Path:
        return pathlib.Path(shutil.copytree(exported(), self.base / "9"))

    def test_tracked_keras_model_does_not_load(self):
        class Tracked(tf.Module):
            def __init__(self):
                super().__init__()
                self.model = keras.Sequential(
                    [keras.layers.Input([2]), keras.layers.Dense(2)]
                )

            @tf.function(input_signature=[tf.TensorSpec([None, 2])])
            def embed(self, x):
                return {"y": self.model(x)}

        module = Tracked()
        tf.saved_model.save(
            module, str(self.base / "1"), {"embed": module.embed}
        )
        reloaded = tf.saved_model.load(str(self.base / "1"))
        reloaded.signatures["embed"](tf.zeros([1, 2]))  # Python accepts it.
        with self.assertRaisesRegex(
            (InputError, TensorFlowError), "Could not find variable"
        ):
            SessionModel(self.base / "1").run("embed", {"x": [[1.0, 2.0]]})

    def test_foreign_ops(self):
        allowed = ["MatMul", "SentencepieceOp"]
        self.assertEqual(verify.check_ops(allowed), ["SentencepieceOp"])
        for op in ("Scann>ScannSearchBatched", "PyFunc", "XlaDot", "Nonsense"):
            with self.assertRaisesRegex(verify.VerificationError, op):
                verify.check_ops(["MatMul", op])
        self.assertEqual(
            verify.check_ops(["MatMul", "Scann>X"], custom=["Scann>X"]),
            ["Scann>X"],
        )

    def test_weights_stored_twice(self):
        path = self.copy()
        card = verify.read_card(path)
        card["parameters"] //= 2
        write_json(path / versions.MODEL_CARD, card)
        with self.assertRaisesRegex(verify.VerificationError, "4 bytes"):
            verify.verify_saved_model(path)

    def test_answers_of_another_model(self):
        path = self.copy()
        log = protos.prediction_log_pb2().PredictionLog
        data = tf.data.TFRecordDataset(str(path / versions.WARM_UP))
        logs = [log.FromString(d) for d in data.as_numpy_iterator()]
        outputs = logs[0].predict_log.response.outputs
        value = tf.make_ndarray(outputs["embedding"]) + 1e-3
        outputs["embedding"].CopyFrom(tf.make_tensor_proto(value))
        with tf.io.TFRecordWriter(str(path / versions.WARM_UP)) as writer:
            for entry in logs:
                writer.write(entry.SerializeToString())
        with self.assertRaisesRegex(verify.VerificationError, "embedding"):
            verify.verify_saved_model(path)

    @parameterized.parameters(
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "assets.extra/tf_serving_warmup_requests",
        "model_card.json",
    )
    def test_damaged_or_missing_files(self, name):
        path = self.copy()
        file = path / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with self.assertRaises(InputError):
            verify.verify_saved_model(path)
        file.unlink()
        with self.assertRaises(InputError):
            verify.verify_saved_model(path)

    @parameterized.parameters(
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "ascend"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [8, 4]", "ascend"),
        ("max_batch_sizes { value: 8 }", "no field named"),
    )
    def test_batching_config(self, text, message):
        server_config.write_configs(self.base, "x")
        (self.base / versions.BATCHING_CONFIG).write_text(text)
        with self.assertRaisesRegex(InputError, message):
            server_config.check_configs(self.base)

    def test_written_configs_say_what_is_served_and_pass(self):
        server_config.write_configs(self.base, "x")
        server_config.check_configs(self.base)
        models = text_format.Parse(
            (self.base / versions.MODELS_CONFIG).read_text(),
            protos.model_server_config(),
        )
        (entry,) = models.model_config_list.config
        self.assertEqual(
            (entry.name, entry.base_path, entry.model_platform),
            ("x", "/models/x", "tensorflow"),
        )
        batching = text_format.Parse(
            (self.base / versions.BATCHING_CONFIG).read_text(),
            protos.batching_parameters(),
        )
        self.assertEqual(batching.max_execution_batch_size.value, 64)
        self.assertEqual(batching.max_batch_size.value, 65536)
        self.assertEqual(
            list(batching.allowed_batch_sizes), [1, 2, 4, 8, 16, 32, 64]
        )

    @parameterized.parameters(
        ('model_config_list { config { nam: "x" } }', "nam"),
        ("", "names no model"),
    )
    def test_models_config(self, text, message):
        server_config.write_configs(self.base, "x")
        (self.base / versions.MODELS_CONFIG).write_text(text)
        with self.assertRaisesRegex(InputError, message):
            server_config.check_configs(self.base)

    @parameterized.parameters(
        ({"y": [1.0]}, {"y": [1.0, 2.0]}),
        ({"y": [1.0]}, {"z": [1.0]}),
        ({"y": [1.0]}, {"y": [1.001]}),
        ({"y": [True]}, {"y": [False]}),
        ({"y": [np.nan]}, {"y": [1.0]}),
    )
    def test_differences_are_seen(self, expected, found):
        def arrays(values):
            return {k: np.array(v) for k, v in values.items()}

        with self.assertRaises(verify.VerificationError):
            verify.largest_difference(arrays(expected), arrays(found))


class SessionModelTest(parameterized.TestCase):
    @parameterized.parameters(
        ("embd", {"text": ["a"]}, "Did you mean 'embed'"),
        ("embed", {"txt": ["a"]}, "text|txt"),
        ("embed", {}, "missing.*text"),
        ("embed", {"text": ["a"], "more": ["b"]}, "unknown input.*more"),
        ("embed", {"text": [1]}, "wrong type"),
        ("embed", {"text": [["a"]]}, "wrong shape"),
        ("embed", {"text": "a"}, "wrong shape"),
        ("embed", {"text": [["a"], "b"]}, "wrong type"),
    )
    def test_bad_requests(self, signature, inputs, message):
        with self.assertRaisesRegex(InputError, message):
            session().run(signature, inputs)

    def test_not_a_saved_model(self):
        with self.assertRaisesRegex(InputError, "not a SavedModel"):
            SessionModel(self.create_tempdir().full_path)

    def test_what_a_refused_model_took_is_freed(self):
        closed = absltest.mock.patch.object(GraphSession, "close")
        broken = absltest.mock.patch.object(
            GraphSession, "make_callable", side_effect=InputError("no tensor")
        )
        refused = self.assertRaisesRegex(InputError, "cannot be served")
        with closed as close, broken, refused:
            SessionModel(exported())
        close.assert_called_once_with()


if __name__ == "__main__":
    absltest.main()
