"""How good a model is on the test set (scikit-learn's metrics)."""

from __future__ import annotations

import numpy as np

from al_tf.pools import Examples
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


def check_test(test: Examples, metric: str) -> None:
    """Refuses a test set on which the metric is undefined or says nothing.

    Args:
        test: with labels; an empty one passes: nothing is measured then.
        metric: "accuracy" or "average_precision".

    Raises:
        InputError: one class only, or for average precision a class without
            any example of it or with nothing else; examples without a label.
    """
    if not len(test):
        return
    if not test.labelled.all():
        raise InputError(
            "test examples have no label; example ids "
            f"{test.rows[~test.labelled][:10].tolist()}",
            where="--test",
            got=test.name,
            remedy="Name a labelled split or file",
        )
    matrix = indicator(test.labels, len(test.classes))
    share = matrix.mean(0)
    if (matrix == matrix[0]).all():
        raise InputError(
            "every test example has the same label: the metric is undefined",
            where="--test",
            got=[
                c for c, on in zip(test.classes, matrix[0], strict=True) if on
            ],
            expected="at least two classes",
        )
    undefined = (share == 0) | (share == 1)
    if metric == "average_precision" and undefined.any():
        name = test.classes[int(np.flatnonzero(undefined)[0])]
        raise InputError(
            f"average precision is undefined for class {name!r}: all or none "
            "of the test examples have it",
            where="--metric",
            got=metric,
            remedy="Take --metric=accuracy, or another test set",
        )


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
        but not all examples have}; None where there are no examples.
    """
    from sklearn import metrics

    if not len(labels):
        return {"accuracy": None, "average_precision": None}
    truth = indicator(labels, probabilities.shape[1])
    defined = (truth.mean(0) > 0) & (truth.mean(0) < 1)
    predicted = (
        probabilities > 0.5 if labels.ndim == 2 else probabilities.argmax(1)
    )
    precision = metrics.average_precision_score(
        truth[:, defined], probabilities[:, defined], average="macro"
    )
    return {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "average_precision": float(precision),
    }


def indicator(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """`[n, classes]` int8 of 0 and 1 from either form of labels."""
    if labels.ndim == 2:
        return labels.astype(np.int8)
    return (labels[:, None] == np.arange(num_classes)).astype(np.int8)
