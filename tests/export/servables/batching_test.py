"""Requests that are joined into one run of the model."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import threading
import time

import numpy as np
from absl.testing import absltest

from export.servables.batching import Batcher, QueueFull, Slots


def texts(*lengths):
    return np.array([b"x" * length for length in lengths], object)


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
        batcher.submit({"x": np.array([4])})  # In its place.
        with self.assertRaises(QueueFull):
            batcher.submit({"x": np.array([5])})
        go.set()
        batcher.close()
        self.assertEqual(seen, [0, 2, 4])

    def test_texts_of_similar_length_share_a_call(self):
        calls, began, go = [], threading.Event(), threading.Event()

        def run(inputs):
            began.set()
            go.wait(10)
            calls.append([len(text) for text in inputs["text"]])
            return {"length": np.array(calls[-1])}

        batcher = Batcher(run, timeout_seconds=0.0)
        lengths = [900, 1000, 10, 700, 1100, 40, 81, 900, 900]
        answers = [batcher.submit({"text": texts(lengths[0])})]
        self.assertTrue(began.wait(10))
        answers += [batcher.submit({"text": texts(n)}) for n in lengths[1:]]
        go.set()
        found = [int(answer.result(10)["length"][0]) for answer in answers]
        batcher.close()
        self.assertEqual(found, lengths)
        # Each call takes the oldest request; 30 bytes of padding are cheaper
        # than another call, 100 are not.
        self.assertEqual(
            calls, [[900], [1000], [10, 40], [700], [1100], [81], [900, 900]]
        )

    def test_other_shapes_of_rows_are_calls_of_their_own(self):
        began, go = threading.Event(), threading.Event()

        def run(inputs):
            began.set()
            go.wait(10)
            return {"y": inputs["x"]}

        batcher = Batcher(run, timeout_seconds=0.0)
        rows = [np.ones([1, width]) for width in (2, 2, 3, 2)]
        answers = [batcher.submit({"x": rows[0]})]
        self.assertTrue(began.wait(10))
        answers += [batcher.submit({"x": row}) for row in rows[1:]]
        go.set()
        shapes = [answer.result(10)["y"].shape for answer in answers]
        batcher.close()
        self.assertEqual(shapes, [(1, 2), (1, 2), (1, 3), (1, 2)])

    def test_the_rows_of_a_call_are_bounded_for_the_oldest_too(self):
        calls, began, go = [], threading.Event(), threading.Event()

        def run(inputs):
            began.set()
            go.wait(10)
            calls.append(inputs["x"].tolist())
            return inputs

        batcher = Batcher(run, 4, 0.0)
        answers = [batcher.submit({"x": np.array([0])})]
        self.assertTrue(began.wait(10))
        answers += [batcher.submit({"x": np.array([i])}) for i in range(1, 7)]
        go.set()
        found = [int(answer.result(10)["x"][0]) for answer in answers]
        batcher.close()
        self.assertEqual(found, list(range(7)))
        # Full calls first, and the oldest in them.
        self.assertEqual(calls, [[0], [1, 2, 3, 4], [5, 6]])

    def test_slots_bound_the_batches_of_several_batchers(self):
        lock, go = threading.Lock(), threading.Event()
        running, most, two = [], [], threading.Event()

        def run(inputs):
            with lock:
                running.append(1)
                most.append(len(running))
                if len(running) == 2:
                    two.set()
            go.wait(10)
            with lock:
                running.pop()
            return inputs

        slots = Slots(2)
        batchers = [
            Batcher(run, 1, 0.0, threads=2, slots=slots) for _ in range(2)
        ]
        answers = [
            batcher.submit({"x": np.array([i])})
            for i in range(3)
            for batcher in batchers
        ]
        self.assertTrue(two.wait(10))
        go.set()
        found = [int(answer.result(10)["x"][0]) for answer in answers]
        for batcher in batchers:
            batcher.close()
        self.assertEqual(found, [0, 0, 1, 1, 2, 2])
        self.assertEqual(max(most), 2)

    def test_slots_go_in_the_order_of_asking(self):
        slots, order = Slots(1), []

        def ask(name):
            with slots:
                order.append(name)

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(3)]
        with slots:
            for asked, thread in enumerate(threads, 1):
                thread.start()
                while slots.waiting < asked:
                    time.sleep(0.001)
        for thread in threads:
            thread.join(10)
        self.assertEqual(order, [0, 1, 2])

    def test_a_busy_batcher_leaves_turns_to_others(self):
        # Both ask for the only place; whoever gives it back goes to the end.
        slots, calls, began = Slots(1), [], threading.Event()
        go = threading.Event()

        def run_as(name):
            def run(inputs):
                began.set()
                go.wait(10)
                calls.append(name)
                return inputs

            return run

        busy = Batcher(run_as("busy"), 1, 0.0, slots=slots)
        other = Batcher(run_as("other"), 1, 0.0, slots=slots)
        answers = [busy.submit({"x": np.array([i])}) for i in range(50)]
        self.assertTrue(began.wait(10))
        answers.append(other.submit({"x": np.array([0])}))
        while not slots.waiting:
            time.sleep(0.001)
        go.set()
        for answer in answers:
            answer.result(10)
        busy.close()
        other.close()
        self.assertEqual(calls[:3], ["busy", "other", "busy"])

    def test_a_request_that_cannot_be_joined_fails_alone(self):
        def observe(rows):
            if rows > 1:
                raise MemoryError("no room to join")

        batcher = Batcher(lambda inputs: inputs, 4, 0.01, observe=observe)
        answers = [batcher.submit({"x": np.array([i])}) for i in range(4)]
        found = [int(answer.result(10)["x"][0]) for answer in answers]
        batcher.close()
        self.assertEqual(found, [0, 1, 2, 3])


if __name__ == "__main__":
    absltest.main()
