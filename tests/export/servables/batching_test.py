"""Requests that are joined into one run of the model."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import threading

import numpy as np
from absl.testing import absltest

from export.servables.batching import Batcher, QueueFull


class BatcherTest(absltest.TestCase):
    def test_joins_what_waits(self):
        sizes, go = [], threading.Event()

        def run(inputs):
            go.wait(10)
            sizes.append(len(inputs["x"]))
            return {"y": inputs["x"] * 2}

        batcher = Batcher(run, max_batch_size=4, timeout_seconds=0.0)
        answers = [batcher.submit({"x": np.array([i])}) for i in range(9)]
        wide = batcher.submit({"x": np.arange(7)})
        go.set()
        self.assertEqual(
            [int(a.result(10)["y"][0]) for a in answers],
            [2 * i for i in range(9)],
        )
        self.assertEqual(wide.result(10)["y"].tolist(), [0, 2, 4, 6, 8, 10, 12])
        batcher.close()
        self.assertEqual(sum(sizes), 16)
        self.assertLess(len(sizes), 10)
        self.assertLessEqual(max(sizes[:-1]), 4)

    def test_bad_request_does_not_fail_its_neighbors(self):
        def run(inputs):
            if (inputs["x"] < 0).any():
                raise ValueError("negative")
            return {"y": inputs["x"]}

        batcher = Batcher(run, timeout_seconds=0.2)
        answers = [
            batcher.submit({"x": np.array([value])}) for value in (1, -1, 2)
        ]
        self.assertEqual(answers[0].result(10)["y"].tolist(), [1])
        self.assertEqual(answers[2].result(10)["y"].tolist(), [2])
        with self.assertRaisesRegex(ValueError, "negative"):
            answers[1].result(10)
        batcher.close()

    def test_full_queue_and_canceled_requests(self):
        began, go, seen = threading.Event(), threading.Event(), []

        def run(inputs):
            began.set()
            go.wait(10)
            seen.extend(inputs["x"].tolist())
            return inputs

        batcher = Batcher(run, 1, 0.0, max_waiting=2)
        batcher.submit({"x": np.array([0])})
        self.assertTrue(began.wait(10))
        waiting = [batcher.submit({"x": np.array([i])}) for i in (1, 2)]
        with self.assertRaises(QueueFull):
            batcher.submit({"x": np.array([3])})
        self.assertTrue(waiting[0].cancel())
        go.set()
        batcher.close()
        self.assertEqual(seen, [0, 2])


if __name__ == "__main__":
    absltest.main()
