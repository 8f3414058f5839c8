"""How good a classifier is on labelled examples (scikit-learn's metrics)."""

from __future__ import annotations

import numpy as np

from runkit import InputError


def metrics_library() -> None:
    """Refuses to begin where scikit-learn is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise InputError(
            "scikit-learn is not installed",
            where="metrics",
            remedy="pip install 'spactor-al[tasks]'",
        ) from None


def evaluate(
    probabilities: np.ndarray, labels: np.ndarray
) -> dict[str, float | None]:
    """Accuracy and average precision.

    Args:
        probabilities: `[n, classes]`.
        labels: `[n]` class numbers, or `[n, classes]` of 0 and 1; then a
            class is predicted above one half, and an example is right when
            all its classes are.

    Returns:
        {"accuracy": ..., "average_precision": mean over the classes that some
        but not all examples have}; None where there are no examples, or no
        such class.
    """
    from sklearn import metrics

    if not len(labels):
        return {"accuracy": None, "average_precision": None}
    truth = indicator(labels, probabilities.shape[1])
    defined = (truth.mean(0) > 0) & (truth.mean(0) < 1)
    predicted = (
        probabilities > 0.5 if labels.ndim == 2 else probabilities.argmax(1)
    )
    precision = None
    if defined.any():
        precision = float(
            metrics.average_precision_score(
                truth[:, defined], probabilities[:, defined], average="macro"
            )
        )
    return {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "average_precision": precision,
    }


def indicator(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """`[n, classes]` int8 of 0 and 1 from either form of labels."""
    if labels.ndim == 2:
        return labels.astype(np.int8)
    return (labels[:, None] == np.arange(num_classes)).astype(np.int8)
