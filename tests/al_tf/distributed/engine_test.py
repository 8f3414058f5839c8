"""Engines: costs, failures, and arguments that nobody changes."""

import numpy as np
from absl.testing import absltest

from al_tf.distributed import engine as engines
from al_tf.distributed.engine import LocalEngine
from al_tf.inputs.checks import BadRows, refuse_rows
from runkit import InputError


class LocalEngineTest(absltest.TestCase):
    def test_outputs_in_order_and_what_they_cost(self):
        engine = LocalEngine()

        def split(n):
            return np.zeros(n), (np.zeros(2 * n), [np.zeros(1)])

        made = engine.map("a stage", split, [(1,), (3,)], returns=2, keeps=1)
        self.assertLen(engine.get([made[1][0]])[0], 3)
        cost = engine.costs["a stage"]
        # By hand: (2 + 1) and (6 + 1) numbers of 8 bytes.
        self.assertEqual(
            (cost.tasks, cost.message_bytes, cost.largest_message), (2, 80, 56)
        )

    def test_a_task_that_raises_once_is_called_again(self):
        calls = []

        def unsure(value):
            calls.append(value)
            if len(calls) == 1:
                raise OSError("no disk")
            return value

        self.assertEqual(LocalEngine().map("stage", unsure, [(5,)]), [5])

    def test_one_that_raises_twice_is_named(self):
        def bad(value):
            return 1 // value

        with self.assertRaisesRegex(
            InputError, "stage, part 1: failed 2 times: ZeroDivisionError"
        ):
            LocalEngine().map("stage", bad, [(1,), (0,)])

    def test_a_refusal_comes_as_it_is_and_at_once(self):
        calls = []

        def picky(rows):
            calls.append(0)
            refuse_rows(rows < 0, "negative", where="rows", first=10)

        with self.assertRaises(BadRows) as raised:
            LocalEngine().map("stage", picky, [(np.array([1, -1]),)])
        self.assertEqual(raised.exception.rows.tolist(), [11])
        self.assertLen(calls, 1)

    def test_outputs_cannot_be_changed(self):
        engine = LocalEngine()
        made = engine.map("stage", np.zeros, [(3,)])[0]
        with self.assertRaises(ValueError):
            made[0] = 1

    def test_a_state_is_made_once_and_lazily(self):
        made, done = [], []

        def make():
            made.append(0)
            return 10

        engine = LocalEngine()
        self.assertEqual(engine.map_with_state("s", make, max, []), [])
        self.assertEmpty(made)
        found = engine.map_with_state(
            "s",
            make,
            lambda state, value: state + value,
            [(1,), (2,)],
            lambda number, result: done.append((number, result)),
        )
        self.assertEqual(found, [11, 12])
        self.assertEqual(done, [(0, 11), (1, 12)])
        self.assertLen(made, 1)
        self.assertEqual(engine.costs["s"].tasks, 2)
        ((_, worker),) = engine.workers.items()
        self.assertEqual(worker.tasks, 2)

    def test_a_state_that_cannot_be_made_is_told(self):
        def make():
            raise InputError("no model", where="there")

        with self.assertRaisesRegex(InputError, "there: no model"):
            LocalEngine().map_with_state("s", make, max, [(1,)])

    def test_what_this_machine_can_give(self):
        found = LocalEngine().worker_bytes()
        self.assertBetween(found, 2**20, 2**50)

    def test_a_worker_of_another_version(self):
        with (
            absltest.mock.patch.object(engines, "__version__", "0.0.1"),
            absltest.mock.patch.object(
                engines, "run_task", lambda *_: (_receipt("0.0.2"), 0)
            ),
            self.assertRaisesRegex(InputError, "another version.*0.0.2"),
        ):
            LocalEngine().map("stage", np.zeros, [(3,)])


def _receipt(version):
    return engines.Receipt((0,), 0.0, 0.0, 0, version)


if __name__ == "__main__":
    absltest.main()
