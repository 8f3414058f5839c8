"""Losses, stages, schedules: hand-computed values."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.config.pretrain import ObjectiveConfig, OptimizerConfig
from spactor_tf.model import losses
from spactor_tf.model.curriculum import Stage, loss_weights, stage_at
from spactor_tf.training.optimizers import Schedule, build_optimizer
from tests.support.testing import tiny_config


class LossTest(absltest.TestCase):
    def test_cross_entropy_is_a_weighted_sum(self):
        # softmax of (0, log 3) is (1/4, 3/4).
        logits = np.array([[[0.0, math.log(3.0)]] * 3], np.float32)
        targets = np.array([[0, 1, 1]], np.int32)
        weights = np.array([[1.0, 1.0, 0.0]], np.float32)
        term = losses.token_cross_entropy(logits, targets, weights)
        expected = -math.log(0.25) - math.log(0.75)
        self.assertAlmostEqual(float(term.total), expected, places=5)
        self.assertEqual(float(term.weight), 2.0)

    def test_detection_loss_is_a_weighted_sum(self):
        logits = np.array([[0.0, 2.0, -3.0, 50.0, -80.0]], np.float32)
        replaced = np.array([[1.0, 0.0, 0.0, 1.0, 1.0]], np.float32)
        weights = np.array([[1.0, 1.0, 1.0, 1.0, 0.5]], np.float32)
        term = losses.replaced_token_detection(logits, replaced, weights)
        expected = (
            math.log(2.0)
            + math.log1p(math.exp(2.0))
            + math.log1p(math.exp(-3.0))
            + 0.0
            + 0.5 * 80.0
        )
        self.assertAlmostEqual(float(term.total), expected, places=4)
        self.assertEqual(float(term.weight), 4.5)


class StageTest(parameterized.TestCase):
    @parameterized.parameters(
        ("spactor", 0, Stage.HYBRID),
        ("spactor", 4, Stage.HYBRID),
        ("spactor", 5, Stage.SPAN_CORRUPTION),
        ("spactor", 19, Stage.SPAN_CORRUPTION),
        ("span_corruption", 0, Stage.SPAN_CORRUPTION),
        ("hybrid", 19, Stage.HYBRID),
        ("rtd", 0, Stage.REPLACED_TOKENS),
        ("rtd", 19, Stage.REPLACED_TOKENS),
    )
    def test_stage_of_a_step(self, name, step, expected):
        config = tiny_config(
            **{
                "objective.name": name,
                "objective.transition_step": 0.25,
                "train_steps": 20,
            }
        )
        found = stage_at(step, config.objective, config.transition_step)
        self.assertIs(found, expected)

    def test_transition_as_a_step_or_a_fraction(self):
        for value, expected in ((0.12, 120), (7, 7), (0, 0), (1000, 1000)):
            config = tiny_config(
                **{"objective.transition_step": value, "train_steps": 1000}
            )
            self.assertEqual(config.transition_step, expected)

    def test_weights_are_the_papers(self):
        objective = ObjectiveConfig()
        self.assertEqual(
            loss_weights(Stage.HYBRID, objective),
            {"mlm": 1.0, "rtd": 10.0, "sc": 10.0},
        )
        self.assertEqual(
            loss_weights(Stage.SPAN_CORRUPTION, objective), {"sc": 1.0}
        )
        self.assertNotIn("sc", loss_weights(Stage.REPLACED_TOKENS, objective))


class ScheduleTest(parameterized.TestCase):
    @parameterized.parameters(
        ("inverse_sqrt", 0, 0.01),
        ("inverse_sqrt", 10_000, 0.01),
        ("inverse_sqrt", 40_000, 0.005),
        ("constant", 77, 1.0),
        ("linear", 0, 1.0),
        ("linear", 25_000, 0.75),
        ("linear", 100_000, 0.0),
    )
    def test_rates(self, name, step, expected):
        schedule = Schedule(name, 1.0, 10_000, 0, 100_000)
        self.assertAlmostEqual(float(schedule(step)), expected, places=6)

    def test_warm_up_is_linear(self):
        schedule = Schedule("constant", 2.0, warmup_steps=4)
        rates = [float(schedule(step)) for step in range(6)]
        np.testing.assert_allclose(rates, [0.5, 1.0, 1.5, 2.0, 2.0, 2.0])

    def test_round_trip(self):
        schedule = Schedule("linear", 0.5, 7, 3, 11)
        again = Schedule.from_config(schedule.get_config())
        self.assertEqual(float(again(5)), float(schedule(5)))

    def test_optimizers_by_name(self):
        for name in ("adafactor", "adamw"):
            built = build_optimizer(OptimizerConfig(name=name), 10)
            self.assertTrue(built.takes_reduced_gradients)
        with self.assertRaisesRegex(InputError, "Did you mean 'adafactor'"):
            build_optimizer(OptimizerConfig(name="adafaktor"), 10)


if __name__ == "__main__":
    absltest.main()
