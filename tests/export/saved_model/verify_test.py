"""Versions in half precision: what a server sees, and what is refused."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import absltest, parameterized

from export.modules.options import ServingOptions
from export.saved_model import verify, versions
from export.saved_model.session import SessionModel
from export.saved_model.stored_requests import STORED_TEXTS
from export.saved_model.write import export_saved_model
from runkit import write_json
from spactor_tf.classifier.classifier import TextClassifier
from tests.support import serving_models

HALF = ("bfloat16", "float16")
# No package of ours, no Keras class, TF Text's op library alone.
SERVER = """
import json, pathlib, sys
import tensorflow as tf
library = pathlib.Path(sys.argv[2])
tf.load_op_library(str(library))
graph = tf.Graph()
with graph.as_default(), tf.compat.v1.Session() as session:
    loaded = tf.compat.v1.saved_model.loader.load(
        session, ["serve"], sys.argv[1]
    )
    answers = {}
    for name in ("embed", "classify", "generate"):
        signature = loaded.signature_def[name]
        outputs = {k: v.name for k, v in signature.outputs.items()}
        feed = {signature.inputs["text"].name: [b"dada zuzu", b""]}
        found = session.run(outputs, feed)
        answers[name] = {
            k: [str(v.dtype), v.shape, v.astype(str).tolist()]
            for k, v in found.items()
        }
foreign = {"keras_hub", "export", "spactor_tf", "tensorflow_text"}
assert not foreign & set(sys.modules), foreign & set(sys.modules)
print(json.dumps(answers))
"""


@functools.cache
def classifier() -> TextClassifier:
    """It has an encoder only, so exports are small."""
    model = TextClassifier(serving_models.pretrained(), ("a", "b"), length=24)
    kernel = np.random.default_rng(0).standard_normal((32, 2))
    model.set_head(kernel.astype(np.float32), np.zeros(2, np.float32))
    return model


@functools.cache
def exported(dtype: str) -> pathlib.Path:
    return export_saved_model(
        classifier(),
        pathlib.Path(tempfile.mkdtemp()) / "t5",
        options=ServingOptions(input_length=24, dtype=dtype),
    )


@functools.cache
def exported_t5() -> pathlib.Path:
    folder = pathlib.Path(tempfile.mkdtemp())
    return serving_models.export_t5(folder / "t5", dtype="bfloat16")


def stored(path: pathlib.Path) -> int:
    files = (path / "variables").glob("variables.data*")
    return sum(file.stat().st_size for file in files)


class HalfPrecisionTest(parameterized.TestCase):
    @parameterized.parameters(*HALF)
    def test_verified_and_half_as_large(self, dtype):
        checked = verify.verify_saved_model(exported(dtype))
        self.assertEqual(checked.dtype, dtype)
        self.assertEqual(checked.changed, 0)
        self.assertLess(set(checked.extra_ops), verify.TEXT_OPS)
        self.assertBetween(
            checked.variables_bytes,
            2 * checked.parameters,
            2.1 * checked.parameters,
        )
        whole = verify.read_card(exported("float32"))["parameters"]
        self.assertEqual(checked.parameters, whole)

    @parameterized.parameters(*HALF)
    def test_the_card_s_error_is_that_of_what_is_served(self, dtype):
        record = verify.read_card(exported(dtype))["error"]
        texts = {"text": list(STORED_TEXTS)}
        half, exact = (
            SessionModel(exported(d)).run("embed", texts)["embedding"]
            for d in (dtype, "float32")
        )
        self.assertEqual(record["texts"], len(STORED_TEXTS))
        self.assertAlmostEqual(
            record["embedding"]["largest_difference"],
            np.abs(half - exact).max(),
            delta=verify.PRECISIONS[dtype].tolerance,
        )
        self.assertGreater(np.abs(half - exact).max(), 1e-4)

    def test_weights_have_one_name_in_every_precision(self):
        names = {
            verify.read_card(exported(dtype))["weights_sha256"]
            for dtype in ("float32", *HALF)
        }
        self.assertLen(names, 1)
        self.assertNotIn("error", verify.read_card(exported("float32")))

    @pytest.mark.slow
    def test_tensorflow_alone_answers(self):
        import tensorflow_text

        library = pathlib.Path(tensorflow_text.__file__).parent / "python/ops"
        done = subprocess.run(
            [
                *(sys.executable, "-c", SERVER, str(exported_t5())),
                str(library / "_sentencepiece_tokenizer.so"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=tempfile.gettempdir(),
        )
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        answers = json.loads(done.stdout)
        model = SessionModel(exported_t5())
        for name, outputs in answers.items():
            expected = model.run(name, {"text": ["dada zuzu", ""]})
            self.assertCountEqual(outputs, expected)
            for key, (kind, shape, value) in outputs.items():
                self.assertEqual(kind, str(expected[key].dtype), key)
                self.assertEqual(tuple(shape), expected[key].shape, key)
                if kind == "float32":
                    np.testing.assert_allclose(
                        np.array(value, np.float32), expected[key], rtol=1e-3
                    )
                else:
                    self.assertEqual(value, expected[key].astype(str).tolist())


class RefusedTest(parameterized.TestCase):
    def copy(self, version: pathlib.Path) -> pathlib.Path:
        base = pathlib.Path(self.create_tempdir().full_path)
        return pathlib.Path(shutil.copytree(version, base / "9"))

    def claim(self, path: pathlib.Path, dtype: str) -> None:
        card = verify.read_card(path)
        card["options"]["dtype"] = dtype
        write_json(path / versions.MODEL_CARD, card)

    @parameterized.parameters(
        ("float32", "bfloat16"),
        ("bfloat16", "float32"),
        ("bfloat16", "float16"),
        ("float16", "bfloat16"),
    )
    def test_another_type_than_the_card_says(self, stored_as, claimed):
        path = self.copy(exported(stored_as))
        self.claim(path, claimed)
        with self.assertRaisesRegex(
            verify.VerificationError, f"another type.*{stored_as}.*{claimed}"
        ):
            verify.verify_saved_model(path)

    def test_a_type_that_no_export_has(self):
        path = self.copy(exported("float32"))
        self.claim(path, "float64")
        with self.assertRaisesRegex(verify.VerificationError, "float64"):
            verify.verify_saved_model(path)

    @parameterized.parameters((0.1, False), (5.0, True))
    def test_the_tolerance_is_that_of_the_type(self, times, is_refused):
        path = self.copy(exported("float16"))
        step = times * verify.PRECISIONS["float16"].tolerance
        self.change(
            path / versions.WARM_UP,
            "embedding",
            lambda value: value + np.float32(step),
        )
        if is_refused:
            with self.assertRaisesRegex(verify.VerificationError, "differs"):
                verify.verify_saved_model(path)
        else:
            checked = verify.verify_saved_model(path)
            self.assertBetween(checked.largest_difference, step / 2, step * 2)

    def change(self, file: pathlib.Path, name: str, change) -> None:
        """Changes an output in the stored answers of a file."""
        log = verify.records.protos.prediction_log_pb2().PredictionLog
        data = tf.data.TFRecordDataset(str(file))
        logs = [log.FromString(d) for d in data.as_numpy_iterator()]
        for entry in logs:
            outputs = entry.predict_log.response.outputs
            if name in outputs:
                value = tf.make_ndarray(outputs[name])
                proto = tf.make_tensor_proto(change(value))
                proto.dtype = outputs[name].dtype
                outputs[name].CopyFrom(proto)
        with tf.io.TFRecordWriter(str(file)) as writer:
            for entry in logs:
                writer.write(entry.SerializeToString())

    @pytest.mark.slow
    def test_too_many_changed_texts(self):
        path = self.copy(exported_t5())
        self.change(
            path / versions.VERIFICATION, "text", lambda value: value + b"!"
        )
        with self.assertRaisesRegex(verify.VerificationError, "at most 10%"):
            verify.verify_saved_model(path)

    def test_rows_of_other_texts_are_set_apart(self):
        expected = {
            "text": np.array([b"a", b"b"], object),
            "score": np.array([1.0, 2.0], np.float32),
        }
        found = {**expected, "text": np.array([b"a", b"c"], object)}
        same = verify.same_rows(expected, found)
        self.assertEqual(same.tolist(), [True, False])
        self.assertTrue(verify.same_rows(expected, {"x": np.ones(2)}).all())
        self.assertEmpty(verify.same_rows({}, {"x": np.ones((0, 3))}))


if __name__ == "__main__":
    absltest.main()
