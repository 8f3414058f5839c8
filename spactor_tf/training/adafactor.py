"""Adafactor as T5 uses it (Shazeer & Stern 2018, arXiv 1804.04235).

Keras's own Adafactor keeps a full second moment beside the factors and always
caps the rate at 1/sqrt(step); this one keeps row and column means only.

    v_t   row and column means of g^2, decay 1 - step^decay_rate
    u_t   g / sqrt(v_t), scaled down to an RMS of at most `clip_threshold`
    x_t   x - rate * max(epsilon_2, RMS(x)) * u_t
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops


class ReducedGradients:
    """Optimizer mixin: gradients arrive summed over the replicas.

    `SpactorPretrainer` sums gradients itself, because clipping by the global
    norm has to see the sum; Keras would sum them a second time.
    """

    takes_reduced_gradients = True

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return list(grads_and_vars)


@keras.saving.register_keras_serializable(package="spactor_tf")
class AdamW(ReducedGradients, keras.optimizers.AdamW):
    """Keras's AdamW for gradients that are summed over replicas already."""


@keras.saving.register_keras_serializable(package="spactor_tf")
class Adafactor(ReducedGradients, keras.optimizers.Optimizer):
    """Adafactor with factored second moments that really save the memory.

    Args:
        learning_rate: a rate, a schedule, or None for the relative step
            min(0.01, 1 / sqrt(step)) of section 8.
        decay_rate: exponent of the second moment's decay, negative.
        epsilon_1: added to the squared gradient.
        epsilon_2: least scale of a parameter.
        clip_threshold: largest RMS of an update, before the rate; > 0.
        scale_parameter: multiply the rate by the RMS of the parameter.
        momentum: decay of the first moment; None keeps none.
        name: of the optimizer.
        **kwargs: of `keras.optimizers.Optimizer`.

    Tensors of rank 2 and above are factored over their last two axes: a matrix
    [rows, columns] has slots of [rows] and [columns]; vectors and scalars keep
    a full second moment.
    """

    def __init__(
        self,
        learning_rate: Any = None,
        decay_rate: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        scale_parameter: bool = True,
        momentum: float | None = None,
        name: str = "adafactor",
        **kwargs: Any,
    ):
        # Keras wants a rate even where the step alone decides.
        rate = 1.0 if learning_rate is None else learning_rate
        super().__init__(learning_rate=rate, name=name, **kwargs)
        self.relative_step = learning_rate is None
        self.decay_rate = decay_rate
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.scale_parameter = scale_parameter
        self.momentum = momentum

    def build(self, variables: list) -> None:
        """Creates the slots."""
        if self.built:
            return
        super().build(variables)
        self._row: list = []
        self._column: list = []
        self._first: list = []
        for variable in variables:
            shape = tuple(variable.shape)
            factored = len(shape) >= 2
            row = shape[:-1] if factored else shape
            column = (*shape[:-2], shape[-1]) if factored else ()
            self._row.append(self._slot(variable, row, "row_second_moment"))
            self._column.append(
                self._slot(variable, column, "column_second_moment")
                if factored
                else None
            )
            self._first.append(
                self._slot(variable, shape, "first_moment")
                if self.momentum is not None
                else None
            )

    def _slot(self, variable: Any, shape: tuple, name: str) -> Any:
        return self.add_variable(
            shape=shape, initializer="zeros", name=f"{variable.name}_{name}"
        )

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        """Updates one variable and its slots."""
        # Embedding gradients come as index slices that may repeat an index.
        # `tf` because `ops.convert_to_tensor` leaves the slices as they are.
        gradient = ops.cast(tf.convert_to_tensor(gradient), "float32")
        index = self._get_variable_index(variable)
        # Before the rate: TensorFlow's graph rewriter rounds by this order.
        update = self._clipped_update(gradient, index)
        rate = ops.cast(learning_rate, "float32")
        if self.relative_step:
            rate = ops.minimum(0.01, ops.rsqrt(self._step()))
        if self.scale_parameter:
            rate = scaled_rate(rate, variable, self.epsilon_2)
        update = update * rate
        if self.momentum is not None:
            first = self._first[index]
            update = self.momentum * first + (1.0 - self.momentum) * update
            self.assign(first, update)
        self.assign_sub(variable, ops.cast(update, variable.dtype))

    def _step(self) -> Any:
        return ops.cast(self.iterations + 1, "float32")

    def _clipped_update(self, gradient: Any, index: int) -> Any:
        decay = 1.0 - ops.power(self._step(), self.decay_rate)
        squared = ops.square(gradient)
        if self._column[index] is None:
            moment = self._average(
                self._row[index], squared + self.epsilon_1, decay
            )
            update = gradient * ops.rsqrt(moment)
            mean_square = ops.mean(ops.square(update))
            return update * self._clip_factor(mean_square)
        row = ops.mean(squared, axis=-1) + self.epsilon_1
        row = self._average(self._row[index], row, decay)
        column = ops.mean(squared, axis=-2) + self.epsilon_1
        column = self._average(self._column[index], column, decay)
        row_scale = ops.rsqrt(row / ops.mean(row, axis=-1, keepdims=True))
        column_scale = ops.rsqrt(column)
        # mean(update^2) from g^2 by a matrix-vector product: the update itself
        # is then written in one pass, clipped already. Without epsilon_1: a row
        # that was not touched has no update and yet a large row_scale.
        weighted = ops.matmul(squared, ops.square(column_scale)[..., None])
        mean_square = ops.mean(
            ops.square(row_scale) * weighted[..., 0]
        ) / float(gradient.shape[-1])
        row_scale = row_scale * self._clip_factor(mean_square)
        return gradient * row_scale[..., None] * column_scale[..., None, :]

    def _average(self, slot: Any, value: Any, decay: Any) -> Any:
        average = decay * slot + (1.0 - decay) * value
        self.assign(slot, average)
        return average

    def _clip_factor(self, mean_square: Any) -> Any:
        rms = ops.sqrt(mean_square)
        return 1.0 / ops.maximum(1.0, rms / self.clip_threshold)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        if self.relative_step:
            config["learning_rate"] = None
        return config | {
            "decay_rate": self.decay_rate,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
            "scale_parameter": self.scale_parameter,
            "momentum": self.momentum,
        }


def scaled_rate(learning_rate: Any, variable: Any, epsilon_2: float) -> Any:
    """Returns the rate times the parameter's RMS, at least `epsilon_2`.

    Args:
        learning_rate: float32 scalar.
        variable: the parameter.
        epsilon_2: least scale of a parameter.
    """
    value = ops.cast(ops.convert_to_tensor(variable), "float32")
    scale = ops.sqrt(ops.mean(ops.square(value)))
    return learning_rate * ops.maximum(epsilon_2, scale)
