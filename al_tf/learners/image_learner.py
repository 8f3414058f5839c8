"""A small residual network for small images that trains on a CPU in seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from runkit import InputError
from runkit.minibatches import (
    check_loss,
    in_batches,
    positions,
    rate_factor,
    steps_for,
)

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_SMALLEST_SIDE = 8


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """Settings of the network and its training.

    Attributes:
        width: channels of the first stage; each of the two others doubles it.
        train_steps: fewest optimizer steps of one `fit`.
        train_epochs: fewest passes over the labeled images, so that more
            labels are trained on for longer. 0 always takes `train_steps`, and
            every round costs the same.
        batch_size: images per step.
        learning_rate: the peak; the rate rises to it linearly for a tenth of
            the steps, then falls to zero by a cosine.
        weight_decay: decoupled, on the kernels.
        shift: most pixels that an image is moved by, either way.
        score_batch_size: images scored at once.
    """

    width: int = 16
    train_steps: int = 1200
    train_epochs: float = 0.0
    batch_size: int = 32
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    shift: int = 2
    score_batch_size: int = 500


class ImageLearner:
    """Trains `build_network` on labeled images; see `learners.Learner`.

    Args:
        images: `[n, height, width, channels]` uint8, those of the pool, then
            those of the test set; see `check_images`.
        num_classes: number of classes.
        multilabel: whether labels are `[m, classes]` of 0 and 1.
        warm_start: continue from the last weights.
        options: settings of the network and its training.

    Raises:
        InputError: images of another shape or dtype.
    """

    def __init__(
        self,
        images: np.ndarray,
        num_classes: int,
        *,
        multilabel: bool = False,
        warm_start: bool = False,
        options: ImageOptions = ImageOptions(),  # noqa: B008 (frozen)
    ):
        check_images(images)
        self.warm_start = warm_start
        self._images, self._options = images, options
        self._multilabel = multilabel
        self._network = build_network(
            images.shape[1:], num_classes, options.width
        )
        self._optimizer = build_optimizer(self._network, options.weight_decay)
        self._fresh = True
        self._step: Callable[..., Any] | None = None
        self._score: Callable[..., tuple[tf.Tensor, tf.Tensor]] | None = None

    def reset(self) -> None:
        """Forgets all that was learned."""
        self._fresh = True

    def fit(
        self, example_ids: np.ndarray, labels: np.ndarray, *, seed: int
    ) -> None:
        """Trains on augmented images; see `Learner.fit`."""
        import tensorflow as tf

        if self._step is None:
            self._step = self._make_step()
        if self._fresh or not self.warm_start:
            initialize(self._network, seed)
        for variable in self._optimizer.variables:
            variable.assign(tf.zeros_like(variable))
        self._fresh = False
        options, count = self._options, len(example_ids)
        total = steps_for(
            count, options.batch_size, options.train_steps, options.train_epochs
        )
        for step, rows in enumerate(
            positions(count, options.batch_size, total, seed)
        ):
            self._optimizer.learning_rate.assign(
                options.learning_rate * rate_factor(step, total)
            )
            loss = self._step(
                tf.constant(self._images[example_ids[rows]]),
                tf.constant(labels[rows]),
                tf.constant([seed & 0x7FFFFFFF, step]),
            )
            check_loss(loss, step, total, "image learner")

    def score(self, example_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities and the pooled last layer; see `Learner.score`."""
        import tensorflow as tf

        if self._score is None:
            self._score = self._make_score()
        score = self._score
        probabilities, embeddings = in_batches(
            lambda ids: score(tf.constant(self._images[ids])),
            example_ids,
            self._options.score_batch_size,
        )
        return probabilities, embeddings

    def _make_step(self) -> Callable[..., Any]:
        import tensorflow as tf

        options, network = self._options, self._network

        @tf.function(reduce_retracing=True)
        def step(images, labels, seed):
            images = augment(images, seed, options.shift)
            with tf.GradientTape() as tape:
                logits, _ = network(images, training=True)
                loss = tf.reduce_mean(self._loss(logits, labels))
            gradients = tape.gradient(loss, network.trainable_variables)
            self._optimizer.apply_gradients(
                zip(gradients, network.trainable_variables, strict=True)
            )
            return loss

        return step

    def _loss(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        if self._multilabel:
            return tf.nn.sigmoid_cross_entropy_with_logits(
                tf.cast(labels, tf.float32), logits
            )
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)

    def _make_score(self) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
        import tensorflow as tf

        activation = tf.sigmoid if self._multilabel else tf.nn.softmax

        @tf.function
        def score(images):
            logits, embeddings = self._network(
                tf.cast(images, tf.float32), training=False
            )
            return activation(logits), embeddings

        return score


def check_images(images: np.ndarray) -> None:
    """Refuses anything but `[n, height, width, 1 or 3]` uint8.

    Raises:
        InputError: another shape or dtype, or a side below 8 pixels.
    """
    shape = tuple(images.shape)
    if (
        len(shape) != 4
        or shape[3] not in (1, 3)
        or min(shape[1:3]) < _SMALLEST_SIDE
        or images.dtype != np.uint8
    ):
        raise InputError(
            "the image learner cannot take images of this shape or type",
            where="images",
            got=f"{images.dtype} of shape {shape}",
            expected="uint8 [n, height, width, 1 or 3], with sides of at least "
            f"{_SMALLEST_SIDE}",
        )


def build_network(
    shape: tuple[int, ...], num_classes: int, width: int
) -> keras.Model:
    """A residual network of a stem and three stages of one block each.

    The stem already halves the sides: four times fewer operations than a
    CIFAR network of full resolution, at the cost of a few points of accuracy.

    Args:
        shape: (height, width, channels) of the images.
        num_classes: number of outputs.
        width: channels of the first stage.

    Returns:
        A Keras model from float images in 0..255 to (logits
        `[batch, classes]`, embeddings `[batch, 4 * width]`).
    """
    import keras
    from keras import layers

    inputs = keras.Input(shape)
    x = layers.Rescaling(1 / 64, offset=-2)(inputs)
    x = _convolution(x, width, stride=2)
    for stage, channels in enumerate((width, 2 * width, 4 * width)):
        stride = 1 if stage == 0 else 2
        y = _convolution(x, channels, stride=stride)
        y = _convolution(y, channels, activate=False)
        if stage:
            x = _convolution(x, channels, 1, stride, activate=False)
        x = layers.ReLU()(layers.Add()([x, y]))
    embeddings = layers.GlobalAveragePooling2D()(x)
    logits = layers.Dense(num_classes, name="logits")(embeddings)
    return keras.Model(inputs, (logits, embeddings))


def _convolution(
    x: keras.KerasTensor,
    channels: int,
    size: int = 3,
    stride: int = 1,
    activate: bool = True,
) -> keras.KerasTensor:
    from keras import layers

    x = layers.Conv2D(channels, size, stride, "same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.ReLU()(x) if activate else x


def build_optimizer(
    network: keras.Model, weight_decay: float
) -> keras.optimizers.Optimizer:
    """SGD with Nesterov momentum, whose weight decay is on kernels only."""
    import keras

    optimizer = keras.optimizers.SGD(
        momentum=0.9, nesterov=True, weight_decay=weight_decay
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(network.trainable_variables)
    return optimizer


def initialize(network: keras.Model, seed: int) -> None:
    """Draws initial weights, each a pure function of the seed and its place.

    Kernels N(0, 2/fan-in) (He et al. 2015), scales and variances 1, the rest
    and the last layer 0.
    """
    for index, variable in enumerate(network.variables):
        shape = tuple(variable.shape)
        value = np.zeros(shape, np.float32)
        if variable.name in ("gamma", "moving_variance"):
            value += 1
        elif len(shape) == 4:
            random = np.random.default_rng((seed, index))
            value = random.standard_normal(shape, np.float32)
            value *= np.float32(np.sqrt(2 / np.prod(shape[:3])))
        variable.assign(value)


def augment(images: tf.Tensor, seed: tf.Tensor, shift: int) -> tf.Tensor:
    """Moves and mirrors images at random, in the graph.

    Args:
        images: `[batch, height, width, channels]` uint8.
        seed: `[2]` int32; the result is a pure function of it.
        shift: most pixels to move by; zeros fill the gap.

    Returns:
        float32 of the same shape.
    """
    import tensorflow as tf

    count, height, width = (tf.shape(images)[i] for i in range(3))
    pad = [[0, 0], [shift, shift], [shift, shift], [0, 0]]
    padded = tf.pad(images, pad)
    random = tf.random.stateless_uniform([3, count], seed)
    start = tf.cast(random[:2] * (2 * shift + 1), tf.int32)
    rows = start[0][:, None] + tf.range(height)
    columns = start[1][:, None] + tf.range(width)
    columns = tf.where(random[2][:, None] < 0.5, columns[:, ::-1], columns)
    moved = tf.gather(padded, rows, axis=1, batch_dims=1)
    moved = tf.gather(moved, columns, axis=2, batch_dims=1)
    return tf.cast(moved, tf.float32)
