"""Texts to classes: the encoder of a T5, mean pooling and one dense layer.

classifier = TextClassifier(load_pretrained("runs/imdb"), ["neg", "pos"])
classifier.fit(texts, labels)
classifier.predict_probabilities(["Watch it twice."])
classifier.save("runs/imdb-classifier")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from runkit import InputError
from runkit.datasets.labels import check_twins
from runkit.files import DAMAGED_ARRAYS
from runkit.minibatches import in_batches
from spactor_tf.classifier.files import Parts, read_parts, write_parts
from spactor_tf.inference.pretrained import Pretrained

if TYPE_CHECKING:
    import tensorflow as tf

# What a training takes where nothing else is said.
LENGTH, TRAIN_STEPS, BATCH_SIZE, LEARNING_RATE = 128, 300, 32, 3e-3
_SCORE_ROWS = 256


class TextClassifier:
    """A T5 encoder with a classification head.

    Args:
        pretrained: the encoder, which `fit` trains, and its vocabulary.
        classes: names of the classes, at least two.
        length: most tokens read of each text, EOS included.
        multilabel: a text may have any number of the classes.
        dropout: rate on the pooled states, while training.

    Attributes:
        head: the `spactor_tf.classifier.head.StandardizedHead`.

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
        from spactor_tf.classifier.head import StandardizedHead
        from spactor_tf.classifier.training import ClassifierTrainer

        if len(classes) < 2 or len(set(classes)) < len(classes):
            raise InputError(
                "needs two or more different classes",
                where="classes",
                got=tuple(classes),
            )
        check_twins(classes, "classes")
        self.pretrained, self.classes = pretrained, tuple(classes)
        self.length, self.multilabel = length, multilabel
        self.dropout = dropout
        self.head = StandardizedHead(
            pretrained.backbone.hidden_dim, len(classes)
        )
        self._trainer = ClassifierTrainer(self)
        self._score: Callable[..., tuple[tf.Tensor, tf.Tensor]] | None = None

    def fit(
        self, texts: Sequence[str], labels: np.ndarray, **options: Any
    ) -> None:
        """Trains on texts.

        Args:
            texts: at least one.
            labels: one for each text, as `fit_tokens` takes them.
            **options: those of `fit_tokens`.
        """
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

        A cold start standardizes the pooled states that the head reads by
        their mean and deviation over these texts.

        Args:
            tokens: `[m, length]` int32 from `Pretrained.tokens`.
            labels: `[m]` int class numbers, or `[m, classes]` of 0 and 1.
            seed: of example order and dropout, not negative.
            train_steps: optimizer steps.
            batch_size: texts per step.
            learning_rate: the peak; see `runkit.minibatches.rate_factor`.
            warm_start: continue from the present weights instead of those
                that the classifier was made with.

        Raises:
            InputError: the labels do not fit the texts or the classes.
        """
        self._trainer.fit(
            tokens,
            labels,
            seed=seed,
            train_steps=train_steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            warm_start=warm_start,
        )

    def predict_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Returns `[texts, classes]` float32.

        Rows sum to 1, except with `multilabel`.
        """
        return self.score_tokens(self.pretrained.tokens(texts, self.length))[0]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Returns `[texts, hidden_dim]` float32, the pooled states."""
        return self.score_tokens(self.pretrained.tokens(texts, self.length))[1]

    def score_tokens(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores texts that are tokens already.

        Args:
            tokens: `[m, length]` int32 from `Pretrained.tokens`.

        Returns:
            (probabilities `[m, classes]`, embeddings `[m, hidden_dim]`), both
            float32.
        """
        import tensorflow as tf

        if self._score is None:
            activation = tf.sigmoid if self.multilabel else tf.nn.softmax

            @tf.function
            def score(tokens):
                states = self.pretrained.pool(tokens)
                logits = self.head.dense(self.head.standardized(states))
                return activation(logits), states

            self._score = score
        function = self._score
        probabilities, embeddings = in_batches(
            lambda rows: function(tf.constant(rows)),
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
        """Writes the classifier; `load_classifier` opens it.

        Args:
            path: directory to write, whole or not at all.
            metrics: of this classifier; {} by default.
            replace: replace an existing directory; otherwise it is refused.

        Raises:
            InputError: the directory exists.
        """
        labels = {
            "classes": self.classes,
            "dropout": self.dropout,
            "length": self.length,
            "multilabel": self.multilabel,
        }
        parts = Parts(self.pretrained, *self.head_weights(), labels)
        write_parts(path, parts, metrics or {}, replace=replace)

    def head_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns kernel `[hidden_dim, classes]` and bias `[classes]`.

        They read plain pooled states.
        """
        return self.head.weights()

    def set_head(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Takes weights of the head, in the form of `head_weights`.

        They and the encoder's present weights become those that a `fit`
        without `warm_start` begins with.
        """
        self.head.set_weights(kernel, bias)
        self._trainer.remember_start()


def load_classifier(path: str | os.PathLike) -> TextClassifier:
    """Opens what `TextClassifier.save` wrote.

    Raises:
        InputError: no classifier there, or a damaged one.
    """
    try:
        pretrained, kernel, bias, labels = read_parts(path)
        classifier = TextClassifier(pretrained, **labels)
        classifier.set_head(kernel, bias)
    except InputError:
        raise
    except DAMAGED_ARRAYS as error:
        raise InputError(
            f"is not a whole classifier ({error})", where=os.fspath(path)
        ) from None
    return classifier
