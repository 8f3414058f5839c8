"""Several steps in one call, against one step a call: the same run."""

import functools
import os
import pathlib
import signal
import tempfile
from unittest import mock

import numpy as np
import pytest
from absl.testing import absltest

from runkit.errors import InterruptedRun
from spactor_tf.config.fields import override
from spactor_tf.training import pretrain_run as training
from spactor_tf.training.checkpointing import CheckpointStore
from spactor_tf.training.metrics_log import MetricsLog
from tests.support import testing

STEPS, TRANSITION = 30, 13
LOG, EVALUATE, SAVE = 4, 9, 7


class Stopped(BaseException):
    """Stands for the end of the process."""


def watched(calls, then=lambda: None):
    """Patches the log: appends the number of steps of each call."""
    add = MetricsLog.add

    def counting(self, metrics):
        calls.append(len(metrics["loss"]))
        then()
        add(self, metrics)

    return mock.patch.object(MetricsLog, "add", counting)


class StepsPerExecutionTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.base = pathlib.Path(folder.name)
        cls.config = testing.tiny_config(
            **{
                "data.dataset": testing.write_corpus(cls.base),
                "objective.transition_step": TRANSITION,
                "optimizer.momentum": 0.9,
                "optimizer.clip_norm": 0.5,
                "model.dropout": 0.1,
                "runtime.log_every": LOG,
                "runtime.eval_every": EVALUATE,
                "runtime.checkpoint_every": SAVE,
                "runtime.eval_batches": 1,
                "train_steps": STEPS,
            }
        )
        cls.one = cls.run_once("one", 1)

    @classmethod
    def run_once(cls, name, steps_per_execution):
        fields = {"runtime.steps_per_execution": steps_per_execution}
        return training.pretrain(
            override(cls.config, fields), cls.base / name, cls.base / "cache"
        )

    def assert_same_run(self, folder):
        self.assertEqual(
            testing.without_timings(folder), testing.without_timings(self.one)
        )
        mine, expected = map(testing.final_arrays, (folder, self.one))
        self.assertEqual(set(mine), set(expected))
        for name, value in expected.items():
            np.testing.assert_array_equal(mine[name], value, err_msg=name)

    def test_bits_lines_and_pauses_are_those_of_single_steps(self):
        calls = []
        with watched(calls):
            folder = self.run_once("ten", 10)
        self.assert_same_run(folder)
        # A call ends at each line, evaluation, save and at the transition.
        pauses = {TRANSITION, STEPS} | {
            step
            for every in (LOG, EVALUATE, SAVE)
            for step in range(every, STEPS, every)
        }
        self.assertEqual(np.cumsum(calls).tolist(), sorted(pauses))
        self.assertEqual(
            CheckpointStore(folder).steps(), CheckpointStore(self.one).steps()
        )

    @pytest.mark.slow
    def test_no_call_is_longer_than_asked_for(self):
        calls = []
        with watched(calls):
            self.assert_same_run(self.run_once("two", 2))
        self.assertEqual(max(calls), 2)
        self.assertEqual(sum(calls), STEPS)

    @pytest.mark.slow
    def test_a_killed_and_a_stopped_run_go_on_exactly(self):
        calls = []

        def crash():
            if len(calls) == 6:  # Before a line behind a save.
                raise Stopped

        with watched(calls, crash), self.assertRaises(Stopped):
            self.run_once("broken", 3)
        saved = CheckpointStore(self.base / "broken").steps()[-1]
        self.assertGreater(saved, 0)
        self.assertGreater(sum(calls), saved)
        # Saves after the first call.
        terminate = functools.partial(os.kill, os.getpid(), signal.SIGTERM)
        with watched([], terminate), self.assertRaises(InterruptedRun):
            self.run_once("broken", 10)
        self.assert_same_run(self.run_once("broken", 5))


if __name__ == "__main__":
    absltest.main()
