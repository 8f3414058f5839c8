"""Checks of single values: each raises `InputError` that names the field."""

from __future__ import annotations

import math

from runkit.errors import InputError


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


def require_positive(config: object, section: str, *names: str) -> None:
    """Raises InputError for fields that are not above zero, or not finite.

    An absent value (None) passes.

    Args:
        config: object whose attributes are checked.
        section: its name in messages, as in "section.field".
        *names: attributes to check.
    """
    for name in names:
        value = getattr(config, name)
        require(
            value is None or 0 < value < math.inf,
            "must be positive",
            f"{section}.{name}",
            value,
            expected="> 0",
        )


def require_weight(config: object, section: str, *names: str) -> None:
    """Raises InputError for fields that are negative or not finite."""
    for name in names:
        value = getattr(config, name)
        require(
            0 <= value < math.inf,
            "is negative or not finite",
            f"{section}.{name}",
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
            f"{section}.{name}",
            value,
            expected="0 <= value < 1",
        )
