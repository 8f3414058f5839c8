"""The head of the text classifier: a dense layer on standardized states."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf


class StandardizedHead:
    """logits = ((states - center) * scale) @ kernel + bias.

    All texts of a barely trained encoder share one large direction, and what
    tells them apart is small beside it: the layer learns faster from states
    whose mean and deviation over the training texts are 0 and 1
    (`docs/decisions.md`). Center and scale are not trained. A new head reads
    plain states, and its logits are 0.

    Args:
        hidden_dim: width of the states.
        num_classes: number of logits.

    Attributes:
        center: [hidden_dim] float32 variable.
        scale: [hidden_dim] float32 variable.
        dense: the layer; its kernel and bias are trained.
    """

    def __init__(self, hidden_dim: int, num_classes: int):
        self.dense = keras.layers.Dense(
            num_classes, kernel_initializer="zeros", name="head"
        )
        self.dense.build((None, hidden_dim))
        self.center = keras.Variable(np.zeros(hidden_dim, np.float32))
        self.scale = keras.Variable(np.ones(hidden_dim, np.float32))

    def standardized(self, states: tf.Tensor) -> tf.Tensor:
        """Returns what the dense layer reads, [batch, hidden_dim]."""
        return (states - self.center) * self.scale

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns kernel [hidden_dim, classes] and bias [classes].

        They read plain states: the standardization is folded in.
        """
        kernel = self.dense.kernel.numpy() * self.scale.numpy()[:, np.newaxis]
        bias = self.dense.bias.numpy() - self.center.numpy() @ kernel
        return kernel, bias

    def set_weights(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Takes weights that read plain states."""
        self.read_plain_states()
        self.dense.kernel.assign(kernel)
        self.dense.bias.assign(bias)

    def read_plain_states(self) -> None:
        """Takes center and scale back to 0 and 1; the layer stays."""
        self.center.assign(np.zeros_like(self.center))
        self.scale.assign(np.ones_like(self.scale))

    def standardize(self, states: np.ndarray) -> None:
        """Sets center and scale from states; all logits stay as they are.

        Args:
            states: [texts, hidden_dim] float32, at least one row.
        """
        kernel, bias = self.weights()
        center, deviation = states.mean(0), states.std(0)
        # What hardly varies is noise: it must not be blown up.
        deviation = np.maximum(deviation, 0.1 * deviation.mean() or 1.0)
        self.center.assign(center)
        self.scale.assign(1 / deviation)
        self.dense.kernel.assign(kernel * deviation[:, np.newaxis])
        self.dense.bias.assign(bias + center @ kernel)
