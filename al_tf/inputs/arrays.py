"""Checks arrays from outside; refuses what is not a plain NumPy array."""

from __future__ import annotations

from typing import Any

import numpy as np

from runkit import InputError


def plain_array(value: Any, where: str) -> np.ndarray:
    """Returns a value as a plain NumPy array, without copying one.

    Numbers of a foreign byte order become those of this machine, unless they
    are mapped from a file.

    Args:
        value: an array, or nested lists of numbers.
        where: name of the argument, for messages.

    Raises:
        InputError: a sparse matrix, masked entries, rows of different length,
            or no numbers at all.
    """
    if hasattr(value, "tocsr"):
        raise InputError(
            "is a sparse matrix",
            where=where,
            got=type(value).__name__,
            expected="a dense array",
            remedy="Pass .toarray() of it",
        )
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InputError(
            f"has {int(np.ma.count_masked(value))} masked entries",
            where=where,
            remedy="Remove these examples, or fill the entries",
        )
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"is not an array of numbers ({error})",
            where=where,
            remedy="All rows must have the same length",
        ) from None
    if array.dtype.kind in "OSUMm" or array.dtype.names is not None:
        raise InputError(
            "is not an array of numbers", where=where, got=str(array.dtype)
        )
    if not array.dtype.isnative and not isinstance(array, np.memmap):
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def number(value: Any, where: str) -> float:
    """Returns a finite or infinite number as a Python float.

    Raises:
        InputError: a text, an array, NaN, or anything else.
    """
    is_number = isinstance(value, (int, float, np.integer, np.floating))
    if not is_number or isinstance(value, bool) or value != value:
        raise InputError(
            "must be a number", where=where, got=value, expected="a number"
        )
    return float(value)
