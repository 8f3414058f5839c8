"""Half precision at export: the error that is written down is the error."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from export.modules.classifier_module import ClassifierModule
from export.modules.options import ServingOptions
from export.modules.precision import cosines, measured_error
from export.modules.text_module import served_backbone
from runkit import InputError
from spactor_tf.classifier.classifier import TextClassifier
from spactor_tf.inference.pretrained import Pretrained
from spactor_tf.model import t5
from tests.support import serving_models, testing

TEXTS = ["dada zuzu, number 3.", "", "so it goes " * 3, "another", b"\xff"]


class CosinesTest(absltest.TestCase):
    def test_by_hand(self):
        zero = [0.0, 0.0]
        found = np.array([[1.0, 0.0], [3.0, 4.0], zero, zero])
        expected = np.array([[0.0, 2.0], [6.0, 8.0], zero, [1.0, 0.0]])
        np.testing.assert_allclose(cosines(found, expected), [0, 1, 1, 0])


class Answers:
    """A module with given answers and weights."""

    def __init__(self, embedding, probabilities, texts=None, weight=1.0):
        self.options = ServingOptions(dtype="float16")
        self.weights = [tf.Variable([weight], dtype=tf.float16, name="w")]
        probabilities = tf.constant(probabilities)
        self._answers = {
            "embed": {"embedding": tf.constant(embedding)},
            "classify": {
                "probabilities": probabilities,
                "class_id": tf.argmax(probabilities, 1),
            },
        }
        if texts:
            self._answers["generate"] = {"text": tf.constant(texts)}

    def signatures(self):
        return {
            name: functools.partial(lambda outputs, text: outputs, outputs)
            for name, outputs in self._answers.items()
        }


def module(dtype, model=None) -> ClassifierModule:
    classifier = TextClassifier(
        model or serving_models.pretrained(), ("a", "b"), length=24
    )
    kernel = np.random.default_rng(0).standard_normal((32, 2)) * 0.3
    classifier.set_head(kernel.astype(np.float32), np.zeros(2, np.float32))
    return ClassifierModule(
        classifier, ServingOptions(input_length=24, dtype=dtype)
    )


def run(served, signature) -> dict[str, np.ndarray]:
    outputs = getattr(served, signature)(tf.constant(TEXTS))
    return {name: value.numpy() for name, value in outputs.items()}


class RecordTest(parameterized.TestCase):
    def test_by_hand(self):
        half = Answers(
            [[3.0, 4.0], [1.0, 0.0]], [[0.5, 0.4], [0.1, 0.9]], ["x", "y"]
        )
        exact = Answers(
            [[3.0, 4.5], [0.0, 1.0]], [[0.3, 0.7], [0.1, 0.9]], ["x", "z"]
        )
        record = measured_error(half, exact, ["a", "b"])
        self.assertEqual(record["texts"], 2)
        self.assertEqual(record["embedding"]["largest_difference"], 1.0)
        # (0 + 0.5 + 1 + 1) / 4
        self.assertEqual(record["embedding"]["mean_difference"], 0.625)
        self.assertAlmostEqual(record["embedding"]["smallest_cosine"], 0.0)
        self.assertAlmostEqual(
            record["probabilities"]["largest_difference"], 0.3, 6
        )
        self.assertEqual(record["classes_changed"], 1)
        self.assertEqual(record["texts_changed"], 1)

    @parameterized.parameters(
        ({"weight": np.inf}, "weight w:0: is out of the range"),
        ({"embedding": [[np.nan, 0.0]]}, "embed: embedding"),
        ({"probabilities": [[np.inf, 0.0]]}, "classify: probabilities"),
    )
    def test_what_is_not_finite_names_the_type(self, what, message):
        good = {"embedding": [[1.0, 0.0]], "probabilities": [[0.5, 0.5]]}
        exact = Answers(**good)
        measured_error(exact, exact, ["a"])
        with self.assertRaisesRegex(
            InputError, "--dtype=float16.*--dtype=bfloat16"
        ) as caught:
            measured_error(Answers(**{**good, **what}), exact, ["a"])
        self.assertRegex(str(caught.exception), message)


class ModuleTest(parameterized.TestCase):
    @parameterized.parameters("bfloat16", "float16")
    def test_weights_are_half_and_outputs_float32(self, dtype):
        half, exact = module(dtype), module("float32")
        kinds = {v.dtype for v in half.weights if v.dtype.is_floating}
        self.assertEqual(kinds, {tf.as_dtype(dtype)})
        self.assertEqual(half.num_parameters, exact.num_parameters)
        record = measured_error(half, exact, TEXTS)
        self.assertNotIn("texts_changed", record)
        self.assertGreater(record["embedding"]["smallest_cosine"], 0.9995)
        self.assertGreater(record["embedding"]["largest_difference"], 1e-5)
        found, expected = run(half, "classify"), run(exact, "classify")
        for name, value in expected.items():
            self.assertEqual(found[name].dtype, value.dtype)
            self.assertEqual(found[name].shape, value.shape)
        difference = np.abs(found["probabilities"] - expected["probabilities"])
        self.assertAlmostEqual(
            record["probabilities"]["largest_difference"],
            difference.max(),
            6,
        )
        difference = np.abs(found["embedding"] - expected["embedding"])
        self.assertAlmostEqual(
            record["embedding"]["mean_difference"], difference.mean(), 6
        )

    def test_what_float16_cannot_hold(self):
        """Each weight fits into float16, a product of two does not."""
        config = t5.backbone_config(serving_models.pretrained().backbone)
        backbone = t5.copy_backbone(
            serving_models.pretrained().backbone, config
        )
        layer = backbone.encoder_transformer_layers[0]
        for projector in (layer.input_projector, layer.output_projector):
            kernel = np.array(projector.kernel)
            projector.kernel.assign(kernel * 3e4 / np.abs(kernel).max())
        model = Pretrained(backbone, testing.vocabulary(), None)
        with self.assertRaisesRegex(InputError, "float16.*embed: embedding"):
            measured_error(
                module("float16", model), module("float32", model), TEXTS
            )
        found = run(module("bfloat16", model), "embed")
        self.assertTrue(np.isfinite(found["embedding"]).all())

    def test_a_model_of_the_type_is_not_copied(self):
        backbone = serving_models.pretrained().backbone
        self.assertIs(served_backbone(backbone, "float32"), backbone)
        mixed = t5.copy_backbone(
            backbone, t5.backbone_config(backbone), "mixed_bfloat16"
        )
        again = served_backbone(mixed, "float32")
        self.assertEqual(again.dtype_policy.name, "float32")
        for one, two in zip(
            backbone.get_weights(), again.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, two)

    def test_the_type_is_checked(self):
        with self.assertRaisesRegex(InputError, "Did you mean 'bfloat16'"):
            module("bfloat")


if __name__ == "__main__":
    absltest.main()
