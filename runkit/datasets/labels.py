"""Labels as files hold them, and the numbers of their classes."""

from __future__ import annotations

import decimal
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from runkit.datasets.tables import whole_text
from runkit.errors import InputError, closest

UNKNOWN = -1
_LONGEST_NUMBER = 400  # Of digits, where the name is a number at all.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Returns distinct class names in the one order of every binary.

    By value where all of them are numbers (1, 2, 10), by text otherwise.
    """
    distinct = sorted(set(names))
    if all(_NUMBER.fullmatch(name) for name in distinct):
        distinct.sort(key=decimal.Decimal)
    return tuple(distinct)


def class_key(name: str) -> Any:
    """Returns what all ways of writing a class name have in common.

    `1` and `1.0`, outer spaces, and the two ways in which Unicode writes a
    letter with an accent (NFC and NFD) make no difference.
    """
    plain = " ".join(unicodedata.normalize("NFC", name).split())
    is_number = _NUMBER.fullmatch(plain) and len(plain) < _LONGEST_NUMBER
    return decimal.Decimal(plain) if is_number else plain


def check_twins(names: Iterable[str], where: str) -> None:
    """Refuses two class names that a reader would take for one.

    Args:
        names: of the classes.
        where: flag or file, for messages.

    Raises:
        InputError: `1` and `1.0`, outer spaces, or one character that is
            written in two ways (Unicode's NFC and NFD).
    """
    seen: dict[Any, str] = {}
    for name in names:
        key = class_key(name)
        other = seen.setdefault(key, name)
        if other != name:
            raise InputError(
                "names that mean the same class",
                where=where,
                # In ASCII: the two may look the same.
                got=" and ".join((ascii(other), ascii(name))),
                expected="one way of writing a class",
                remedy="Write the labels in one way in the file",
            )


def check_label(value: Any, place: str) -> Any:
    """Returns a label that can be one.

    Args:
        value: a text, a finite number, a list of these (multi-label), or None
            for an example without a label.
        place: file and line, for messages.

    Raises:
        InputError: anything else, a blank text, or half of a character.
    """
    items = value if isinstance(value, list) else [value]
    for item in [] if value is None else items:
        if not (
            item.strip()
            if isinstance(item, str)
            else isinstance(item, int | float) and math.isfinite(item)
        ):
            raise InputError(
                "is not a label",
                where=place,
                got=value,
                expected="a text, a finite number, a list of these, or null",
            )
        whole_text(str(item), place)
    return value


def check_form(value: Any, multilabel: bool | None, place: str) -> bool | None:
    """Refuses a single label among lists, or a list among single labels.

    Args:
        value: a checked label; None passes in either form.
        multilabel: the form of the labels before; None if there was none.
        place: file and line, for messages.

    Returns:
        The form of the labels so far.

    Raises:
        InputError: a label of the other form.
    """
    if value is None:
        return multilabel
    is_list = isinstance(value, list)
    if multilabel not in (None, is_list):
        raise InputError(
            "is not a list of labels" if multilabel else "is not one label",
            where=place,
            got=value,
            expected="a list of texts or numbers, as before"
            if multilabel
            else "one text or number, as before",
        )
    return is_list


def encode_labels(
    values: Sequence[Any], classes: Sequence[str] = ()
) -> tuple[np.ndarray, tuple[str, ...], bool]:
    """Turns labels as they stand in a file into class numbers.

    Args:
        values: texts, numbers, None (unknown), or lists (multi-label).
        classes: names that are all there can be, in order; empty: those that
            occur, in the order of `class_order`.

    Returns:
        (labels; class names; multilabel). The labels are `[n]` int64 class
        numbers, or `[n, classes]` int8 of 0 and 1; `UNKNOWN` (in the whole
        row) where there is none.
    """
    multilabel = any(isinstance(value, list) for value in values)
    lists = [
        value if value is None or isinstance(value, list) else [value]
        for value in values
    ]
    found = (str(name) for names in lists for name in names or ())
    classes = tuple(classes) or class_order(found)
    numbers = {name: number for number, name in enumerate(classes)}
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


def renumber(
    labels: np.ndarray,
    own: Sequence[str],
    classes: Sequence[str],
    *,
    rows: np.ndarray | None = None,
    where: str,
) -> np.ndarray:
    """Numbers labels as `classes` does; the names stay the same.

    Args:
        labels: as `encode_labels` gives them.
        own: their class names, by number.
        classes: the names in the new order; some may have no example.
        rows: `[n]` names of the examples for messages; None counts from 0.
        where: flag or argument, for messages.

    Returns:
        Labels of the same form.

    Raises:
        InputError: an example of a class that is not in `classes`.
    """
    own, classes = tuple(own), tuple(classes)
    if own == classes:
        return labels
    multilabel = labels.ndim == 2
    for number, name in enumerate(own):
        has = labels[:, number] == 1 if multilabel else labels == number
        found = np.flatnonzero(has)
        if name not in classes and len(found):
            example = found[0] if rows is None else rows[found[0]]
            raise InputError(
                f"example {example} has an unknown class",
                where=where,
                got=name,
                remedy=closest(name, classes),
            )
    numbers = [classes.index(n) if n in classes else UNKNOWN for n in own]
    if not multilabel:
        # `UNKNOWN` is -1 and picks the last entry.
        return np.array([*numbers, UNKNOWN], np.int64)[labels]
    changed = np.zeros((len(labels), len(classes)), labels.dtype)
    for column, number in zip(labels.T, numbers, strict=True):
        if number != UNKNOWN:
            changed[:, number] = column
    changed[(labels == UNKNOWN).any(1)] = UNKNOWN
    return changed
