"""How SQuAD's and ReCoRD's official scripts compare answers.

Both lower the case, drop punctuation and articles, and take the best of the
accepted answers (Rajpurkar et al. 2016; Zhang et al. 2018).
"""

from __future__ import annotations

import collections
import re
import string
from collections.abc import Callable, Sequence

import numpy as np

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_DROP_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(answer: str) -> str:
    """Returns the lower-case words without ASCII punctuation and articles.

    Punctuation goes first: "a.m." is the word "am", and "the-end" is "theend".
    """
    bare = answer.lower().translate(_DROP_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def overlap_f1(answer: str, prediction: str) -> float:
    """Returns the F1 (0 to 1) of two normalized answers' bags of words.

    Two answers of no words at all score 0, as in the official scripts.
    """
    wanted = collections.Counter(answer.split())
    said = collections.Counter(prediction.split())
    common = (wanted & said).total()
    if not common:
        return 0.0
    precision, recall = common / said.total(), common / wanted.total()
    return 2 * precision * recall / (precision + recall)


def _best(
    score: Callable[[str, str], float],
    accepted: Sequence[Sequence[str]],
    predictions: Sequence[str],
) -> float:
    """Returns the mean over examples of the best over answers, in percent."""
    values = [
        max(score(normalize(answer), normalize(text)) for answer in answers)
        for answers, text in zip(accepted, predictions, strict=True)
    ]
    return 100 * float(np.mean(values))


def token_f1(
    accepted: Sequence[Sequence[str]], predictions: Sequence[str]
) -> float:
    """Returns the mean F1 of words, in percent.

    Args:
        accepted: each example's accepted answers, at least one.
        predictions: one text per example.
    """
    return _best(overlap_f1, accepted, predictions)


def exact_match(
    accepted: Sequence[Sequence[str]], predictions: Sequence[str]
) -> float:
    """Returns the share of predictions that equal an accepted answer, in %.

    Args:
        accepted: each example's accepted answers, at least one.
        predictions: one text per example.
    """
    return _best(lambda a, b: float(a == b), accepted, predictions)
