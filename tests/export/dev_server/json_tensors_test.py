"""Numbers and texts of TF Serving's JSON."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import ctypes
import ctypes.util
import math

import hypothesis
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import strategies
from hypothesis.extra import numpy as arrays

from export.dev_server.errors import ServiceError
from export.dev_server.json_tensors import parse_body
from export.dev_server.tensors import decimals, predict_body


def printed(value, digits):
    """Prints a number as C does, which TF Serving's formats rest on."""
    libc = ctypes.CDLL(ctypes.util.find_library("c"))
    buffer = ctypes.create_string_buffer(64)
    libc.snprintf(buffer, 64, b"%.*g", digits, ctypes.c_double(float(value)))
    return buffer.value.decode()


class NumbersTest(absltest.TestCase):
    @hypothesis.settings(deadline=None, max_examples=300)
    @hypothesis.given(
        arrays.arrays(
            np.float32,
            strategies.integers(0, 5),
            elements=strategies.floats(width=32, allow_nan=False),
        )
    )
    def test_digits(self, value):
        for number, found in zip(value, decimals(value), strict=True):
            self.assertEqual(np.float32(found), number)
            if math.isfinite(number):
                short = printed(number, 6)
                enough = np.float32(short) == number
                text = short if enough else printed(number, 9)
                self.assertEqual(found, float(text))

    def test_shapes_and_nan(self):
        value = np.array([[np.nan, 0.1], [np.inf, -0.0]], np.float32)
        (first, second) = predict_body({"y": value}, True)["predictions"]
        self.assertTrue(math.isnan(first[0]))
        self.assertEqual([first[1], second], [0.1, [math.inf, -0.0]])
        empty = np.zeros((0, 3), np.float32)
        self.assertEqual(predict_body({"y": empty}, False), {"outputs": []})

    def test_outputs_that_are_no_rows(self):
        scalar = np.float32(1.0).reshape(())
        for outputs in (
            {"y": scalar},
            {"y": np.zeros(2), "z": np.zeros(3)},
            {"y": np.zeros(2), "z": scalar},
        ):
            with self.assertRaisesRegex(ServiceError, "inconsistent"):
                predict_body(outputs, True)
        self.assertEqual(predict_body({"y": scalar}, False), {"outputs": 1.0})


class BodiesTest(parameterized.TestCase):
    @hypothesis.settings(deadline=None, max_examples=300)
    @hypothesis.given(strategies.binary(max_size=200))
    def test_any_bytes_are_an_object_or_refused(self, data):
        try:
            self.assertIsInstance(parse_body(data), dict)
        except ServiceError as error:
            self.assertEqual(error.code, "INVALID_ARGUMENT")

    @parameterized.parameters(
        b'{"instances": ["a"], "instances": ["b"]}',
        b'{"instances": [{"text": "a", "text": "b"}]}',
    )
    def test_a_name_that_stands_twice_is_refused(self, body):
        with self.assertRaisesRegex(ServiceError, "names '[a-z]+' twice"):
            parse_body(body)


if __name__ == "__main__":
    absltest.main()
