"""Inputs and labels in memory, and what can be done with them."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from runkit import InputError, closest

UNKNOWN = -1


@dataclasses.dataclass(frozen=True)
class Examples:
    """Inputs and labels of a pool or a test set.

    Attributes:
        name: the specification that it was read from.
        kind: "text", "image" or "embedding".
        inputs: `[n]` object array of str; `[n, height, width, channels]`
            uint8; or `[n, d]` float32.
        labels: `[n]` int64 class numbers; multi-label: `[n, classes]` int8 of
            0 and 1. `UNKNOWN` (in the whole row) where there is none.
        classes: names of the classes, by number.
        multilabel: an example may have any number of classes.
        rows: `[n]` int64, the row of each example in its source; what files
            call `example_id`.
    """

    name: str
    kind: str
    inputs: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    multilabel: bool
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def labeled(self) -> np.ndarray:
        """`[n]` bool: examples whose label is known."""
        known = self.labels != UNKNOWN
        return known.all(1) if self.multilabel else known

    @property
    def fingerprint(self) -> str:
        """Changes when inputs, labels or classes do."""
        if self.kind == "text":
            lines = "\0".join(self.inputs).encode("utf-8", "surrogatepass")
            value = zlib.crc32(lines)
        else:
            value = zlib.crc32(np.ascontiguousarray(self.inputs).data)
        value = zlib.crc32(np.ascontiguousarray(self.labels).data, value)
        return f"{zlib.crc32(repr(self.classes).encode(), value):08x}"

    def take(self, positions: np.ndarray) -> Examples:
        """Returns the examples at `positions`, which keep their rows."""
        return dataclasses.replace(
            self,
            inputs=self.inputs[positions],
            labels=self.labels[positions],
            rows=self.rows[positions],
        )


def make_examples(
    kind: str,
    inputs: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    multilabel: bool = False,
) -> Examples:
    """Examples in memory, as `open_pool` would read them."""
    return Examples(
        name="memory",
        kind=kind,
        inputs=inputs,
        labels=labels,
        classes=tuple(str(name) for name in classes),
        multilabel=multilabel,
        rows=np.arange(len(inputs)),
    )


def with_classes(
    examples: Examples, classes: Sequence[str], where: str
) -> Examples:
    """Numbers the labels as `classes` does; the names stay the same.

    Args:
        examples: with class names of their own, in any order.
        classes: all names.
        where: shown in messages.

    Raises:
        InputError: an example of a class that is not in `classes`; a matrix
            of labels that has no column for one of `classes`.
    """
    own, classes = examples.classes, tuple(classes)
    if own == classes:
        return examples
    # Lists in a file name all classes of an example; columns might lack some.
    missing = sorted({*classes} - {*own})
    if missing and examples.multilabel and examples.kind != "text":
        raise InputError(
            f"has no column of labels for the class {missing[0]!r}",
            where=where,
            got=own,
            expected=", ".join(classes),
        )
    for number, name in enumerate(own):
        rows = np.flatnonzero(_has_class(examples, number))
        if name not in classes and len(rows):
            raise InputError(
                f"example {examples.rows[rows[0]]} has an unknown class",
                where=where,
                got=name,
                remedy=closest(name, classes),
            )
    numbers = [classes.index(n) if n in classes else UNKNOWN for n in own]
    return dataclasses.replace(
        examples, labels=_renumbered(examples, numbers, len(classes)),
        classes=classes,
    )  # fmt: skip


def _has_class(examples: Examples, number: int) -> np.ndarray:
    if examples.multilabel:
        return examples.labels[:, number] == 1
    return examples.labels == number


def _renumbered(
    examples: Examples, numbers: list[int], num_classes: int
) -> np.ndarray:
    """Labels of class i become those of numbers[i]."""
    if not examples.multilabel:
        # `UNKNOWN` is -1 and picks the last entry.
        return np.array([*numbers, UNKNOWN], np.int64)[examples.labels]
    labels = np.zeros((len(examples), num_classes), examples.labels.dtype)
    for column, number in zip(examples.labels.T, numbers, strict=True):
        if number != UNKNOWN:
            labels[:, number] = column
    labels[~examples.labeled] = UNKNOWN
    return labels


def hold_out(
    pool: Examples, fraction: float, seed: int = 0
) -> tuple[Examples, Examples]:
    """Splits a pool at random into (rest, test).

    Only labeled examples are held out: the others can test nothing. The
    choice depends on `seed` alone, so that every run over the same pool tests
    on the same examples.

    Args:
        pool: all examples.
        fraction: of the labeled examples that become the test set.
        seed: of the choice.
    """
    known = np.flatnonzero(pool.labeled)
    count = round(fraction * len(known))
    held = np.random.default_rng(seed).choice(known, count, replace=False)
    is_test = np.zeros(len(pool), bool)
    is_test[held] = True
    return pool.take(np.flatnonzero(~is_test)), pool.take(
        np.flatnonzero(is_test)
    )


def check_same_frame(pool: Examples, test: Examples) -> None:
    """Refuses a test set that the pool's model could not judge."""
    same_kind = pool.kind == test.kind
    if not same_kind or pool.inputs.shape[1:] != test.inputs.shape[1:]:
        raise InputError(
            "examples of another shape than those of the pool",
            where="--test",
            got=_shape(test),
            expected=_shape(pool),
        )
    if pool.multilabel != test.multilabel:
        kinds = ("one class each", "any number of classes each")
        raise InputError(
            "examples with another kind of labels than those of the pool",
            where="--test",
            got=kinds[test.multilabel],
            expected=kinds[pool.multilabel],
        )
    if pool.classes != test.classes:
        raise InputError(
            "other classes than those of the pool",
            where="--test",
            got=test.classes,
            expected=", ".join(pool.classes),
        )


def _shape(examples: Examples) -> str:
    return f"{examples.kind} of shape {list(examples.inputs.shape[1:])}"


def encode_labels(
    values: Sequence[Any],
) -> tuple[np.ndarray, tuple[str, ...], bool]:
    """Turns labels as they stand in a file into numbers.

    Args:
        values: texts, numbers, None (unknown), or lists of texts (then the
            pool is multi-label).

    Returns:
        (labels as `Examples` has them; class names: those that occur, numbers
        in their order and texts in alphabetical order; multilabel).
    """
    multilabel = any(isinstance(value, list) for value in values)
    lists = [_as_list(value) for value in values]
    found = {str(n): n for names in lists for n in names or ()}
    classes = tuple(sorted(found, key=lambda name: _order(found[name])))
    numbers = {name: i for i, name in enumerate(classes)}
    shape = (len(lists), len(classes)) if multilabel else (len(lists),)
    labels = np.full(shape, UNKNOWN, np.int8 if multilabel else np.int64)
    for row, names in enumerate(lists):
        if names is None:
            continue
        chosen = [numbers[str(name)] for name in names]
        if multilabel:
            labels[row] = 0
            labels[row, chosen] = 1
        else:
            labels[row] = chosen[0]
    return labels, classes, multilabel


def _as_list(value: Any) -> list[Any] | None:
    if value is None or isinstance(value, list):
        return value
    return [value]


def _order(name: Any) -> tuple[bool, Any]:
    """Numbers by size and before texts, texts by alphabet."""
    number = isinstance(name, int | float)
    return (not number, name if number else str(name))
