"""Large requests: run in parts, bounded in rows, memory and time."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import tempfile
import time

import numpy as np
from absl.testing import absltest, parameterized
from google.protobuf import text_format

from export.dev_server.options import ServerOptions
from export.saved_model import protos
from export.servables.batching import Batcher
from export.servables.servable import Servable
from runkit import InputError
from tests.support import served, serving_models


class PartsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.base = pathlib.Path(folder) / "toy"
        serving_models.write_toy(cls.base, 1)

    def servable(self, batching, pause=0.0, **limits):
        """Returns (servable, sizes of the model's calls)."""
        sizes = []

        def make(run):
            return Batcher(run, limits.get("rows_per_call", 64), 0.0)

        servable = Servable(
            self.base / "1", make if batching else None, **limits
        )
        self.addCleanup(servable.close)
        call = servable.model._calls["embed"]

        def noted(text):
            sizes.append(len(text))
            time.sleep(pause)
            return call(text)

        servable.model._calls["embed"] = noted
        return servable, sizes

    @parameterized.product(
        batching=(True, False),
        case=(
            (0, [0]),
            (1, [1]),
            (64, [64]),
            (65, [64, 1]),
            (128, [64, 64]),
            (200, [64, 64, 64, 8]),
        ),
    )
    def test_calls_of_a_request(self, batching, case):
        rows, calls = case
        servable, sizes = self.servable(batching)
        texts = ["x" * (i % 300) for i in range(rows)]
        found = servable.predict("embed", {"text": texts})["embedding"]
        self.assertEqual(found.shape, (rows, 2))
        self.assertEqual(found[:, 0].tolist(), [len(text) for text in texts])
        self.assertEqual(sizes, calls)

    @parameterized.parameters(True, False)
    def test_too_many_rows(self, batching):
        servable, sizes = self.servable(
            batching, rows_per_call=4, rows_per_request=10
        )
        servable.predict("embed", {"text": ["a"] * 10})
        with self.assertRaisesRegex(
            InputError, "too many rows; got 11; expected <= 10.*several"
        ):
            servable.predict("embed", {"text": ["a"] * 11})
        self.assertEqual(sum(sizes), 10)

    @parameterized.parameters(True, False)
    def test_past_the_deadline_no_part_is_begun(self, batching):
        servable, sizes = self.servable(batching, 0.05, rows_per_call=1)
        with self.assertRaises(TimeoutError):
            servable.predict("embed", {"text": ["a"] * 1000}, 0.2)
        begun = len(sizes)
        self.assertLess(begun, 10)
        servable.close()
        self.assertLessEqual(len(sizes), begun + 1)  # One was in the queue.

    def test_a_large_request_leaves_room_in_the_queue(self):
        servable, sizes = self.servable(True, rows_per_call=1)
        answer = servable.predict("embed", {"text": ["a"] * 3000})
        self.assertLen(answer["embedding"], 3000)
        self.assertLen(sizes, 3000)  # Never more than two in the queue.


class ServerTest(served.ServerCase):
    def test_many_rows_over_rest(self):
        texts = ["x" * (i % 7) for i in range(20_000)]
        code, answer = self.rest("/v1/models/toy:predict", {"instances": texts})
        self.assertEqual(code, 200)
        found = np.array(answer["predictions"])[:, 0]
        np.testing.assert_array_equal(found, np.arange(20_000) % 7)

    def test_more_rows_than_a_request_has(self):
        texts = ["x"] * (ServerOptions.max_request_rows + 1)
        code, answer = self.rest("/v1/models/toy:predict", {"inputs": texts})
        self.assertEqual(code, 400)
        self.assertIn("too many rows", answer["error"])
        self.assertEqual(
            self.code(self.stub.Predict, served.predict_request(texts)),
            "INVALID_ARGUMENT",
        )
        self.assert_serves()

    def test_the_limits_are_those_of_the_exported_configuration(self):
        exported = text_format.Parse(
            (self.base / "batching.config").read_text(),
            protos.batching_parameters(),
        )
        options = ServerOptions()
        self.assertEqual(
            (options.max_request_rows, options.max_batch_size),
            (
                exported.max_batch_size.value,
                exported.max_execution_batch_size.value,
            ),
        )


if __name__ == "__main__":
    absltest.main()
