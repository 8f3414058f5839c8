"""The benchmarks' metrics, in percent.

Each compares predictions with targets, example by example; scikit-learn, scipy
and rouge-score do the computing. A text that is not a label word counts as
wrong, as T5 counts it. A metric that labels of one class leave undefined is
refused; a model that always gives the same answer scores 0 where the formula
divides by its variance.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from runkit import InputError
from spactor_tf.tasks import answers as answers_lib
from spactor_tf.tasks.example import Example

PERCENT = 100.0
NO_SCORE = -1.0  # T5's value for a text that is not a number.
_INVALID = -1  # Class of a text that is not a label word.

Texts = Sequence[str]


def _extra(module: str) -> Any:
    """Imports a library that only the tasks need."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            f"{module.partition('.')[0]} is not installed",
            where="metrics",
            remedy="pip install 'spactor-al[tasks]'",
        ) from None


# --- labels -----------------------------------------------------------------


def accuracy(targets: Texts, predictions: Texts) -> float:
    """Returns the share of equal texts."""
    metrics = _extra("sklearn.metrics")
    score = metrics.accuracy_score(list(targets), list(predictions))
    return PERCENT * float(score)


def _class_ids(texts: Texts, words: Texts) -> np.ndarray:
    ids = {word: number for number, word in enumerate(words)}
    return np.array([ids.get(text, _INVALID) for text in texts])


def _refuse_one_class(metric: str, targets: Texts) -> None:
    classes = set(targets)
    if len(classes) == 1:
        raise InputError(
            f"{metric} is undefined: all labels are of one class",
            got=classes.pop(),
            expected="labels of two or more",
            remedy="Evaluate on more examples",
        )


def binary_f1(targets: Texts, predictions: Texts, words: Texts) -> float:
    """Returns F1 of the second of two words.

    A prediction that is neither counts as the wrong one of the two.

    Raises:
        InputError: all targets are of one class.
    """
    metrics = _extra("sklearn.metrics")
    _refuse_one_class("F1", targets)
    truth = _class_ids(targets, words)
    guesses = _class_ids(predictions, words)
    guesses = np.where(guesses == _INVALID, 1 - truth, guesses)
    return PERCENT * float(metrics.f1_score(truth, guesses, zero_division=0))


def macro_f1(targets: Texts, predictions: Texts, words: Texts) -> float:
    """Returns the unweighted mean of each word's F1.

    Raises:
        InputError: all targets are of one class.
    """
    metrics = _extra("sklearn.metrics")
    _refuse_one_class("macro F1", targets)
    score = metrics.f1_score(
        _class_ids(targets, words),
        _class_ids(predictions, words),
        labels=range(len(words)),
        average="macro",
        zero_division=0,
    )
    return PERCENT * float(score)


def matthews_corrcoef(
    targets: Texts, predictions: Texts, words: Texts
) -> float:
    """Returns Matthews' correlation of the classes.

    Raises:
        InputError: all targets are of one class.
    """
    metrics = _extra("sklearn.metrics")
    _refuse_one_class("Matthews' correlation", targets)
    truth = _class_ids(targets, words)
    guesses = _class_ids(predictions, words)
    return PERCENT * float(metrics.matthews_corrcoef(truth, guesses))


# --- groups -----------------------------------------------------------------


def _by_group(
    groups: Sequence[Hashable], targets: Texts, predictions: Texts
) -> list[float]:
    """Returns each group's accuracy."""
    members: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    return [
        accuracy([targets[r] for r in rows], [predictions[r] for r in rows])
        for rows in members.values()
    ]


def group_accuracy(
    groups: Sequence[Hashable], targets: Texts, predictions: Texts
) -> float:
    """Returns the mean over groups of their accuracies."""
    return float(np.mean(_by_group(groups, targets, predictions)))


def group_exact_match(
    groups: Sequence[Hashable], targets: Texts, predictions: Texts
) -> float:
    """Returns the share of groups without a mistake (MultiRC's EM)."""
    values = _by_group(groups, targets, predictions)
    return PERCENT * float(np.mean([value == PERCENT for value in values]))


# --- scores -----------------------------------------------------------------


def as_score(text: str) -> float:
    """Returns the number that a text stands for; NO_SCORE if it is none."""
    try:
        value = float(text)
    except ValueError:
        return NO_SCORE
    return value if np.isfinite(value) else NO_SCORE


def _correlation(
    name: str, targets: Sequence[float], predictions: Texts
) -> float:
    from scipy import stats

    if np.ptp(targets) == 0:
        raise InputError(
            f"{name} is undefined: all scores are the same",
            got=targets[0],
            remedy="Evaluate on more examples",
        )
    guesses = [as_score(text) for text in predictions]
    if np.ptp(guesses) == 0:
        return 0.0
    return PERCENT * float(getattr(stats, name)(targets, guesses)[0])


def pearson_corrcoef(targets: Sequence[float], predictions: Texts) -> float:
    """Returns Pearson's correlation with the scores.

    Raises:
        InputError: all targets are the same.
    """
    return _correlation("pearsonr", targets, predictions)


def spearman_corrcoef(targets: Sequence[float], predictions: Texts) -> float:
    """Returns Spearman's rank correlation with the scores.

    Raises:
        InputError: all targets are the same.
    """
    return _correlation("spearmanr", targets, predictions)


# --- summaries --------------------------------------------------------------


def rouge(name: str, targets: Texts, predictions: Texts) -> float:
    """Returns the mean F-measure of rouge-score's `name`, without stemming.

    As T5 does, " . " ends a line first: rougeLsum goes by lines. T5 reports
    the median of a bootstrap of this mean, which depends on a seed.
    """
    letters = [c for text in targets for c in text if c.isalpha()]
    if 2 * sum(map(str.isascii, letters)) < len(letters):
        # Even the right text would get 0.
        raise InputError(
            f"{name} counts words of the letters a to z and of digits alone, "
            "which most letters of these targets are not",
            got=targets[0],
            remedy="Take exact_match or token_f1",
        )
    scorer = _extra("rouge_score.rouge_scorer").RougeScorer([name])
    scores = []
    for pair in zip(targets, predictions, strict=True):
        target, prediction = (text.replace(" . ", " .\n") for text in pair)
        scores.append(scorer.score(target, prediction)[name].fmeasure)
    return PERCENT * float(np.mean(scores))


# --- all by name ------------------------------------------------------------

_OF_LABELS: Mapping[str, Callable[[Texts, Texts, Texts], float]] = {
    "f1": binary_f1,
    "macro_f1": macro_f1,
    "matthews_corrcoef": matthews_corrcoef,
}
_OF_GROUPS: Mapping[
    str, Callable[[Sequence[Hashable], Texts, Texts], float]
] = {
    "group_accuracy": group_accuracy,
    "group_exact_match": group_exact_match,
}
_OF_SCORES: Mapping[str, Callable[[Sequence[float], Texts], float]] = {
    "pearson_corrcoef": pearson_corrcoef,
    "spearman_corrcoef": spearman_corrcoef,
}
_OF_ANSWERS: Mapping[str, Callable[[Sequence[Texts], Texts], float]] = {
    "token_f1": answers_lib.token_f1,
    "exact_match": answers_lib.exact_match,
}
_OF_SUMMARIES = ("rouge1", "rouge2", "rougeLsum")
NEED_WORDS, NEED_GROUPS = tuple(_OF_LABELS), tuple(_OF_GROUPS)
NEED_SCORES = tuple(_OF_SCORES)
NAMES = (
    "accuracy",
    *NEED_WORDS,
    *NEED_GROUPS,
    *NEED_SCORES,
    *_OF_ANSWERS,
    *_OF_SUMMARIES,
)


def _value(
    name: str,
    predictions: Texts,
    examples: Sequence[Example],
    label_words: Texts,
) -> float:
    # WSC is scored by whether a span is the referent, not by the span.
    targets = [e.meta.get("label", e.targets) for e in examples]
    if name == "accuracy":
        return accuracy(targets, predictions)
    if name in _OF_LABELS:
        return _OF_LABELS[name](targets, predictions, label_words)
    if name in _OF_GROUPS:
        groups = [e.meta["group"] for e in examples]
        return _OF_GROUPS[name](groups, targets, predictions)
    if name in _OF_SCORES:
        scores = [e.meta["score"] for e in examples]
        return _OF_SCORES[name](scores, predictions)
    if name in _OF_ANSWERS:
        accepted = [e.meta["answers"] for e in examples]
        return _OF_ANSWERS[name](accepted, predictions)
    if name in _OF_SUMMARIES:
        return rouge(name, targets, predictions)
    raise KeyError(name)


def evaluate(
    names: Sequence[str],
    predictions: Texts,
    examples: Sequence[Example],
    label_words: Texts,
    where: str = "metrics",
) -> dict[str, float]:
    """Returns {name: percent}.

    Args:
        names: the metrics.
        predictions: one text per example.
        examples: at least one, all of them labeled; their `meta` holds
            "group", "score", "answers" or "label" where the metric needs it.
        label_words: the task's words by class.
        where: named in messages.

    Raises:
        InputError: no example, one without a label, an undefined metric.
    """
    if not examples:
        raise InputError("there are no examples to evaluate", where=where)
    missing = [example.key for example in examples if not example.targets]
    if missing:
        raise InputError(
            "has no label",
            where=f"{where}, example {missing[0]}",
            expected="a labeled split: benchmarks keep their test labels",
        )
    return {
        name: _value(name, predictions, examples, label_words) for name in names
    }
