"""Arrow columns as NumPy arrays of numbers or vectors."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from runkit import InputError


def vectors(column: Any, where: str) -> np.ndarray:
    """Returns a column of lists of one length as `[rows, length]`.

    Raises:
        InputError: a row without a list, lists of different length, or other
            things than numbers in them.
    """
    import pyarrow as pa

    if column.null_count:
        raise InputError("rows without an embedding", where=where)
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
    if values.null_count or not pa.types.is_primitive(values.type):
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
        words = re.split(r"[,;\s]+", cell.strip().strip("[]()").strip())
        try:
            found.append([float(word) for word in words])
        except ValueError:
            raise InputError(
                "is not a list of numbers",
                where=where,
                got=cell,
                expected="[0.5, -1.25, ...] in every row",
            ) from None
        if len(found[-1]) != len(found[0]):
            raise InputError("rows of different length", where=where)
    return np.array(found, np.float32)
