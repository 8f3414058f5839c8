"""Keras's AdamW, Muon and schedule-free AdamW, scaled for T5.

T5's embeddings start at an RMS of 1 and its query projections at 1/64: one
absolute rate is too small for the former or too large for the latter. These
optimizers multiply AdamW's rate by the parameter's RMS, as Adafactor does and
as nanoT5 found best for T5 (AdamW with RMS scaling and cosine decay).

    AdamW   x - rate * max(epsilon_2, RMS(x)) * m_hat / (sqrt(v_hat) + epsilon)
    Muon    x - rate * 0.2 sqrt(max(rows, columns)) * orthogonalized momentum
            for matrices (arXiv 2502.16982); scaled AdamW for the others

Per step and parameter: AdamW reads and writes two moments; Muon one, and five
Newton-Schulz iterations of 4 m^2 n + 2 m^3 FLOPs per matrix [m, n], m <= n.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from spactor_tf.training.adafactor import ReducedGradients, scaled_rate

EPSILON_2 = 1e-3  # Least scale of a parameter, as Adafactor's.
# Rows of a single output: a matrix to Keras, a vector to Muon.
_NOT_MATRICES = ["replaced_token_head/out"]


def _scaled(learning_rate: Any, variable: Any) -> Any:
    return scaled_rate(ops.cast(learning_rate, "float32"), variable, EPSILON_2)


@keras.saving.register_keras_serializable(package="spactor_tf")
class ScaledAdamW(ReducedGradients, keras.optimizers.AdamW):
    """AdamW whose rate is scaled by the parameter's RMS."""

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        """Updates one variable and its moments."""
        super().update_step(
            gradient, variable, _scaled(learning_rate, variable)
        )


@keras.saving.register_keras_serializable(package="spactor_tf")
class Muon(ReducedGradients, keras.optimizers.Muon):
    """Muon for matrices, scaled AdamW for embeddings, norms and biases.

    `adam_lr_ratio` is the rate of the latter over that of the former.
    """

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        """Updates one variable and its moments."""
        index = self._get_variable_index(variable)
        if self.adam_velocities[index] is not None:
            learning_rate = _scaled(learning_rate, variable)
        super().update_step(gradient, variable, learning_rate)


@keras.saving.register_keras_serializable(package="spactor_tf")
class ScheduleFreeAdamW(ReducedGradients, keras.optimizers.ScheduleFreeAdamW):
    """Schedule-free AdamW (arXiv 2405.15682), scaled by the parameter's RMS.

    The model holds the interpolation y = beta_1 x + (1 - beta_1) z that
    gradients are taken at; `evaluation_weights` puts the average x in place.
    """

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        """Updates one variable, its second moment and z.

        Keras 3.15's own step recovers x with the z of after its update, so
        that its x is not an average.
        """
        step = ops.cast(self.iterations + 1, "float32")
        index = self._get_variable_index(variable)
        # Keras keeps z in the slot that is the momentum of other optimizers.
        z, moment = self._momentums[index], self._velocities[index]
        gradient = ops.cast(gradient, "float32")
        y, last = ops.convert_to_tensor(variable), ops.convert_to_tensor(z)
        x = self._average(y, last)
        square = self.beta_2 * moment + (1 - self.beta_2) * gradient**2
        corrected = square / (1 - ops.power(self.beta_2, step))
        rate = _scaled(learning_rate, variable)
        following = last - rate * gradient / (
            ops.sqrt(corrected) + self.epsilon
        )
        x = x + (following - x) / step
        self.assign(moment, square)
        self.assign(z, following)
        self.assign(variable, self.beta_1 * x + (1 - self.beta_1) * following)

    def _average(self, y: Any, z: Any) -> Any:
        return (y - (1 - self.beta_1) * z) / self.beta_1

    def averages(self) -> list[tuple[Any, np.ndarray]]:
        """Returns (variable, x) of every variable that it trains."""
        pairs = zip(self._trainable_variables, self._momentums, strict=True)
        return [
            (variable, self._average(variable.value.numpy(), z.value.numpy()))
            for variable, z in pairs
        ]


@contextlib.contextmanager
def evaluation_weights(optimizer: Any) -> Iterator[None]:
    """Puts the weights to be evaluated and saved in place, for a while.

    Those of schedule-free AdamW are averages; all other optimizers evaluate
    what they train. Called outside of replica contexts.
    """
    averages = (
        optimizer.averages() if isinstance(optimizer, ScheduleFreeAdamW) else []
    )
    trained = [(variable, variable.value.numpy()) for variable, _ in averages]
    try:
        for variable, value in averages:
            variable.assign(value)
        yield
    finally:
        for variable, value in trained:
            variable.assign(value)


def build_muon(schedule: Any, rest_rate: float, weight_decay: float) -> Muon:
    """Returns Muon beside scaled AdamW.

    Args:
        schedule: of the rate for matrices.
        rest_rate: AdamW's rate over Muon's.
        weight_decay: decoupled, of all variables.
    """
    decay = weight_decay or None
    return Muon(
        schedule,
        adam_lr_ratio=rest_rate,
        weight_decay=decay,
        adam_weight_decay=decay,
        epsilon=1e-6,
        exclude_layers=_NOT_MATRICES,
    )
