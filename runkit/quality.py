"""Accuracy and average precision of a classifier, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runkit import InputError


def metrics_library() -> None:
    """Raises InputError if scikit-learn is not installed."""
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
        {"accuracy": ..., "average_precision": macro average over the classes
        that some but not all examples have}; None without examples or without
        such a class.
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


def check_defined(
    labels: np.ndarray, classes: Sequence[str], metric: str
) -> None:
    """Refuses test labels for which the metric is undefined or meaningless.

    Args:
        labels: `[n]` class numbers, or `[n, classes]` of 0 and 1; n > 0.
        classes: their names.
        metric: "accuracy" or "average_precision".

    Raises:
        InputError: one label only, or for average precision a class that no
            example or every example has.
    """
    matrix = indicator(labels, len(classes))
    share = matrix.mean(0)
    if (matrix == matrix[0]).all():
        raise InputError(
            "every test example has the same label: the metric is undefined",
            where="--test",
            got=[c for c, on in zip(classes, matrix[0], strict=True) if on],
            expected="at least two classes",
        )
    undefined = (share == 0) | (share == 1)
    if metric == "average_precision" and undefined.any():
        name = classes[int(np.flatnonzero(undefined)[0])]
        raise InputError(
            f"average precision is undefined for class {name!r}: all or none "
            "of the test examples have it",
            where="--test",
            remedy="Take accuracy as the metric, or another test set",
        )


def indicator(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """`[n, classes]` int8 of 0 and 1 from either form of labels."""
    if labels.ndim == 2:
        return labels.astype(np.int8)
    return (labels[:, None] == np.arange(num_classes)).astype(np.int8)
