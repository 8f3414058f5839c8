"""The benchmarks' metrics, in percent, by scikit-learn, scipy and rouge-score.

Each works on texts: the predictions, and the examples with their targets. A
text that is no label word counts as wrong, as T5 counts it. What labels of one
class leave undefined is refused; a model that always answers the same is
scored 0 where the formula divides by its variance.
"""

from __future__ import annotations

import collections
import re
import string
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from runkit import InputError

if TYPE_CHECKING:
    from spactor_tf.tasks.task import Example

PERCENT = 100.0
NO_SCORE = -1.0  # T5's value for a text that is no number.
_INVALID = -1  # Class of a text that is no label word.


# --- labels -----------------------------------------------------------------


def accuracy(targets: Sequence[str], predictions: Sequence[str]) -> float:
    """Returns the share of equal texts."""
    from sklearn import metrics

    return PERCENT * metrics.accuracy_score(list(targets), list(predictions))


def _class_ids(texts: Sequence[str], words: Sequence[str]) -> np.ndarray:
    ids = {word: number for number, word in enumerate(words)}
    return np.array([ids.get(text, _INVALID) for text in texts])


def binary_f1(
    targets: Sequence[str], predictions: Sequence[str], words: Sequence[str]
) -> float:
    """Returns F1 of the second of two words.

    A prediction that is neither counts as the wrong one of the two.
    """
    from sklearn import metrics

    truth = _class_ids(targets, words)
    guesses = _class_ids(predictions, words)
    guesses = np.where(guesses == _INVALID, 1 - truth, guesses)
    _refuse_one_class(truth, "F1", words)
    return PERCENT * metrics.f1_score(truth, guesses, zero_division=0.0)


def macro_f1(
    targets: Sequence[str], predictions: Sequence[str], words: Sequence[str]
) -> float:
    """Returns the unweighted mean of each word's F1."""
    from sklearn import metrics

    truth = _class_ids(targets, words)
    _refuse_one_class(truth, "macro F1", words)
    return PERCENT * metrics.f1_score(
        truth,
        _class_ids(predictions, words),
        labels=range(len(words)),
        average="macro",
        zero_division=0.0,
    )


def matthews_corrcoef(
    targets: Sequence[str], predictions: Sequence[str], words: Sequence[str]
) -> float:
    """Returns Matthews' correlation of the classes."""
    from sklearn import metrics

    truth = _class_ids(targets, words)
    _refuse_one_class(truth, "Matthews' correlation", words)
    return PERCENT * metrics.matthews_corrcoef(
        truth, _class_ids(predictions, words)
    )


def _refuse_one_class(
    truth: np.ndarray, metric: str, words: Sequence[str]
) -> None:
    classes = np.unique(truth)
    if len(classes) < 2:
        raise InputError(
            f"{metric} is undefined: the labels are of one class only",
            got=words[int(classes[0])], expected="labels of two or more",
            remedy="Evaluate on more examples",
        )  # fmt: skip


# --- scores -----------------------------------------------------------------


def as_score(text: str) -> float:
    """Returns the number that a text stands for; NO_SCORE if it is none."""
    try:
        value = float(text)
    except ValueError:
        return NO_SCORE
    return value if np.isfinite(value) else NO_SCORE


def _correlation(
    name: str, targets: Sequence[float], predictions: Sequence[str]
) -> float:
    from scipy import stats

    if np.ptp(targets) == 0:
        raise InputError(
            f"{name} is undefined: all scores are the same", got=targets[0],
            remedy="Evaluate on more examples",
        )  # fmt: skip
    guesses = [as_score(text) for text in predictions]
    if np.ptp(guesses) == 0:
        return 0.0
    return PERCENT * float(getattr(stats, name)(targets, guesses)[0])


def pearson_corrcoef(
    targets: Sequence[float], predictions: Sequence[str]
) -> float:
    """Returns Pearson's correlation with the scores."""
    return _correlation("pearsonr", targets, predictions)


def spearman_corrcoef(
    targets: Sequence[float], predictions: Sequence[str]
) -> float:
    """Returns Spearman's rank correlation with the scores."""
    return _correlation("spearmanr", targets, predictions)


# --- all by name ------------------------------------------------------------


def _target(example: Example) -> Any:
    """What a prediction is compared with."""
    return example.meta.get("label", example.targets)


_BY_WORD: dict[str, Callable[..., float]] = {
    "f1": binary_f1,
    "macro_f1": macro_f1,
    "matthews_corrcoef": matthews_corrcoef,
}
_BY_SCORE: dict[str, Callable[..., float]] = {
    "pearson_corrcoef": pearson_corrcoef,
    "spearman_corrcoef": spearman_corrcoef,
}


def evaluate(
    names: Sequence[str],
    predictions: Sequence[str],
    examples: Sequence[Example],
    label_words: Sequence[str],
    where: str = "metrics",
) -> dict[str, float]:
    """Returns {name: percent}.

    Args:
        names: keys of `METRICS`.
        predictions: one text an example.
        examples: at least one, all of them labelled.
        label_words: the task's words by class.
        where: named in messages.

    Raises:
        InputError: no example, one without a label, an undefined metric.
    """
    if not examples:
        raise InputError("there are no examples to evaluate", where=where)
    missing = [e.key for e in examples if not _target(e)]
    if missing:
        raise InputError(
            "has no label", where=f"{where}, example {missing[0]}",
            expected="a labelled split: benchmarks keep their test labels",
        )  # fmt: skip
    targets = [_target(example) for example in examples]
    values = {}
    for name in names:
        if name in _BY_WORD:
            value = _BY_WORD[name](targets, predictions, label_words)
        elif name in _BY_SCORE:
            scores = [example.meta["score"] for example in examples]
            value = _BY_SCORE[name](scores, predictions)
        else:
            value = accuracy(targets, predictions)
        values[name] = float(value)
    return values
