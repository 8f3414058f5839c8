"""The text classifier as a learner of the active-learning loop.

It has the methods that `al_tf.learners.Learner` describes and does not import
them: the two packages do not know each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from runkit.minibatches import steps_for
from spactor_tf.classifier.classifier import (
    BATCH_SIZE,
    LEARNING_RATE,
    LENGTH,
    TRAIN_STEPS,
    TextClassifier,
)
from spactor_tf.inference.pretrained import Pretrained


@dataclasses.dataclass(frozen=True)
class TextOptions:
    """Settings of the classifier and its training.

    Attributes:
        length: tokens that are read of each text.
        train_steps: optimizer steps of one `fit`, at least.
        train_epochs: passes over the labeled texts, at least; 0:
            `train_steps` whatever is labeled.
        batch_size: texts a step.
        learning_rate: the largest.
    """

    length: int = LENGTH
    train_steps: int = TRAIN_STEPS
    train_epochs: float = 0.0
    batch_size: int = BATCH_SIZE
    learning_rate: float = LEARNING_RATE


class TextLearner:
    """Fine-tunes a T5 encoder on labeled texts.

    Args:
        texts: of the pool and, behind them, of the test set.
        classes: names of the classes.
        pretrained: where a cold start begins.
        multilabel: the labels are `[m, classes]` of 0 and 1.
        warm_start: go on from the last weights.
        options: of classifier and training.
    """

    def __init__(
        self,
        texts: Sequence[str],
        classes: Sequence[str],
        pretrained: Pretrained,
        *,
        multilabel: bool = False,
        warm_start: bool = False,
        options: TextOptions = TextOptions(),  # noqa: B008 (frozen)
    ):
        self.warm_start = warm_start
        self.classifier = TextClassifier(
            pretrained, classes, length=options.length, multilabel=multilabel
        )
        self._tokens = pretrained.tokens(texts, options.length)
        self._options = options
        self._fresh = True

    def reset(self) -> None:
        """Forgets all that was learned."""
        self._fresh = True

    def fit(
        self, example_ids: np.ndarray, labels: np.ndarray, *, seed: int
    ) -> None:
        """Trains on examples `[m]` with labels `[m]` or `[m, classes]`."""
        options = self._options
        self.classifier.fit_tokens(
            self._tokens[example_ids],
            labels,
            seed=seed,
            train_steps=steps_for(
                len(example_ids),
                options.batch_size,
                options.train_steps,
                options.train_epochs,
            ),
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            warm_start=self.warm_start and not self._fresh,
        )
        self._fresh = False

    def score(self, example_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns (probabilities `[m, classes]`, embeddings `[m, d]`)."""
        return self.classifier.score_tokens(self._tokens[example_ids])
