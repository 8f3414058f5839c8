"""The text classifier as a learner of the active-learning loop.

It implements `al_tf.learners.Learner` without importing it: neither package
depends on the other.
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
        length: most tokens read of each text, EOS included.
        train_steps: fewest optimizer steps of one `fit`.
        train_epochs: fewest passes over the labeled texts; 0 always takes
            `train_steps`.
        batch_size: texts per step.
        learning_rate: the peak.
    """

    length: int = LENGTH
    train_steps: int = TRAIN_STEPS
    train_epochs: float = 0.0
    batch_size: int = BATCH_SIZE
    learning_rate: float = LEARNING_RATE


class TextLearner:
    """Fine-tunes a T5 encoder on labeled texts.

    Args:
        texts: those of the pool, then those of the test set.
        classes: names of the classes.
        pretrained: where a cold start begins.
        multilabel: whether labels are `[m, classes]` of 0 and 1.
        warm_start: continue from the last weights.
        options: settings of the classifier and its training.
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
