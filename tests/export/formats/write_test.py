"""Other formats: what is written, what a runtime's answers are compared with.

The runtimes themselves run where FORMATS_PYTHON names a Python that has them
(PyTorch, transformers, ctranslate2, onnxruntime, openvino); ONNX and OpenVINO
are written where tf2onnx and openvino are installed beside TensorFlow.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import importlib.util
import json
import pathlib
import sys
from unittest import mock

import numpy as np
import pytest
import safetensors.numpy
from absl.testing import absltest, parameterized

from export.formats import table, write
from export.modules.options import ServingOptions
from export.saved_model.verify import VerificationError
from runkit import InputError
from spactor_tf.classifier.classifier import TextClassifier
from spactor_tf.inference.pretrained import load_pretrained
from tests.support import serving_models

PYTHON = os.environ.get("FORMATS_PYTHON", "")
OPTIONS = ServingOptions(input_length=24)


class WriteTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path) / "out"

    def export(self, name, answer=None, **options):
        """Exports with a runtime that answers as `answer` does."""
        replaced = mock.patch.object(
            write,
            "run_elsewhere",
            side_effect=answer or (lambda *_: {"missing": ["torch"]}),
        )
        with replaced as self.elsewhere:
            return write.export_format(
                name,
                serving_models.pretrained(),
                self.folder,
                options=OPTIONS,
                **options,
            )

    def card(self):
        return json.loads((self.folder / "model_card.json").read_text())

    @parameterized.parameters(
        ("float32", "F32", 0.0), ("bfloat16", "BF16", 4e-3)
    )
    def test_a_folder_of_transformers(self, dtype, stored, tolerance):
        self.export("hugging_face", dtype=dtype)
        config = json.loads((self.folder / "config.json").read_text())
        self.assertEqual(config["torch_dtype"], dtype)
        path = self.folder / "model.safetensors"
        self.assertIn(f'"dtype":"{stored}"'.encode(), path.read_bytes()[:9999])
        self.assertLen(
            safetensors.numpy.load_file(path),
            len(serving_models.pretrained().backbone.get_weights()),
        )
        again = load_pretrained(self.folder).backbone.get_weights()
        for found, expected in zip(
            again,
            serving_models.pretrained().backbone.get_weights(),
            strict=True,
        ):
            np.testing.assert_allclose(
                found, expected, rtol=tolerance, atol=tolerance / 100
            )
        self.assertIsNone(self.card()["verified"])
        self.assertEqual(self.card()["dtype"], dtype)

    def right(self, action, folder, request, python):
        """What a right runtime answers, by the model itself."""
        del folder, python
        self.assertEqual(action, "hugging_face")
        model = serving_models.pretrained()
        texts = request["texts"]
        length = request["cut"]
        from export.modules.t5_module import ServingModule

        module = ServingModule(
            model.backbone,
            model.vocabulary,
            ServingOptions(
                input_length=length, max_output_length=request["length"]
            ),
        )
        written = module.generate(np.array(texts, object))["text"].numpy()
        return {
            "versions": {"torch": "9"},
            "embedding": model.embed(texts, length).tolist(),
            "ids": request["ids"],
            "generated": [
                [*model.vocabulary.encode([text.decode()])[0], 1, 0, 0]
                for text in written
            ],
        }

    def test_right_answers_are_written_down(self):
        self.export("hugging_face", self.right)
        verified = self.card()["verified"]
        self.assertEqual(verified["runtime"], {"torch": "9"})
        self.assertEqual(verified["texts"], 8)
        self.assertGreater(verified["smallest_cosine"], 0.99999)
        self.assertEqual(verified["tokens_changed"], 0)

    @parameterized.parameters(
        ("embedding", "embeds otherwise"), ("generated", "writes other texts")
    )
    def test_wrong_answers_leave_nothing(self, what, message):
        def wrong(*request):
            answer = self.right(*request)
            if what == "embedding":
                answer[what][3][0] += 5.0
            else:
                answer[what] = [[7, 8, 9]] * 8
            return answer

        with self.assertRaisesRegex(VerificationError, message):
            self.export("hugging_face", wrong)
        self.assertFalse(self.folder.exists())

    def test_answers_that_are_no_numbers_are_wrong(self):
        def wrong(*request):
            answer = self.right(*request)
            answer["embedding"][0][0] = float("nan")
            return answer

        with self.assertRaisesRegex(VerificationError, "embeds otherwise"):
            self.export("hugging_face", wrong)

    def test_a_classifier_has_no_other_format(self):
        classifier = TextClassifier(serving_models.pretrained(), ("a", "b"))
        with self.assertRaisesRegex(InputError, "--run_dir: is a classifier"):
            write.export_format("onnx", classifier, self.folder)

    @parameterized.parameters("ctranslate2", "onnx", "openvino")
    def test_what_is_not_installed_is_named(self, name):
        packages = table.FORMATS[name].packages
        with (
            mock.patch("importlib.util.find_spec", return_value=None),
            self.assertRaisesRegex(
                InputError, f"pip install {' '.join(packages)}.*runtime_python"
            ),
        ):
            self.export(name)
        self.assertFalse(self.folder.exists())

    def test_an_interpreter_that_is_none(self):
        with self.assertRaisesRegex(InputError, "--runtime_python.*no-python"):
            write.run_elsewhere("onnx", self.folder, {}, "no-python")

    def test_a_runtime_that_fails_is_quoted(self):
        if importlib.util.find_spec("onnxruntime"):
            self.skipTest("it would run")
        answer = write.run_elsewhere("onnx", self.folder, {}, sys.executable)
        self.assertEqual(answer, {"missing": ["onnxruntime"]})
        with self.assertRaisesRegex(InputError, "failed .KeyError: 'nothing'"):
            write.run_elsewhere("nothing", self.folder, {}, sys.executable)


class RunTest(parameterized.TestCase):
    """The real runtimes."""

    @parameterized.product(
        name=["hugging_face", "ctranslate2", "onnx", "openvino"],
        gated=[False, True],
        dtype=["float32", "bfloat16", "float16", "int8"],
    )
    @pytest.mark.slow
    def test_answers_are_ours(self, name, gated, dtype):
        if not PYTHON:
            self.skipTest("FORMATS_PYTHON names no Python")
        if dtype not in table.FORMATS[name].dtypes:
            self.skipTest("a type that the format does not have")
        if name in ("onnx", "openvino"):
            for package in table.FORMATS[name].packages:
                if importlib.util.find_spec(package) is None:
                    self.skipTest(f"{package} is not installed")
        folder = pathlib.Path(self.create_tempdir().full_path) / "out"
        write.export_format(
            name,
            serving_models.pretrained(gated),
            folder,
            options=OPTIONS,
            dtype=dtype,
            python=PYTHON,
        )
        verified = json.loads((folder / "model_card.json").read_text())[
            "verified"
        ]
        self.assertIsNotNone(verified)


if __name__ == "__main__":
    absltest.main()
