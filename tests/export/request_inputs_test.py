"""What a client may send: rows whose numbers arrive as they are."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from export.request_inputs import checked_inputs, tensor_proto
from runkit import InputError


class CheckedInputsTest(parameterized.TestCase):
    @parameterized.parameters(">f4", ">i8", ">f8", "<i2")
    def test_numbers_of_any_byte_order(self, dtype):
        rows = checked_inputs({"x": np.array([1, 2, 3], dtype)})["x"]
        sent = tf.make_ndarray(tensor_proto(rows))
        np.testing.assert_array_equal(sent, [1, 2, 3])

    @parameterized.parameters(
        ([["a"], ["b", "c"]], "rows of different lengths"),
        ([["a"], "b"], "rows of different lengths"),
        (np.array([["a"], ["b", "c"], None], object)[:2], "different lengths"),
        (np.ones(2, np.longdouble), "not a list of rows"),
        ([2**63, -1], "64 bits are too few"),
    )
    def test_refused(self, rows, message):
        with self.assertRaisesRegex(InputError, f"input x: .*{message}"):
            checked_inputs({"x": rows})

    def test_endless_lists(self):
        rows = ["a"]
        for _ in range(5000):
            rows = [rows]
        with self.assertRaisesRegex(InputError, "nested too deeply"):
            checked_inputs({"x": rows})

    def test_texts_of_any_length_in_rows_of_one_length(self):
        rows = checked_inputs({"x": [["a", "bcd"], ["", b"e"]]})["x"]
        sent = tf.make_ndarray(tensor_proto(rows)).tolist()
        self.assertEqual(sent, [[b"a", b"bcd"], [b"", b"e"]])


if __name__ == "__main__":
    absltest.main()
