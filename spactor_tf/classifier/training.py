"""Training of the text classifier: Adam on the encoder and the head."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from runkit import InputError
from runkit.minibatches import positions, rate_factor
from spactor_tf.model.t5 import seed_dropout

if TYPE_CHECKING:
    from spactor_tf.classifier.classifier import TextClassifier


class ClassifierTrainer:
    """Trains a classifier, from its first weights or from the present ones.

    Args:
        classifier: its present weights are those that a cold start begins
            with.
    """

    def __init__(self, classifier: TextClassifier):
        self._classifier = classifier
        self._variables = [
            *classifier.pretrained.encoder.trainable_variables,
            *classifier.head.dense.trainable_variables,
        ]
        self.remember_start()

    def remember_start(self) -> None:
        """Makes the present weights those that a cold start begins with."""
        self._start = [variable.numpy() for variable in self._variables]

    def fit(
        self,
        tokens: np.ndarray,
        labels: np.ndarray,
        *,
        seed: int,
        train_steps: int,
        batch_size: int,
        learning_rate: float,
        warm_start: bool,
    ) -> None:
        """Trains; see `TextClassifier.fit_tokens`.

        Raises:
            InputError: not one label for each row of tokens, or a label that
                is no class.
        """
        labels = _checked(labels, len(tokens), self._classifier)
        if not warm_start:
            for variable, value in zip(
                self._variables, self._start, strict=True
            ):
                variable.assign(value)
            head = self._classifier.head
            head.read_plain_states()
            head.standardize(self._classifier.score_tokens(tokens)[1])
        for variable in self._optimizer.variables:
            variable.assign(tf.zeros_like(variable))
        seed_dropout(self._classifier.pretrained.encoder.variables, seed)
        for step, rows in enumerate(
            positions(len(tokens), batch_size, train_steps, seed)
        ):
            self._optimizer.learning_rate.assign(
                learning_rate * rate_factor(step, train_steps)
            )
            self._step(
                tf.constant(tokens[rows]),
                tf.constant(labels[rows]),
                tf.constant([seed & 0x7FFFFFFF, step]),
            )

    # Made at the first `fit`: a classifier that only scores needs no slots.
    @functools.cached_property
    def _optimizer(self) -> keras.Optimizer:
        optimizer = keras.optimizers.Adam()
        optimizer.build(self._variables)
        return optimizer

    @functools.cached_property
    def _step(self) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], None]:
        model, head = self._classifier, self._classifier.head
        optimizer = self._optimizer

        @tf.function(reduce_retracing=True)
        def step(tokens, labels, seed):
            with tf.GradientTape() as tape:
                states = model.pretrained.pool(tokens, training=True)
                inputs = tf.nn.experimental.stateless_dropout(
                    head.standardized(states), model.dropout, seed
                )
                loss = _loss(head.dense(inputs), labels, model.multilabel)
            gradients = tape.gradient(loss, self._variables)
            # Keras applies repeated rows of a sparse gradient wrongly.
            dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
            optimizer.apply_gradients(zip(dense, self._variables, strict=True))

        return step


def _loss(logits: tf.Tensor, labels: tf.Tensor, multilabel: bool) -> tf.Tensor:
    if multilabel:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(
            tf.cast(labels, tf.float32), logits
        )
    else:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(losses)


def _checked(
    labels: np.ndarray, texts: int, classifier: TextClassifier
) -> np.ndarray:
    """Returns the labels as int64; refuses those that do not fit."""
    labels = np.asarray(labels)
    count, multilabel = len(classifier.classes), classifier.multilabel
    shape = (texts, count) if multilabel else (texts,)
    highest = 1 if multilabel else count - 1
    if (
        labels.shape != shape
        or not len(labels)
        or labels.dtype.kind not in "iub"
        or labels.min() < 0
        or labels.max() > highest
    ):
        raise InputError(
            "not one label for each text",
            where="labels",
            got=f"{labels.dtype} of shape {labels.shape}",
            expected=f"whole numbers from 0 to {highest}, shape {shape}",
        )
    return labels.astype(np.int64)
