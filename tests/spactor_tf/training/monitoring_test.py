"""What a log line says: in the terminal, in metrics.jsonl, in TensorBoard."""

import pathlib

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.config.pretrain import OptimizerConfig
from spactor_tf.training.metrics_log import MetricsLog, read_metrics
from spactor_tf.training.monitoring import (
    callback_figures,
    check_callbacks,
    progress_note,
    watched_by,
)
from spactor_tf.training.optimizers import build_schedule


class NoteTest(absltest.TestCase):
    def test_it_tells_rate_norm_and_tokens(self):
        record = {
            "step": 50,
            "stage": "hybrid",
            "loss": 12.3456,
            "learning_rate": 0.01,
            "gradient_norm": 0.98765,
            "tokens_seen": 1234567,
            "tokens_per_second": 1000.4,
        }
        self.assertEqual(
            progress_note(record),
            "hybrid loss=12.346 learning_rate=0.01 gradient_norm=0.988 "
            "tokens_seen=1,234,567 1,000 tokens/s",
        )

    def test_figures_that_a_line_lacks_are_left_out(self):
        record = {"step": 1, "stage": "finetune", "loss": 1.0}
        self.assertEqual(progress_note(record), "finetune loss=1.000")


class LogTest(absltest.TestCase):
    def test_lines_and_tensorboard_hold_the_same(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        log = MetricsLog(folder)
        log.resume(0, [])
        # A call of one step, then one of two.
        log.add({"loss": np.ones(1), "gradient_norm": np.ones(1) / 2})
        log.add({"loss": np.array([3, 5]), "gradient_norm": np.array([1, 3])})
        log.write(3, "hybrid", learning_rate=0.25, tokens_seen=4096)
        expected = {
            "loss": 3.0,
            "gradient_norm": 1.5,
            "learning_rate": 0.25,
            "tokens_seen": 4096,
        }
        (record,) = read_metrics(folder / "metrics.jsonl")
        self.assertEqual(record, {"step": 3, "stage": "hybrid", **expected})
        (path,) = (folder / "tensorboard").iterdir()
        found = {
            value.tag: float(tf.make_ndarray(value.tensor))
            for event in tf.compat.v1.train.summary_iterator(str(path))
            for value in event.summary.value
        }
        self.assertEqual(found, expected)

    def test_only_a_last_line_may_be_cut_off(self):
        path = pathlib.Path(self.create_tempdir().full_path) / "metrics.jsonl"
        path.write_bytes(b'{"step": 1}\n{"st')
        self.assertEqual(read_metrics(path), [{"step": 1}])
        with self.assertRaisesRegex(InputError, "line 2: is a broken line"):
            read_metrics(path, is_finished=True)
        for broken in (b"{", b"[]", b"{}", b'{"step": "1"}', b"\xff"):
            path.write_bytes(broken + b'\n{"step": 2}\n')
            with self.assertRaisesRegex(InputError, "line 1: is a broken"):
                read_metrics(path)


class Recorder(keras.callbacks.Callback):
    """Keeps what it is called with."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append(("begin", dict(self.params)))

    def on_test_end(self, logs=None):
        self.calls.append(("test", logs))

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append((batch, logs))

    def on_train_end(self, logs=None):
        self.calls.append(("end",))


class CallbacksTest(absltest.TestCase):
    def test_begin_lines_and_end(self):
        recorder, model = Recorder(), keras.Sequential()
        with watched_by([recorder], model, 4, 8) as watchers:
            self.assertIs(recorder.model, model)
            watchers.on_test_begin()
            watchers.on_test_end({"heldout_sc_loss": 1.0})
            watchers.on_train_batch_end(5, {"loss": 2.0})
        params = {"first_step": 4, "steps": 8, "epochs": 1}
        self.assertEqual(
            recorder.calls,
            [
                ("begin", params),
                ("test", {"heldout_sc_loss": 1.0}),
                (5, {"loss": 2.0}),
                ("end",),
            ],
        )

    def test_the_end_is_told_of_a_run_that_fails(self):
        recorder = Recorder()
        with (
            self.assertRaises(ZeroDivisionError),
            watched_by([recorder], keras.Sequential(), 0, 8),
        ):
            raise ZeroDivisionError
        self.assertEqual(recorder.calls[-1], ("end",))

    def test_callbacks_get_the_numbers_of_a_line(self):
        record = {"step": 5, "stage": "hybrid", "loss": 1.5, "tokens_seen": 9}
        self.assertEqual(
            callback_figures(record), {"loss": 1.5, "tokens_seen": 9}
        )

    def test_what_is_no_callback_is_refused(self):
        check_callbacks([Recorder()])
        for wrong in (Recorder, print, None):
            with self.assertRaisesRegex(InputError, "callbacks: is not a cal"):
                check_callbacks([Recorder(), wrong])


class ScheduleTest(parameterized.TestCase):
    @parameterized.parameters(
        ("constant", 0, 0, 0.5),
        ("constant", 1, 4, 0.25),  # Second of four steps of warm-up.
        ("linear", 25, 0, 0.375),  # A quarter of 100 steps is done.
        ("cosine", 50, 0, 0.25),
        ("inverse_sqrt", 16, 0, 0.125),
        ("inverse_sqrt", 3, 0, 0.25),  # Flat up to step 4.
    )
    def test_rates_by_hand(self, name, step, warmup, rate):
        config = OptimizerConfig(
            schedule=name,
            learning_rate=0.5,
            warmup_steps=warmup,
            decay_start_step=4,
        )
        found = float(build_schedule(config, 100)(step))
        self.assertAlmostEqual(found, rate, places=6)


if __name__ == "__main__":
    absltest.main()
