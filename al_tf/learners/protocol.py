"""What the loop asks of a model: to learn from labels, and to be unsure.

A learner holds the inputs of all examples, those of the pool followed by those
of the test set, so that one id names either. Anything with these three methods
is a learner; `HeadLearner` and `ImageLearner` are two.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Learner(Protocol):
    """A model that can be trained again and again.

    With a cold start, what `fit` learns is a pure function of its arguments.
    With a warm start it continues from the weights of the last `fit`; the
    result is then a function of all calls since `reset`.

    Attributes:
        warm_start: which of the two this learner does.
    """

    warm_start: bool

    def reset(self) -> None:
        """Forgets all that was learned."""

    def fit(
        self, example_ids: np.ndarray, labels: np.ndarray, *, seed: int
    ) -> None:
        """Trains on labeled examples.

        Args:
            example_ids: `[m]` int64.
            labels: `[m]` int64 class numbers, or `[m, classes]` of 0 and 1 for
                a multi-label pool. A class may be missing.
            seed: random seed, in [0, 2^62), of initial weights, order, dropout
                and augmentation.
        """

    def score(self, example_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Judges examples with the model of the last `fit`.

        Args:
            example_ids: `[m]` int64, possibly empty.

        Returns:
            (probabilities `[m, classes]` float32, embeddings `[m, d]`
            float32). Rows of a multi-class model sum to one.
        """
