"""Arrow columns as NumPy arrays of numbers or vectors."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from runkit import InputError

_GAP = re.compile(r"\s*[,;]\s*|\s+")
# Commas for points show where something else is between the numbers too:
# `0,5 1,25`, `0,5; 1,25`.
_NARROW_COMMA = re.compile(r"[0-9],[0-9]")
_OTHER_GAP = re.compile(r"[0-9.]\s*;|[0-9.]\s+[-+0-9.]")
# Python's `float` takes more: 1_000, and the digits of other scripts.
_NUMBER = re.compile(
    r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?(inf|nan)",
    re.IGNORECASE,
)


def vectors(column: Any, where: str) -> np.ndarray:
    """Returns a column of lists of one length as `[rows, length]`.

    Raises:
        InputError: a row without a list, lists of different length, or other
            things than numbers in them.
    """
    import pyarrow as pa

    if column.null_count:
        raise InputError(
            f"{column.null_count} rows without a list of numbers", where=where
        )
    if pa.types.is_string(column.type):
        return _written_vectors(column.to_pylist(), where)
    if not is_list(column.type):
        raise InputError(
            "is not a column of lists of numbers",
            where=where,
            got=str(column.type),
        )
    if not isinstance(column, pa.FixedSizeListArray):
        lengths = np.diff(column.offsets.to_numpy())
        if (lengths != lengths[0]).any():
            raise InputError("rows of different length", where=where)
    values = column.flatten()
    kind = values.type
    # A list of true and false is no vector, although both are numbers too.
    is_number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
    if values.null_count or not is_number:
        raise InputError(
            "embeddings must be numbers without gaps",
            where=where,
            got=str(column.type),
        )
    return values.to_numpy(zero_copy_only=False).reshape(len(column), -1)


def numbers(column: Any, where: str) -> np.ndarray:
    """Returns a column of numbers as `[rows]`; whole ones become float64.

    Raises:
        InputError: gaps, or other things than numbers.
    """
    import pyarrow as pa

    if column.null_count:
        raise InputError(
            f"{column.null_count} rows without a number", where=where
        )
    kind = column.type
    try:
        if not pa.types.is_floating(kind):
            is_bool = pa.types.is_boolean(kind)
            column = column.cast(pa.string() if is_bool else pa.float64())
        return column.to_numpy(zero_copy_only=False).astype(
            column.type.to_pandas_dtype()
        )
    except (pa.ArrowException, ValueError, NotImplementedError) as error:
        raise InputError(
            f"is not a column of numbers ({error})", where=where, got=str(kind)
        ) from None


def is_list(kind: Any) -> bool:
    """Whether an Arrow type is one of lists."""
    import pyarrow as pa

    return (
        pa.types.is_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_large_list(kind)
    )


def _written_vectors(cells: list[str], where: str) -> np.ndarray:
    """Reads vectors that are written as `[0.5, 1]` or `0.5 1`."""
    found: list[list[float]] = []
    for cell in cells:
        text = cell.strip().strip("[]()").strip()
        words = _GAP.split(text)
        is_unclear = _NARROW_COMMA.search(text) and _OTHER_GAP.search(text)
        if is_unclear or not all(map(_NUMBER.fullmatch, words)):
            raise InputError(
                "has commas between numbers, or in them"
                if is_unclear
                else "is not a list of numbers",
                where=where,
                got=cell,
                expected="[0.5, -1.25, ...] in every row",
            )
        found.append([float(word) for word in words])
        if len(found[-1]) != len(found[0]):
            raise InputError("rows of different length", where=where)
    with np.errstate(over="ignore"):  # Infinite ones are refused by name.
        return np.array(found, np.float32)
