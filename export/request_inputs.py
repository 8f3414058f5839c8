"""What a client sends: checked inputs, as tensors and as JSON; JSON back."""

from __future__ import annotations

import base64
import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from export.c_api.tensors import STRING, cast_numbers, numpy_type
from runkit import InputError
from runkit.checks import HALF_CHARACTER

Rows = list | np.ndarray
_Number = (int, float, np.number, np.bool_)
# Names of TensorFlow's types in a signature's metadata.
_DTYPES = {
    "DT_BOOL": np.bool_,
    "DT_DOUBLE": np.float64,
    "DT_FLOAT": np.float32,
    "DT_HALF": np.float16,
    "DT_INT8": np.int8,
    "DT_INT16": np.int16,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_UINT8": np.uint8,
    "DT_UINT16": np.uint16,
    "DT_UINT32": np.uint32,
    "DT_UINT64": np.uint64,
}


_NAMES = {np.dtype(dtype).name for dtype in _DTYPES.values()}


def checked_inputs(inputs: Mapping[str, Any]) -> dict[str, Rows]:
    """Returns the inputs of a request, each a list or an array of rows.

    Args:
        inputs: {input name: rows}. A row is a text, a number or nested lists
            of one of the two.

    Raises:
        InputError: no inputs; a lone text, which is not one row for each of
            its letters; anything else that is not rows of texts or of numbers;
            or inputs of different lengths.
    """
    if not isinstance(inputs, Mapping) or not inputs:
        raise InputError(
            "holds no inputs",
            where="inputs",
            got=inputs,
            expected='{input name: list of rows}, as {"text": ["fine"]}',
        )
    rows = {name: _rows(f"input {name}", inputs[name]) for name in inputs}
    lengths = {name: len(value) for name, value in rows.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            "differ in their number of rows", where="inputs", got=lengths
        )
    return rows


def _rows(where: str, value: Any) -> Rows:
    if isinstance(value, str | bytes | bytearray):
        raise InputError(
            "is one text, not a list of texts",
            where=where,
            got=value,
            remedy="Put it into a list",
        )
    if isinstance(value, list | tuple):
        rows: Rows = list(value)
        _check_leaves(where, rows)
        return rows
    if np.ma.isMaskedArray(value):
        raise InputError(
            "has masked values",
            where=where,
            remedy="Fill them, or leave their rows out",
        )
    array = np.asarray(value) if hasattr(value, "__array__") else None
    is_known = array is not None and (
        array.dtype.kind in "OSU" or array.dtype.name in _NAMES
    )
    if array is None or array.ndim == 0 or not is_known:
        raise InputError("is not a list of rows", where=where, got=value)
    if array.dtype.kind in "OSU":
        rows = array.tolist()
        _check_leaves(where, rows)
        return rows
    # TensorFlow copies the bytes as they are, whatever their order is.
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _check_leaves(where: str, rows: Rows) -> None:
    """Refuses anything but texts alone, or numbers alone."""
    found = None
    try:
        leaves = list(_leaves(rows))
    except RecursionError:
        raise InputError("is nested too deeply", where=where) from None
    for leaf in leaves:
        kind = (
            "texts"
            if isinstance(leaf, str | bytes)
            else "numbers"
            if isinstance(leaf, _Number)
            else None
        )
        if isinstance(leaf, str) and HALF_CHARACTER.search(leaf):
            raise InputError(
                "holds half of a character (a lone surrogate)",
                where=where,
                got=leaf,
            )
        if kind is None or found not in (None, kind):
            raise InputError(
                "holds neither texts alone nor numbers alone",
                where=where,
                got=leaf if leaf is not None else "None",
            )
        found = kind
    # Texts as what takes no room: their lengths may be very different.
    plain = rows if found == "numbers" else _without_texts(rows)
    try:
        array = np.asarray(plain)
    except ValueError:
        raise InputError("has rows of different lengths", where=where) from None
    is_whole = all(isinstance(leaf, int | np.integer) for leaf in leaves)
    if array.dtype == object or (
        # NumPy makes fractions of what neither int64 nor uint64 holds.
        found == "numbers" and is_whole and array.dtype.kind == "f"
    ):
        raise InputError(
            "holds a number that 64 bits are too few for", where=where
        )


def _without_texts(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_without_texts(item) for item in value]
    return 0


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def is_text(value: Rows) -> bool:
    """Whether rows are texts; an empty list is, as texts are usual."""
    if isinstance(value, np.ndarray):
        return False
    return isinstance(next(_leaves(value), ""), str | bytes)


def tensor_proto(value: Rows, dtype: int = 0) -> Any:
    """Returns the TensorProto of rows from `checked_inputs`.

    Args:
        value: the rows.
        dtype: DataType of the signature's input; 0 if it is not known. Numbers
            that it holds are sent in it, as servers convert none. Others stay
            what they are, for the server to refuse.
    """
    from tensorflow.core.framework import tensor_pb2

    is_empty_list = dtype not in (0, STRING) and not len(value)
    if is_empty_list or not is_text(value):
        import tensorflow as tf

        numbers: Rows = value
        with contextlib.suppress(TypeError, OverflowError, ValueError):
            if dtype:
                numbers = cast_numbers(np.asarray(value), numpy_type(dtype))
        return tf.make_tensor_proto(numbers)
    array = np.asarray(value, object)
    proto = tensor_pb2.TensorProto(
        dtype=STRING,
        string_val=[
            item.encode() if isinstance(item, str) else item
            for item in array.ravel()
        ],
    )
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def to_json(value: Any) -> Any:
    """Returns rows as JSON has them; bytes become {"b64": ...}."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode("ascii")}
    return value


def from_json(value: Any, info: Mapping[str, Any]) -> np.ndarray:
    """Returns an output as gRPC brings it: of the signature's type and shape.

    Args:
        value: nested lists.
        info: of the output in the metadata's signature, `dtype` and
            `tensor_shape`.
    """
    kind = info["dtype"]
    if kind == "DT_STRING":
        # As objects: numpy's own texts lose zeros at their end.
        array = np.array(value, object)
        texts = [item.encode() for item in array.ravel()]
        array = np.array([*texts, None], object)[:-1].reshape(array.shape)
    else:
        array = np.array(value, _DTYPES.get(kind))
    if array.size == 0:
        # Lists do not say how wide no rows are.
        dims = info.get("tensor_shape", {}).get("dim", [])
        sizes = [max(int(dim.get("size", -1)), 0) for dim in dims]
        if sizes and math.prod(sizes) == 0:
            array = array.reshape(sizes)
    return array
