"""Classes of labels that arrive bit by bit, and what models say about them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from runkit import InputError, closest
from runkit.datasets.labels import check_twins


class KnownClasses:
    """Numbers the classes that labels name.

    Args:
        classes: all of them, by number; None: those that labels show, sorted.
        multilabel: a label is a collection of classes.

    Raises:
        InputError: a class twice or no class, or multi-label without classes.
    """

    def __init__(self, classes: Sequence[Any] | None, multilabel: bool):
        if multilabel and not classes:
            raise InputError(
                "are missing: a multi-label pool needs them all",
                where="classes",
            )
        if isinstance(classes, str | bytes | set | frozenset):
            raise InputError(
                "must be a list, in the order of the model's answers",
                where="classes",
                got=classes,
            )
        self.multilabel, self._is_fixed = multilabel, False
        self.classes: list[Any] = [*map(_plain, classes or ())]
        for item in self.classes:
            self._check_class(item, "classes")
        check_twins((x for x in self.classes if isinstance(x, str)), "classes")
        if len(set(self.classes)) < len(self.classes):
            raise InputError("names one twice", where="classes", got=classes)
        self._is_fixed = bool(classes)

    def check(self, names: Sequence[Any], labels: Sequence[Any]) -> None:
        """Refuses what is not a label.

        Args:
            names: of the examples, for messages.
            labels: theirs.

        Raises:
            InputError: no label, a list where one class is wanted or the other
                way round, an unknown class, or both texts and numbers.
        """
        for name, label in zip(names, labels, strict=True):
            where = f"label of {name!r}"
            is_list = isinstance(label, list | tuple | set | np.ndarray)
            if is_list != self.multilabel:
                raise InputError(
                    "must be a list of classes"
                    if self.multilabel
                    else "must be one class",
                    where=where,
                    got=label,
                )
            for item in label if is_list else [label]:
                self._check_class(_plain(item), where)
        if self.multilabel or self._is_fixed:
            return
        words = {str(x) for x in [*self.classes, *labels] if isinstance(x, str)}
        check_twins(words, "labels")
        texts = [isinstance(x, str) for x in [*self.classes, *labels]]
        if any(texts) and not all(texts):
            raise InputError(
                "are texts and numbers",
                where="labels",
                expected="classes of one kind",
            )

    def _check_class(self, item: Any, where: str) -> None:
        if not isinstance(item, Hashable) or item in (math.inf, -math.inf):
            raise InputError("is not a class", where=where, got=item)
        if item is None or item != item or item == "":
            raise InputError(
                "is missing",
                where=where,
                got=item,
                remedy="Leave the example out: it stays unlabeled",
            )
        if self._is_fixed and item not in self.classes:
            raise InputError(
                "is not one of the classes",
                where=where,
                got=item,
                remedy=closest(str(item), self.classes),
            )

    def encode(self, labels: Sequence[Any]) -> tuple[np.ndarray, bool]:
        """Numbers checked labels; learns classes that are not fixed.

        Returns:
            (`[m]` int64 class numbers or `[m, classes]` of 0 and 1, whether
            they tell more than one class.)
        """
        if self.multilabel:
            sets = [{*map(_plain, label)} for label in labels]
            table = [[c in found for c in self.classes] for found in sets]
            matrix = np.array(table, np.int64).reshape(-1, len(self.classes))
            return matrix, len(matrix) > 0
        plain = [*map(_plain, labels)]
        if not self._is_fixed:
            self.classes = sorted({*plain})
        number = {name: i for i, name in enumerate(self.classes)}
        return np.array([number[x] for x in plain], np.int64), len({*plain}) > 1


def two_classes(probabilities: np.ndarray) -> np.ndarray:
    """Adds the other class where a model tells the probability of one alone.

    A classifier that has seen one class is sure of everything; a network with
    one sigmoid says how likely the second of two classes is.

    Args:
        probabilities: `[n, classes]`.

    Returns:
        `[n, max(classes, 2)]`.
    """
    if probabilities.shape[1] != 1:
        return probabilities
    return np.concatenate([probabilities, 1 - probabilities], axis=1)


def listed(values: Any, where: str) -> list[Any]:
    """Returns a sequence or array as a list.

    Args:
        values: ids or labels.
        where: name of the argument, for messages.

    Raises:
        InputError: one value, a set, or masked entries.
    """
    # A set has no order.
    is_one = isinstance(values, str | bytes | set | frozenset)
    if is_one or not hasattr(values, "__iter__"):
        raise InputError(
            "must be a list", where=where, got=values, expected="one per id"
        )
    if np.ma.is_masked(values):
        raise InputError(
            "has masked entries", where=where, remedy="Leave the examples out"
        )
    return (
        np.asarray(values).tolist() if hasattr(values, "dtype") else [*values]
    )


def _plain(value: Any) -> Any:
    """A number or text of NumPy as one of Python's."""
    return value.item() if isinstance(value, np.generic) else value
