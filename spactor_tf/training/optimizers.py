"""Learning-rate schedules and optimizers from an OptimizerConfig."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from spactor_tf.config.pretrain import OptimizerConfig
from spactor_tf.training.adafactor import Adafactor, AdamW
from spactor_tf.training.scaled_optimizers import (
    ScaledAdamW,
    ScheduleFreeAdamW,
    build_muon,
)


@keras.saving.register_keras_serializable(package="spactor_tf")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Warm-up, then a constant rate or one of three decays.

    Args:
        schedule: "inverse_sqrt": rate / sqrt(max(step, decay_start_step)) (T5,
            section 3.1.2, with rate 1 and 10,000 steps); "constant";
            "linear" and "cosine": fall to 0 at `train_steps`.
        learning_rate: the rate or its factor.
        decay_start_step: see above.
        warmup_steps: the rate is multiplied by (step + 1) / warmup_steps in
            the first steps.
        train_steps: where "linear" and "cosine" end.
    """

    def __init__(
        self,
        schedule: str,
        learning_rate: float,
        decay_start_step: int = 10_000,
        warmup_steps: int = 0,
        train_steps: int = 1,
    ):
        self.schedule = schedule
        self.learning_rate = learning_rate
        self.decay_start_step = decay_start_step
        self.warmup_steps = warmup_steps
        self.train_steps = train_steps

    def __call__(self, step: Any) -> Any:
        """Returns the float32 rate of the step with that number (from 0)."""
        step = ops.cast(step, "float32")
        rate = ops.cast(self.learning_rate, "float32")
        if self.schedule == "inverse_sqrt":
            start = float(self.decay_start_step)
            rate = rate * ops.rsqrt(ops.maximum(step, start))
        elif self.schedule == "linear":
            rate = rate * ops.maximum(1.0 - step / self.train_steps, 0.0)
        elif self.schedule == "cosine":
            part = ops.minimum(step / self.train_steps, 1.0)
            rate = rate * 0.5 * (1.0 + ops.cos(math.pi * part))
        if self.warmup_steps:
            warm = (step + 1.0) / self.warmup_steps
            rate = rate * ops.minimum(warm, 1.0)
        return rate

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "schedule": self.schedule,
            "learning_rate": self.learning_rate,
            "decay_start_step": self.decay_start_step,
            "warmup_steps": self.warmup_steps,
            "train_steps": self.train_steps,
        }


def build_schedule(config: OptimizerConfig, train_steps: int) -> Schedule:
    """Returns the learning rate as a function of the step.

    Args:
        config: of the optimizer.
        train_steps: where decays end.
    """
    return Schedule(
        config.schedule,
        config.learning_rate,
        config.decay_start_step,
        config.warmup_steps,
        train_steps,
    )


def build_optimizer(
    config: OptimizerConfig, train_steps: int
) -> keras.optimizers.Optimizer:
    """Returns the optimizer; the train step clips.

    Args:
        config: of the optimizer.
        train_steps: where decays end.

    Raises:
        InputError: the configuration cannot work.
    """
    config.validate()
    schedule = build_schedule(config, train_steps)
    decay = config.weight_decay
    if config.name == "adamw":
        return AdamW(schedule, weight_decay=decay, beta_2=0.98, epsilon=1e-6)
    if config.name == "adamw_scaled":
        return ScaledAdamW(schedule, weight_decay=decay, epsilon=1e-6)
    if config.name == "muon":
        return build_muon(schedule, config.rest_rate, decay)
    if config.name == "schedule_free":
        return ScheduleFreeAdamW(schedule, weight_decay=decay or None)
    return Adafactor(schedule, momentum=config.momentum)
