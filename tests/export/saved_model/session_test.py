"""Numbers that a signature's type cannot hold are refused, not wrapped."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from export.saved_model.session import SessionModel
from runkit import InputError

TYPES = ("int32", "int64", "float32")


class NumbersTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        path = pathlib.Path(
            cls.enterClassContext(tempfile.TemporaryDirectory())
        )
        module = tf.Module()
        tf.saved_model.save(
            module,
            str(path),
            {
                name: tf.function(
                    lambda x: {"y": tf.identity(x)}
                ).get_concrete_function(x=tf.TensorSpec([None], name))
                for name in TYPES
            },
        )
        cls.model = SessionModel(path)
        cls.addClassCleanup(cls.model.close)

    @parameterized.parameters(
        ("int32", [2**32 + 5], "x: .*out of.*range.*4294967301.*int32"),
        ("int32", np.array([2**63 + 5], np.uint64), "out of.*range"),
        ("int64", np.array([2**64 - 1], np.uint64), "out of.*range"),
        ("float32", [1e39], r"out of.*range.*1e\+39.*float32"),
        ("int32", [[1], [1, 2]], "wrong type"),
        ("int32", [1.0], "wrong type"),
        ("int32", [True], "wrong type"),
    )
    def test_refused(self, signature, value, message):
        with self.assertRaisesRegex(InputError, message):
            self.model.run(signature, {"x": value})

    @parameterized.parameters(
        ("int32", [-(2**31), 2**31 - 1]),
        ("int64", np.array([5], np.uint64)),
        ("float32", [1e38, np.inf, -np.inf, np.nan]),
        ("int32", []),
        ("int64", []),
        ("float32", []),
    )
    def test_taken_as_they_are(self, signature, value):
        found = self.model.run(signature, {"x": value})["y"]
        self.assertEqual(found.dtype, signature)
        np.testing.assert_array_equal(found, np.array(value, signature))


if __name__ == "__main__":
    absltest.main()
