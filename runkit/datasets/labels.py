"""Labels and ids as files hold them, and the numbers of classes."""

from __future__ import annotations

import collections
import contextlib
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
_SHOWN = 5
_LARGEST_ID = 2**63
# A whole number as a spreadsheet or a person may write it. With a point it has
# been a fraction, which tells whole numbers apart up to 15 digits.
WHOLE_ID = r"[+-]?([0-9]{1,19}|[0-9]{1,15}\.0+)"
# What Unicode calls the forms of the width of East Asian letters.
_WIDTHS = ("<wide>", "<narrow>")
# Joiners, fillers and selectors of a variant, which Unicode counts as letters
# and accents.
_FILLERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Returns distinct class names in the one order of every binary.

    By value where all of them are numbers (1, 2, 10), by text otherwise.
    """
    distinct = sorted(set(names))
    values = {name: _value(name) for name in distinct}
    if None not in values.values():
        distinct.sort(key=values.get)  # type: ignore[arg-type]
    return tuple(distinct)


def _value(name: str) -> decimal.Decimal | None:
    """The number that a name writes; None: it is no number, or one too large.

    `1e99999999999999999999` looks like a number, but nothing can hold it.
    """
    if not _NUMBER.fullmatch(name) or len(name) >= _LONGEST_NUMBER:
        return None
    with contextlib.suppress(decimal.InvalidOperation):
        return decimal.Decimal(name)
    return None


def class_key(name: str) -> Any:
    """Returns what all ways of writing a class name have in common.

    `1` and `1.0`, outer spaces, characters that nobody sees (such as a space of
    no width), full and half width, and the two ways in which Unicode writes a
    letter with an accent (NFC and NFD) make no difference. Case does.
    """
    seen = (
        unicodedata.normalize("NFKC", character)
        if unicodedata.decomposition(character).startswith(_WIDTHS)
        else character
        for character in name
        # Controls and marks of format are not seen; white space is.
        if character.isspace()
        or unicodedata.category(character) not in ("Cc", "Cf")
        and not _FILLERS.match(character)
    )
    plain = " ".join(unicodedata.normalize("NFC", "".join(seen)).split())
    value = _value(plain)
    return plain if value is None else value


def check_twins(names: Iterable[str], where: str) -> None:
    """Refuses two class names that a reader would take for one.

    Args:
        names: of the classes.
        where: flag or file, for messages.

    Raises:
        InputError: two names of one `class_key`.
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


def check_added(added: Sequence[str], known: Sequence[str], where: str) -> None:
    """Refuses new classes that differ from another in writing or case alone.

    Data may have `US` beside `us`; who adds `Bird` beside `bird` made a slip.

    Args:
        added: names of the new classes.
        known: names of the classes that are there.
        where: flag, for messages.
    """
    check_twins([*known, *added], where)
    seen = {str(class_key(name)).casefold(): name for name in known}
    for name in added:
        other = seen.setdefault(str(class_key(name)).casefold(), name)
        if other != name:
            raise InputError(
                f"differs from the class {ascii(other)} in case alone",
                where=where,
                got=name,
                expected="a class of its own",
                remedy=f"Label with {ascii(other)}, or choose another name",
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
            else isinstance(item, int)
            or (isinstance(item, float) and math.isfinite(item))
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
    """Turns labels as a file holds them into class numbers.

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


def check_id(value: Any, place: str) -> str | int:
    """Returns an id that can be one.

    Raises:
        InputError: neither a text nor a whole number, or an empty text.
    """
    if isinstance(value, str) and value:
        return whole_text(value, place)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if is_whole and -_LARGEST_ID <= value < _LARGEST_ID:
        return value
    raise InputError(
        "is not an id",
        where=place,
        got="" if value is None else value,
        expected="a text or a whole number",
    )


def id_array(values: Sequence[Any], where: str) -> np.ndarray:
    """Returns ids that are all of one kind and all different.

    Args:
        values: of all examples.
        where: file or specification, for messages.

    Returns:
        `[n]` object array of str or of int.

    Raises:
        InputError: texts among whole numbers, or an id that occurs twice.
    """
    ids = [
        check_id(value, f"{where}, id {i}") for i, value in enumerate(values)
    ]
    kinds = {type(value): value for value in reversed(ids)}
    if len(kinds) > 1:
        raise InputError(
            "ids are texts and whole numbers",
            where=where,
            got=[kinds[str], kinds[int]],
            expected="one kind of ids",
        )
    counts = collections.Counter(ids)
    twice = [value for value, count in counts.items() if count > 1]
    if twice:
        names = ", ".join(map(repr, twice[:_SHOWN]))
        more = ", ..." if len(twice) > _SHOWN else ""
        raise InputError(
            f"{len(twice)} ids occur more than once: {names}{more}", where=where
        )
    out = np.empty(len(ids), object)
    out[:] = ids
    return out


def id_key(value: Any, *, is_text: bool) -> str | int | None:
    """Returns what a cell of a file says, as the pool has it.

    Args:
        value: of the cell. A spreadsheet makes `7.0` of 7.
        is_text: the pool's ids are texts; otherwise they are whole numbers.

    Returns:
        None if it is not a whole number where it should be one.
    """
    text = str(value)
    if is_text:
        return text
    found = re.fullmatch(WHOLE_ID, text.strip())
    number = int(found[0].partition(".")[0]) if found else _LARGEST_ID
    return number if -_LARGEST_ID <= number < _LARGEST_ID else None
