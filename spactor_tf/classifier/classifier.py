"""Texts to classes: the encoder of a T5, mean pooling and one dense layer.

classifier = TextClassifier(load_pretrained("runs/imdb"), ["neg", "pos"])
classifier.fit(texts, labels)
classifier.predict_probabilities(["Watch it twice."])
classifier.save("runs/imdb-classifier")
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runkit import InputError, atomic_directory, write_json
from runkit.minibatches import in_batches, positions, rate_factor
from spactor_tf.inference.pretrained import Pretrained, save_pretrained

HEAD = "head.npz"  # A directory with this file holds a classifier.
METRICS = "metrics.json"
# What a training takes where nothing else is said.
LENGTH, TRAIN_STEPS, BATCH_SIZE, LEARNING_RATE = 128, 300, 32, 3e-3
_SCORE_ROWS = 256


class TextClassifier:
    """A T5 encoder with a classification head.

    Args:
        pretrained: where the encoder starts from, and its vocabulary.
        classes: names of the classes, at least two.
        length: tokens that are read of each text.
        multilabel: a text may have any number of the classes.
        dropout: on the pooled states, while training.

    Raises:
        InputError: fewer than two classes, or one named twice.
    """

    def __init__(
        self,
        pretrained: Pretrained,
        classes: Sequence[str],
        *,
        length: int = LENGTH,
        multilabel: bool = False,
        dropout: float = 0.1,
    ):
        import keras

        if len(classes) < 2 or len(set(classes)) < len(classes):
            raise InputError(
                "needs two or more different classes",
                where="classes", got=tuple(classes),
            )  # fmt: skip
        self.pretrained, self.classes = pretrained, tuple(classes)
        self.length, self.multilabel = length, multilabel
        self.dropout = dropout
        self._encoder = pretrained.encoder
        self._head = keras.layers.Dense(
            len(classes), kernel_initializer="zeros", name="head"
        )
        self._head.build((None, pretrained.backbone.hidden_dim))
        hidden = pretrained.backbone.hidden_dim
        self._center = keras.Variable(np.zeros(hidden, np.float32))
        self._scale = keras.Variable(np.ones(hidden, np.float32))
        self._trained = [
            *self._encoder.trainable_variables,
            *self._head.trainable_variables,
        ]
        self._initial = [variable.numpy() for variable in self._trained]
        self._step: Any = None
        self._score: Any = None

    def fit(
        self, texts: Sequence[str], labels: np.ndarray, **options: Any
    ) -> None:
        """Trains on texts; see `fit_tokens`."""
        tokens = self.pretrained.tokens(texts, self.length)
        self.fit_tokens(tokens, labels, **options)

    def fit_tokens(
        self,
        tokens: np.ndarray,
        labels: np.ndarray,
        *,
        seed: int = 0,
        train_steps: int = TRAIN_STEPS,
        batch_size: int = BATCH_SIZE,
        learning_rate: float = LEARNING_RATE,
        warm_start: bool = False,
    ) -> None:
        """Trains encoder and head with Adam.

        The head reads pooled states that are standardized by their mean and
        deviation over these texts before training. All texts of a barely
        trained encoder share one large direction, and what tells them apart
        is small beside it (`docs/decisions.md`).

        Args:
            tokens: `[m, length]` int32 from `Pretrained.tokens`.
            labels: `[m]` int class numbers, or `[m, classes]` of 0 and 1.
            seed: of order and dropout, not negative.
            train_steps: optimizer steps.
            batch_size: texts a step.
            learning_rate: the largest; see `runkit.minibatches.rate_factor`.
            warm_start: go on from the present weights instead of those that
                the classifier was made with.
        """
        import tensorflow as tf

        from spactor_tf.model.t5 import seed_dropout

        self._check_labels(tokens, labels)
        if self._step is None:
            self._step = self._make_step()
        if not warm_start:
            for variable, value in zip(
                self._trained, self._initial, strict=True
            ):
                variable.assign(value)
            self._read_plain_states()
            self._standardize(tokens)
        for variable in self._optimizer.variables:
            variable.assign(tf.zeros_like(variable))
        seed_dropout(self._encoder.variables, seed)
        labels = np.asarray(labels, np.int64)
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

    def predict_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Returns `[texts, classes]` float32; rows sum to one, or do not."""
        return self.score_tokens(self.pretrained.tokens(texts, self.length))[0]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Returns `[texts, hidden_dim]` float32, the pooled states."""
        return self.score_tokens(self.pretrained.tokens(texts, self.length))[1]

    def score_tokens(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns (probabilities, embeddings) of `[m, length]` tokens."""
        import tensorflow as tf

        if self._score is None:
            self._score = self._make_score()
        probabilities, embeddings = in_batches(
            lambda rows: self._score(tf.constant(rows)),
            tokens,
            _SCORE_ROWS,
            filler=self.pretrained.vocabulary.pad_id,
        )
        return probabilities, embeddings

    def save(
        self,
        path: str | os.PathLike,
        *,
        metrics: Mapping[str, Any] | None = None,
        replace: bool = False,
    ) -> None:
        """Writes `preset/`, `head.npz`, `labels.json` and `metrics.json`.

        Args:
            path: directory to write, whole or not at all.
            metrics: of this classifier; {} by default.
            replace: an existing directory is replaced, otherwise refused.
        """
        model = self.pretrained
        kernel, bias = self.head_weights()
        with atomic_directory(path, replace=replace) as folder:
            save_pretrained(
                folder / "preset",
                model.backbone,
                model.vocabulary,
                model.config,
            )
            np.savez(folder / HEAD, kernel=kernel, bias=bias)
            write_json(folder / METRICS, dict(metrics or {}))
            write_json(
                folder / "labels.json",
                {
                    "classes": self.classes,
                    "dropout": self.dropout,
                    "length": self.length,
                    "multilabel": self.multilabel,
                },
            )

    def head_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns kernel `[hidden_dim, classes]` and bias `[classes]`.

        They read plain pooled states: the standardization is folded in.
        """
        kernel = self._head.kernel.numpy() * self._scale.numpy()[:, np.newaxis]
        bias = self._head.bias.numpy() - self._center.numpy() @ kernel
        return kernel, bias

    def set_head(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Takes the weights of the head, `[hidden_dim, classes]` and so on.

        They and the encoder's present weights become those that a `fit`
        without `warm_start` begins with.
        """
        self._read_plain_states()
        self._head.kernel.assign(kernel)
        self._head.bias.assign(bias)
        self._initial = [variable.numpy() for variable in self._trained]

    def _check_labels(self, tokens: np.ndarray, labels: np.ndarray) -> None:
        labels = np.asarray(labels)
        count = len(self.classes)
        shape = (len(tokens), count) if self.multilabel else (len(tokens),)
        highest = 1 if self.multilabel else count - 1
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

    def _read_plain_states(self) -> None:
        self._center.assign(np.zeros_like(self._center))
        self._scale.assign(np.ones_like(self._scale))

    def _standardize(self, tokens: np.ndarray) -> None:
        kernel, bias = self.head_weights()
        pooled = self.score_tokens(tokens)[1]
        center, deviation = pooled.mean(0), pooled.std(0)
        # What hardly varies is noise: it must not be blown up.
        deviation = np.maximum(deviation, 0.1 * deviation.mean() or 1.0)
        self._center.assign(center)
        self._scale.assign(1 / deviation)
        # A head that was trained before goes on saying what it said.
        self._head.kernel.assign(kernel * deviation[:, np.newaxis])
        self._head.bias.assign(bias + center @ kernel)

    def _standardized(self, pooled: Any) -> Any:
        return (pooled - self._center) * self._scale

    def _make_step(self) -> Any:
        import keras
        import tensorflow as tf

        self._optimizer = keras.optimizers.Adam()
        self._optimizer.build(self._trained)

        @tf.function(reduce_retracing=True)
        def step(tokens, labels, seed):
            with tf.GradientTape() as tape:
                pooled = self.pretrained.pool(tokens, training=True)
                inputs = tf.nn.experimental.stateless_dropout(
                    self._standardized(pooled), self.dropout, seed
                )
                loss = self._loss(self._head(inputs), labels)
            gradients = tape.gradient(loss, self._trained)
            # Keras applies repeated rows of a sparse gradient wrongly.
            dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
            self._optimizer.apply_gradients(
                zip(dense, self._trained, strict=True)
            )

        return step

    def _loss(self, logits: Any, labels: Any) -> Any:
        import tensorflow as tf

        losses = (
            tf.nn.sigmoid_cross_entropy_with_logits(
                tf.cast(labels, tf.float32), logits
            )
            if self.multilabel
            else tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        )
        return tf.reduce_mean(losses)

    def _make_score(self) -> Any:
        import tensorflow as tf

        activation = tf.sigmoid if self.multilabel else tf.nn.softmax

        @tf.function
        def score(tokens):
            pooled = self.pretrained.pool(tokens)
            logits = self._head(self._standardized(pooled))
            return activation(logits), pooled

        return score
