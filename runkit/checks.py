"""Checks of single values: each raises `InputError` that names the field."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np

from runkit.errors import InputError

# A surrogate: half of a character, which UTF-8 cannot write.
HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def require(
    condition: bool, what: str, where: str, got: object, **how: str
) -> None:
    """Raises InputError unless `condition` holds.

    Args:
        condition: what must hold.
        what: what is wrong otherwise, as a sentence without a full stop.
        where: the flag or field that is checked.
        got: its value.
        **how: `expected` and `remedy` of the error.
    """
    if not condition:
        raise InputError(what, where=where, got=got, **how)


# No sequence is longer: what is, was meant for another flag, and would take the
# memory of the machine before anything refuses it.
MOST_TOKENS = 2**20
# Beyond some hundred years, the system's clocks overflow.
LONGEST_SECONDS = 1e9


def _field(section: str, name: str) -> str:
    """The name that a user gives the field: `in_flags` looks for it."""
    return f"{section}.{name}" if section else name


def require_positive(config: object, section: str, *names: str) -> None:
    """Raises InputError for fields that are not above zero, or not finite.

    Whole numbers have to fit into a tensor. An absent value (None) passes.

    Args:
        config: object whose attributes are checked.
        section: its name in messages, as in "section.field"; "" for the
            fields that have no section.
        *names: attributes to check.
    """
    for name in names:
        value = getattr(config, name)
        require(
            value is None or 0 < value < math.inf,
            "must be positive",
            _field(section, name),
            value,
            expected="> 0",
        )
        require(
            not isinstance(value, int) or value < 2**63,
            "is too large",
            _field(section, name),
            value,
            expected="below 2**63",
        )


def require_weight(config: object, section: str, *names: str) -> None:
    """Raises InputError for fields that are negative or not finite."""
    for name in names:
        value = getattr(config, name)
        require(
            0 <= value < math.inf,
            "is negative or not finite",
            _field(section, name),
            value,
            expected=">= 0",
        )


def require_fraction(config: object, section: str, *names: str) -> None:
    """Raises InputError for fields outside [0, 1)."""
    for name in names:
        value = getattr(config, name)
        require(
            0 <= value < 1,
            "is not a fraction",
            _field(section, name),
            value,
            expected="0 <= value < 1",
        )


def require_finite(
    arrays: Iterable[tuple[str, np.ndarray]], what: str, where: str, remedy: str
) -> None:
    """Raises InputError at the first array that has a NaN or an infinity.

    Args:
        arrays: (name, array) pairs; arrays of whole numbers pass.
        what: what the arrays are, in the plural, such as "weights".
        where: the file, run or step that they belong to.
        remedy: what to do about it.
    """
    for name, array in arrays:
        # bfloat16 is of NumPy's kind "V" and has no isfinite of its own.
        values = array if array.dtype.kind != "V" else array.astype(np.float32)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            bad = int(np.size(values) - np.isfinite(values).sum())
            raise InputError(
                f"{what} are not finite",
                where=where,
                got=f"{bad:,} of {np.size(values):,} numbers of {name}",
                expected="finite numbers",
                remedy=remedy,
            )


def require_seed(seed: int, where: str = "seed") -> None:
    """Raises InputError unless the seed fits 31 bits, as TensorFlow's do."""
    require(
        0 <= seed < 2**31,
        "is out of range",
        where,
        seed,
        expected="0 <= seed < 2**31",
    )


def require_slices(batch_size: int, accumulation_steps: int) -> None:
    """Raises InputError unless a batch can be cut into equal slices."""
    require(
        batch_size % accumulation_steps == 0,
        "is not divisible by accumulation_steps",
        "batch_size",
        batch_size,
        expected=f"a multiple of {accumulation_steps}",
    )


def check_texts(texts: object, where: str = "texts") -> None:
    """Refuses what is not a sequence of texts.

    A single text is refused: it would be read as one text per letter.

    Args:
        texts: a list, tuple or `[n]` array, also of none.
        where: its name in messages.

    Raises:
        InputError: not a sequence, or one with another thing in it than text
            that UTF-8 can write.
    """
    is_array = isinstance(texts, np.ndarray) and texts.ndim == 1
    if not (is_array or isinstance(texts, list | tuple)):
        raise InputError(
            f"is not a list of texts but {type(texts).__name__}",
            where=where,
            got=texts,
            expected="a list, a tuple or an array of one dimension",
            remedy="Put a single text into a list: [text]"
            if isinstance(texts, str | bytes)
            else "",
        )
    for number, text in enumerate(cast(Sequence[object], texts)):
        if not isinstance(text, str | bytes):
            raise InputError(
                f"is not a text but {type(text).__name__}",
                where=f"{where}[{number}]",
                got=text,
            )
        if isinstance(text, str) and HALF_CHARACTER.search(text):
            raise InputError(
                "holds half of a character (a lone surrogate)",
                where=f"{where}[{number}]",
                got=text,
            )
