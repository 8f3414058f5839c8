"""Linear and one-hidden-layer heads on fixed embeddings: seconds per round.

Both are scikit-learn's. The embeddings are centered and divided by one number,
so that the same regularization is equally strong for all of them. Where one
column or a few rows would own that number, they are scaled by themselves.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

HEADS = ("linear", "mlp")
# Times the usual distance or variance that no row or column without a fault
# has.
_FAR = 100.0
_OWNS = 1e6


def plain_features(kind: str, inputs: np.ndarray) -> np.ndarray:
    """`[n, d]` float32 of inputs that need no encoder.

    Args:
        kind: "embedding", or "image" whose pixels are the features.
        inputs: `[n, d]` float32, or `[n, height, width, channels]` uint8.
    """
    if kind == "embedding":
        return inputs
    return inputs.reshape(len(inputs), -1).astype(np.float32) / 255


def scaled_rows(embeddings: np.ndarray) -> np.ndarray:
    """Centers rows and divides them by their deviation; warns of outliers.

    Args:
        embeddings: `[n, d]` float32.

    Returns:
        `[n, d]` float32. Without outliers all are divided by one number. A
        column that owns the deviation is divided by its own. Rows that are
        far from all others count in neither mean nor deviation, and are
        drawn near.
    """
    largest = float(np.abs(embeddings).max(initial=0.0))
    if largest > 0 and not 1e-10 < largest < 1e10:
        # Their squares would leave the range of float32.
        embeddings = (embeddings / np.float64(largest)).astype(np.float32)
    # Medians do not follow outliers; these find them, and do no more.
    step = embeddings - np.median(embeddings, axis=0)
    columns = np.asarray(np.median(np.abs(step), axis=0))
    columns[columns == 0] = np.inf
    distance = np.asarray(np.abs(step / columns).max(1, initial=0.0))
    usual = np.median(distance) if len(distance) else 0.0
    far = distance > _FAR * usual if usual > 0 else np.zeros(len(step), bool)
    if far.any():
        logging.warning(
            "embeddings: %d rows are far from all others and are drawn near; "
            "first row: %d",
            far.sum(),
            far.argmax(),
        )
    near = ~far if far.any() else slice(None)
    centered = embeddings - embeddings[near].mean(0)
    square = np.asarray(np.mean(centered[near] ** 2, axis=0, dtype=np.float64))
    positive = square[square > 0]
    typical = np.median(positive) if len(positive) > 2 else np.inf
    wide = square > _OWNS * typical
    if wide.any():
        logging.warning(
            "embeddings: %d columns are far wider than all others and are "
            "scaled by themselves; first column: %d",
            wide.sum(),
            wide.argmax(),
        )
        centered[:, wide] *= np.sqrt(typical / square[wide])
    scale = np.sqrt(np.mean(centered[near] ** 2, dtype=np.float64))
    rows = (centered / max(scale, 1e-12)).astype(np.float32)
    if far.any():
        length = np.asarray(np.linalg.norm(rows, axis=1))
        rows[far] *= (np.median(length[~far]) / length[far])[:, None]
    return rows


class HeadLearner:
    """Logistic regression or a small MLP; see `learners.Learner`.

    Args:
        embeddings: `[n, d]` float32, those of the pool, then those of the
            test set.
        num_classes: number of classes.
        multilabel: whether labels are `[m, classes]` of 0 and 1.
        head: "linear" (its embeddings are the given ones) or "mlp" (its
            embeddings are the hidden layer).
        warm_start: continue from the last weights.
        hidden: units of the MLP's hidden layer.
        max_iter: most iterations of the solver per `fit`.
    """

    def __init__(
        self,
        embeddings: np.ndarray,
        num_classes: int,
        *,
        multilabel: bool = False,
        head: str = "linear",
        warm_start: bool = False,
        hidden: int = 128,
        max_iter: int = 300,
    ):
        self.warm_start = warm_start
        self._embeddings = embeddings
        self._rows = scaled_rows(embeddings)
        self._classes = np.arange(num_classes)
        self._multilabel = multilabel
        self._head, self._hidden, self._max_iter = head, hidden, max_iter
        self.reset()

    def reset(self) -> None:
        """Forgets all that was learned."""
        self._models: dict[int, LogisticRegression | MLPClassifier] = {}
        self._fixed: dict[int, float] = {}

    def fit(
        self, example_ids: np.ndarray, labels: np.ndarray, *, seed: int
    ) -> None:
        """Trains; see `Learner.fit`."""
        rows = self._rows[example_ids]
        if not self.warm_start:
            self.reset()
        with warnings.catch_warnings():
            # Stopping at max_iter before convergence is intended.
            warnings.filterwarnings("ignore", module="sklearn")
            if self._head == "mlp" or not self._multilabel:
                self._fit(0, rows, labels, seed)
                return
            for number in range(len(self._classes)):
                self._fit(number, rows, labels[:, number], seed)

    def _fit(
        self, key: int, rows: np.ndarray, labels: np.ndarray, seed: int
    ) -> None:
        """Trains one model; labels that are all equal need none."""
        self._fixed.pop(key, None)
        if labels.ndim == 1 and (labels == labels[0]).all():
            self._fixed[key] = labels[0]
            return
        model = self._models.get(key)
        # scikit-learn continues only with the same classes.
        if model is None or (
            labels.ndim == 1
            and not np.array_equal(model.classes_, np.unique(labels))
        ):
            model = self._models[key] = self._new_model(seed)
        model.fit(rows, labels)

    def _new_model(self, seed: int) -> LogisticRegression | MLPClassifier:
        from sklearn.linear_model import LogisticRegression
        from sklearn.neural_network import MLPClassifier

        seed &= 0x7FFFFFFF
        if self._head == "linear":
            return LogisticRegression(
                max_iter=self._max_iter, warm_start=self.warm_start
            )
        return MLPClassifier(
            (self._hidden,),
            max_iter=self._max_iter,
            random_state=seed,
            warm_start=self.warm_start,
        )

    def score(self, example_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities and embeddings; see `Learner.score`."""
        rows = self._rows[example_ids]
        if not len(rows):
            return np.zeros((0, len(self._classes)), np.float32), rows
        if self._multilabel and self._head == "linear":
            probabilities = np.empty((len(rows), len(self._classes)), "f")
            for number in range(len(self._classes)):
                probabilities[:, number] = (
                    self._fixed[number]
                    if number in self._fixed
                    else self._models[number].predict_proba(rows)[:, 1]
                )
            return probabilities, self._embed(example_ids)
        return self._probabilities(rows), self._embed(example_ids)

    def _probabilities(self, rows: np.ndarray) -> np.ndarray:
        out = np.zeros((len(rows), len(self._classes)), np.float32)
        if 0 in self._fixed:
            out[:, int(self._fixed[0])] = 1
            return out
        model = self._models[0]
        found = model.predict_proba(rows)
        # Classes that nobody has labeled yet keep probability zero.
        columns = self._classes if self._multilabel else model.classes_
        out[:, columns] = found
        return out

    def _embed(self, example_ids: np.ndarray) -> np.ndarray:
        if self._head == "linear" or 0 in self._fixed:
            return self._embeddings[example_ids]
        model, rows = self._models[0], self._rows[example_ids]
        hidden = rows @ model.coefs_[0] + model.intercepts_[0]
        return np.maximum(hidden, 0).astype(np.float32)
