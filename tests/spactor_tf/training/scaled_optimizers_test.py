"""AdamW, Muon and schedule-free AdamW against numpy references."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib
import math
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.config.pretrain import OPTIMIZERS, OptimizerConfig
from spactor_tf.model import losses
from spactor_tf.model.curriculum import Stage
from spactor_tf.model.pretrainer import SpactorPretrainer
from spactor_tf.training.optimizers import Schedule, build_optimizer
from spactor_tf.training.pretrain_run import pretrain
from spactor_tf.training.scaled_optimizers import evaluation_weights
from tests.support import testing
from tests.support.isolated import FolderTestCase

ROOT = pathlib.Path(__file__).resolve().parents[3]
STEPS = 6
RATE = 0.02


def rms(value):
    return np.sqrt(np.mean(np.square(value)))


def gradients(shape, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((STEPS, *shape))


def ours(name, start, grads, **fields):
    """Values of a variable after each step of the named optimizer."""
    config = OptimizerConfig(
        name=name, schedule="constant", learning_rate=RATE, **fields
    )
    variable = keras.Variable(np.float32(start), name="kernel")
    optimizer = build_optimizer(config, STEPS)
    values = []
    for gradient in grads:
        optimizer.apply([tf.constant(np.float32(gradient))], [variable])
        values.append(variable.numpy())
    return np.stack(values), optimizer


def adamw(start, grads, rate, beta_2=0.999, epsilon=1e-6, decay=0.0):
    """AdamWScale of nanoT5: the rate times max(1e-3, RMS of the parameter)."""
    x, m, v = np.float64(start), 0.0, 0.0
    values = []
    for step, gradient in enumerate(grads, 1):
        x = x - rate * decay * x
        m = 0.9 * m + 0.1 * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        size = rate * np.sqrt(1 - beta_2**step) / (1 - 0.9**step)
        x = x - size * max(1e-3, rms(x)) * m / (np.sqrt(v) + epsilon)
        values.append(x)
    return np.stack(values)


def orthogonalized(matrix):
    """Five Newton-Schulz iterations on the singular values alone."""
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    s = s / np.linalg.norm(matrix)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ np.diag(s) @ vt


def muon(start, grads, rate, decay=0.0):
    x, momentum = np.float64(start), 0.0
    values = []
    for gradient in grads:
        x = x - rate * decay * x
        momentum = 0.95 * momentum + gradient
        update = orthogonalized(gradient + 0.95 * momentum)
        x = x - rate * 0.2 * np.sqrt(max(x.shape)) * update
        values.append(x)
    return np.stack(values)


def schedule_free(start, grads, rate):
    """Returns (y, x): Defazio et al., with averages kept explicitly."""
    x = y = z = np.float64(start)
    v = 0.0
    ys, xs = [], []
    for step, gradient in enumerate(grads, 1):
        v = 0.999 * v + 0.001 * gradient**2
        size = rate * max(1e-3, rms(y))
        z = z - size * gradient / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        x = x + (z - x) / step
        y = 0.1 * z + 0.9 * x
        ys.append(y)
        xs.append(x)
    return np.stack(ys), np.stack(xs)


class ReferenceTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(0)
        self.matrix = rng.standard_normal((6, 10)) * 0.1
        self.vector = rng.standard_normal(7)

    def assert_close(self, found, expected):
        self.assertGreater(np.abs(expected[-1] - expected[0]).max(), 1e-3)
        # In float32 1 - 0.999^step is off by 3e-5, and so is an update of 0.06.
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    @parameterized.parameters(0.0, 0.1)
    def test_scaled_adamw(self, decay):
        for start in (self.matrix, self.vector, np.full((3, 2), 1e-6)):
            grads = gradients(np.shape(start))
            found, _ = ours("adamw_scaled", start, grads, weight_decay=decay)
            expected = adamw(start, grads, RATE, decay=decay)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
        found, _ = ours("adamw_scaled", 10 * self.matrix, gradients((6, 10)))
        self.assert_close(
            found, adamw(10 * self.matrix, gradients((6, 10)), RATE)
        )

    @parameterized.parameters(((6, 10), 0.0), ((10, 6), 0.0), ((8, 8), 0.1))
    def test_muon_orthogonalizes_the_momentum_of_matrices(self, shape, decay):
        start = np.random.default_rng(2).standard_normal(shape)
        grads = gradients(shape)
        found, _ = ours("muon", start, grads, weight_decay=decay)
        self.assert_close(found, muon(start, grads, RATE, decay))

    @parameterized.parameters(
        ((7,), ("layer_norm",)),
        ((6, 4), ("token_embedding",)),
        ((6, 1), ("replaced_token_head", "out")),
    )
    def test_muon_leaves_the_rest_to_scaled_adamw(self, shape, scopes):
        start = np.random.default_rng(3).standard_normal(shape)
        grads = gradients(shape)
        with contextlib.ExitStack() as stack:
            for scope in scopes:
                stack.enter_context(keras.name_scope(scope))
            found, _ = ours("muon", start, grads, rest_rate=3.0)
        self.assert_close(found, adamw(start, grads, 3 * RATE))

    def test_schedule_free_trains_y_and_evaluates_x(self):
        grads = gradients((6, 10))
        found, optimizer = ours("schedule_free", self.matrix, grads)
        ys, xs = schedule_free(self.matrix, grads, RATE)
        self.assert_close(found, ys)
        ((variable, average),) = optimizer.averages()
        np.testing.assert_allclose(average, xs[-1], rtol=1e-4, atol=1e-6)
        with evaluation_weights(optimizer):
            np.testing.assert_array_equal(variable.numpy(), average)
        np.testing.assert_array_equal(variable.numpy(), found[-1])
        self.assertGreater(np.abs(average - found[-1]).max(), 1e-5)

    def test_other_optimizers_evaluate_what_they_train(self):
        _, optimizer = ours("adamw_scaled", self.vector, gradients((7,)))
        variable = optimizer.variables[-1]
        before = variable.numpy()
        with evaluation_weights(optimizer):
            np.testing.assert_array_equal(variable.numpy(), before)


class ScheduleTest(parameterized.TestCase):
    @parameterized.parameters(
        ("cosine", 0, 2.0),
        ("cosine", 25, 1.7071068),
        ("cosine", 50, 1.0),
        ("cosine", 100, 0.0),
        ("cosine", 150, 0.0),
        ("linear", 25, 1.5),
        ("linear", 100, 0.0),
        ("constant", 99, 2.0),
        ("inverse_sqrt", 25, 0.4),
    )
    def test_rate_of_a_step(self, schedule, step, expected):
        rate = Schedule(schedule, 2.0, 4, train_steps=100)(step)
        np.testing.assert_allclose(rate, expected, rtol=1e-6, atol=1e-7)

    def test_warm_up_is_linear_and_multiplies_the_decay(self):
        schedule = Schedule("cosine", 1.0, warmup_steps=50, train_steps=100)
        np.testing.assert_allclose(schedule(0), 1 / 50, rtol=1e-6)
        np.testing.assert_allclose(schedule(24), 0.5 * 0.864484, rtol=1e-5)
        np.testing.assert_allclose(schedule(50), 0.5, rtol=1e-6)


@parameterized.parameters("adamw_scaled", "muon", "schedule_free")
class RunTest(FolderTestCase):
    def config(self, name, **fields):
        return testing.tiny_config(
            **{
                "data.dataset": testing.write_corpus(self.folder),
                "optimizer.name": name,
                "optimizer.schedule": "cosine",
                "optimizer.learning_rate": 0.01,
                "optimizer.clip_norm": 0.5,
                "objective.transition_step": 3,
                **fields,
            }
        )

    @pytest.mark.slow
    def test_a_resumed_run_computes_the_same_bits(self, name):
        config = self.config(name)
        whole = self.folder / "whole"
        pretrain(config, whole, self.folder / "cache")
        killed = self.folder / "killed"
        pretrain(config, killed, self.folder / "cache")
        # As if the process had died after step 4 of 8.
        newest = killed / "checkpoints" / "step-00000008"
        (newest / "state.json").unlink()
        pretrain(config, killed, self.folder / "cache")
        self.assertEqual(
            testing.without_timings(killed), testing.without_timings(whole)
        )
        mine = testing.final_arrays(killed)
        for key, value in testing.final_arrays(whole).items():
            np.testing.assert_array_equal(mine[key], value, err_msg=key)


@pytest.mark.slow
class ReplicasTest(FolderTestCase):
    def train(self, strategy, name):
        path = self.folder / f"{strategy}.npz"
        worker = "tests.support.workers.replicas_worker"
        fields = [f"optimizer.name={name}", "optimizer.learning_rate=0.01"]
        subprocess.run(
            [sys.executable, "-m", worker, strategy, path, "UNEQUAL", *fields],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            check=True,
            timeout=540,
        )
        with np.load(path) as arrays:
            return dict(arrays)

    @parameterized.parameters("adamw_scaled", "muon", "schedule_free")
    def test_two_devices_equal_one(self, name):
        one, two = self.train("none", name), self.train("mirrored", name)
        np.testing.assert_allclose(two["losses"], one["losses"], rtol=2e-5)
        for key, value in one.items():
            np.testing.assert_allclose(
                two[key], value, rtol=1e-4, atol=2e-5, err_msg=key
            )


class ZLossTest(absltest.TestCase):
    # softmax of (0, log 3) is (1/4, 3/4), and Z is 4.
    logits = np.array([[[0.0, math.log(3.0)]] * 2], np.float32)
    targets = np.array([[0, 1]], np.int32)
    weights = np.array([[1.0, 0.5]], np.float32)

    def test_adds_the_square_of_log_z(self):
        plain = losses.token_cross_entropy(
            self.logits, self.targets, self.weights
        )
        with_z = losses.token_cross_entropy(
            self.logits, self.targets, self.weights, 0.1
        )
        added = float(with_z.total) - float(plain.total)
        self.assertAlmostEqual(added, 0.15 * math.log(4.0) ** 2, places=5)
        self.assertEqual(float(with_z.weight), 1.5)

    def test_is_trained_with_and_not_evaluated(self):
        config = testing.tiny_config(**{"objective.z_loss": 0.5})
        plain = testing.tiny_config()
        batch = {
            "encoder_tokens": tf.fill([2, 8], 20),
            "decoder_targets": tf.fill([2, 4], 30),
        }
        totals = {}
        for name, one in (("z", config), ("plain", plain)):
            model = SpactorPretrainer(one, testing.vocabulary())
            for training in (True, False):
                terms, _ = model.loss_terms(
                    batch, Stage.SPAN_CORRUPTION, training
                )
                totals[name, training] = float(terms["sc"].total)
        self.assertGreater(totals["z", True], totals["plain", True] + 1)
        self.assertEqual(totals["z", False], totals["plain", False])


class DoorTest(absltest.TestCase):
    def test_every_optimizer_takes_summed_gradients(self):
        for name in OPTIMIZERS:
            built = build_optimizer(OptimizerConfig(name=name), 10)
            self.assertTrue(built.takes_reduced_gradients, name)

    def test_averages_are_not_for_fine_tuning(self):
        config = FinetuneConfig(
            task="sst2",
            init_from="x",
            optimizer=OptimizerConfig(name="schedule_free"),
        )
        with self.assertRaisesRegex(InputError, "for pre-training only"):
            config.validate()


if __name__ == "__main__":
    absltest.main()
