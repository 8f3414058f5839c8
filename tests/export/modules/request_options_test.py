"""Options of a request against exports with the same options fixed."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from export.c_api.library import TensorFlowError
from export.modules.options import ServingOptions
from export.modules.t5_module import ServingModule
from export.saved_model import verify
from export.saved_model.session import SessionModel
from export.saved_model.write import export_saved_model
from tests.support import serving_models

LIMITS = {"input_length": 24, "max_output_length": 6, "num_beams": 3}
TEXTS = ["dada zuzu, number 3.", "", "so it goes " * 3, "lala", "dada lala"]
REQUEST = {
    "text": TEXTS,
    "max_length": [6, 5, 4, 6, 2],
    "temperature": [0.0, 2.0, 0.0, 0.0, 0.5],
    "seed": [0, 3, 0, 0, 2**31 - 1],
    "num_beams": [1, 1, 3, 2, 1],
}
TYPES = {
    "text": tf.string,
    "max_length": tf.int32,
    "temperature": tf.float32,
    "seed": tf.int64,
    "num_beams": tf.int32,
}


def module(**options):
    model = serving_models.pretrained()
    return ServingModule(
        model.backbone,
        model.vocabulary,
        ServingOptions(**{**LIMITS, **options}),
    )


@functools.cache
def served():
    return module(request_options=True)


def run(**changes):
    """The answer to the request with changes, by the graph."""
    inputs = {
        name: tf.constant(value, TYPES[name])
        for name, value in {**REQUEST, **changes}.items()
    }
    answer = served().generate_with_options(**inputs)
    return {name: value.numpy() for name, value in answer.items()}


def fixed(row):
    """The answer of a module whose fixed options are those of a row."""
    values = {name: value[row] for name, value in REQUEST.items()}
    decoding = "greedy"
    if values["num_beams"] > 1:
        decoding = "beam"
    elif values["temperature"] > 0:
        decoding = "temperature"
    one = module(
        decoding=decoding,
        max_output_length=values["max_length"],
        temperature=values["temperature"] or 1.0,
        seed=values["seed"],
        num_beams=values["num_beams"],
    )
    answer = one.generate(tf.constant([values["text"]]))
    return {name: value.numpy()[0] for name, value in answer.items()}


class RequestOptionsTest(parameterized.TestCase):
    def test_each_row_as_if_exported_with_its_options(self):
        found = run()
        for row in range(len(TEXTS)):
            expected = fixed(row)
            self.assertEqual(found["text"][row], expected["text"])
            self.assertEqual(found["finished"][row], expected["finished"])
            self.assertAlmostEqual(
                found["score"][row], expected["score"], places=4
            )

    def test_rows_do_not_influence_each_other(self):
        together = run()
        for row in range(len(TEXTS)):
            alone = run(**{k: v[row : row + 1] for k, v in REQUEST.items()})
            self.assertEqual(together["text"][row], alone["text"][0])

    def test_empty_batch(self):
        for value in run(**dict.fromkeys(REQUEST, [])).values():
            self.assertLen(value, 0)

    @parameterized.parameters(
        ("max_length", 0, "max_length: is out of range; expected 1 to 6"),
        ("max_length", 7, "max_length: .* got.*7"),
        ("temperature", -0.5, "temperature: is out of range"),
        ("temperature", float("nan"), "temperature: is out of range"),
        ("temperature", float("inf"), "temperature: is out of range"),
        ("seed", -1, "seed: is out of range"),
        ("seed", 2**31, "seed: is out of range"),
        ("num_beams", 0, "num_beams: is out of range; expected 1 to 3"),
        ("num_beams", 4, "num_beams: .* got.*4"),
        ("num_beams", 2, "temperature: must be 0 where num_beams is above 1"),
    )
    def test_out_of_range(self, name, value, message):
        values = list(REQUEST[name])
        values[1] = value  # The row with a temperature.
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, message):
            run(**{name: values})

    def test_exported_verified_and_refused_by_name(self):
        model = serving_models.pretrained()
        options = ServingOptions(**LIMITS, request_options=True)
        folder = self.create_tempdir().full_path
        path = export_saved_model(model, folder, 1, options=options)
        self.assertIn(
            "generate_with_options", verify.verify_saved_model(path).signatures
        )
        session = SessionModel(path)
        found = session.run("generate_with_options", REQUEST)
        np.testing.assert_array_equal(found["text"], run()["text"])
        with self.assertRaisesRegex(
            TensorFlowError, "max_length: is out of range"
        ):
            session.run(
                "generate_with_options", {**REQUEST, "max_length": [9] * 5}
            )

    def test_absent_by_default(self):
        self.assertNotIn("generate_with_options", module().signature_names)


if __name__ == "__main__":
    absltest.main()
