"""One label for each example out of the answers of several people."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from al_tf.label_tools.answers import LABEL, Given
from al_tf.project.settings import Settings
from runkit import InputError

Answers = Mapping[Any, Mapping[str, Given]]
Names = tuple[str, ...]


class Agreement(NamedTuple):
    """How far people agree.

    Attributes:
        examples: number of examples with two or more labels.
        observed: share of the pairs of labels of one example that are equal,
            each example counting alike; None without such an example.
        alpha: Krippendorff's alpha for nominal data (Krippendorff 2011); 1 is
            perfect, 0 is what chance would give; None where it is undefined.
        annotators: {name: (labels, share equal to the resolved label)}.
    """

    examples: int
    observed: float | None
    alpha: float | None
    annotators: dict[str, tuple[int, float | None]]


def resolved_labels(answers: Answers, settings: Settings) -> dict[Any, Names]:
    """The class names of each example whose label is decided.

    The majority decides; with several classes each by itself. A tie decides
    nothing, and neither do fewer labels than `settings.min_votes`.

    Raises:
        InputError: Dawid-Skene without crowd-kit.
    """
    enough = _enough(answers, settings)
    if settings.votes == "dawid_skene" and enough:
        return _dawid_skene(enough)
    return _majority(enough, settings)


def decided(answers: Answers, settings: Settings) -> set[Any]:
    """The examples that `resolved_labels` names, without asking crowd-kit."""
    enough = _enough(answers, settings)
    if settings.votes == "dawid_skene":
        return {*enough}
    return {*_majority(enough, settings)}


def _enough(
    answers: Answers, settings: Settings
) -> dict[Any, dict[str, Names]]:
    """Labels of the examples that have enough of them."""
    return {
        example: labels
        for example, given in answers.items()
        if len(labels := _labels(given)) >= settings.min_votes
    }


def _majority(
    enough: dict[Any, dict[str, Names]], settings: Settings
) -> dict[Any, Names]:
    found: dict[Any, Names] = {}
    for example, labels in enough.items():
        votes = [*labels.values()]
        if settings.multilabel:
            each = collections.Counter(n for names in votes for n in names)
            is_tie = any(2 * n == len(votes) for n in each.values())
            most = tuple(n for n in each if 2 * each[n] > len(votes))
        else:
            (most, count), *others = collections.Counter(votes).most_common(2)
            is_tie = bool(others) and others[0][1] == count
        if not is_tie:
            found[example] = most
    return found


def _labels(given: Mapping[str, Given]) -> dict[str, Names]:
    return {who: g.classes for who, g in given.items() if g.state == LABEL}


def _dawid_skene(answers: dict[Any, dict[str, Names]]) -> dict[Any, Names]:
    """Labels weighed by how reliable each annotator is (Dawid, Skene 1979)."""
    try:
        import pandas as pd
        from crowdkit.aggregation import DawidSkene
    except ImportError:
        raise InputError(
            "needs crowd-kit, which is not installed",
            where="--votes",
            got="dawid_skene",
            remedy="pip install 'spactor-al[labeling]'",
        ) from None
    examples = list(answers)
    rows = [
        (number, who, names[0])
        for number, example in enumerate(examples)
        for who, names in answers[example].items()
    ]
    table = pd.DataFrame(rows, columns=["task", "worker", "label"])
    found = DawidSkene(n_iter=100).fit_predict(table)
    return {examples[int(task)]: (label,) for task, label in found.items()}


def agreement(answers: Answers, resolved: Mapping[Any, Names]) -> Agreement:
    """Measures how far people agree; see `Agreement`."""
    labels = {example: _labels(given) for example, given in answers.items()}
    several = [[*found.values()] for found in labels.values() if len(found) > 1]
    equal: list[float] = []
    own: collections.Counter[Names] = collections.Counter()
    for values in several:
        counts = collections.Counter(values)
        pairs = len(values) * (len(values) - 1)
        equal.append(sum(n * (n - 1) for n in counts.values()) / pairs)
        own.update(values)
    total = own.total()
    alpha = None
    if several:
        sizes = np.array([len(values) for values in several])
        unequal = float(sizes @ (1 - np.array(equal))) / total
        pairs_of_all = total * total - sum(n * n for n in own.values())
        by_chance = pairs_of_all / (total * (total - 1))
        alpha = 1 - unequal / by_chance if by_chance else None
    return Agreement(
        len(several),
        float(np.mean(equal)) if equal else None,
        alpha,
        _annotators(labels, resolved),
    )


def _annotators(
    labels: dict[Any, dict[str, Names]], resolved: Mapping[Any, Names]
) -> dict[str, tuple[int, float | None]]:
    count: collections.Counter[str] = collections.Counter()
    judged: dict[str, list[bool]] = collections.defaultdict(list)
    for example, found in labels.items():
        for who, names in found.items():
            count[who] += 1
            # Alone, everybody agrees with the label.
            if len(found) > 1 and example in resolved:
                judged[who].append({*names} == {*resolved[example]})
    return {
        who: (
            count[who],
            float(np.mean(judged[who])) if judged[who] else None,
        )
        for who in sorted(count)
    }
