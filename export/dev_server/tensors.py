"""Tensors from and to outside: as TensorProtos, and outputs as JSON."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from export.c_api.tensors import proto_array
from export.dev_server.errors import ServiceError

_BYTES_SUFFIX = "_bytes"  # Outputs of such names are written as base64.
MOST_ELEMENTS = 1 << 22  # Of one input tensor.
# Fields of TensorProto by type; the smaller integers are in `int_val`.
_VALUE_FIELDS = {
    tf.bfloat16: "half_val",
    tf.bool: "bool_val",
    tf.complex128: "dcomplex_val",
    tf.complex64: "scomplex_val",
    tf.float16: "half_val",
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int64: "int64_val",
    tf.string: "string_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
}


def tensor_value(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Returns the array of a TensorProto from outside.

    Raises:
        ServiceError: it is malformed, or its shape promises more elements
            than it holds. `proto_array` would fill those up, however many
            they are.
    """
    try:
        sizes = [dim.size for dim in proto.tensor_shape.dim]
        count = math.prod(sizes)
        held = len(proto.string_val) + len(proto.tensor_content)
        if min(sizes, default=0) < 0 or count > MOST_ELEMENTS:
            raise ValueError(f"shape {sizes}")
        if proto.dtype == tf.string.as_datatype_enum and held != count:
            raise ValueError(f"{held} values for shape {sizes}")
        return proto_array(proto)
    except Exception as error:
        raise ServiceError(
            "INVALID_ARGUMENT", f"malformed tensor: {str(error)[:200]}"
        ) from None


def typed_proto(value: np.ndarray) -> tensor_pb2.TensorProto:
    """Returns a TensorProto with its values in the field of their type.

    TF Serving answers in this form unless it is told otherwise, and clients in
    other languages read `float_val` and the like; `tf.make_tensor_proto` packs
    arrays into `tensor_content`.

    Args:
        value: objects hold texts.
    """
    # All of the session's object arrays hold texts.
    dtype = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in value.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = value.ravel()
    if dtype in (tf.float16, tf.bfloat16):
        flat = flat.view(np.uint16)  # The field holds the bits.
    elif dtype in (tf.complex64, tf.complex128):
        flat = flat.view(flat.real.dtype)  # Real and imaginary parts by turns.
    name = _VALUE_FIELDS.get(dtype, "int_val")
    getattr(proto, name).extend(flat.tolist())
    return proto


def predict_body(
    outputs: Mapping[str, np.ndarray], by_row: bool
) -> dict[str, Any]:
    """Returns the answer as rows or columns; a lone output has no name.

    Raises:
        ServiceError: outputs of different lengths cannot be rows.
    """
    lengths = {value.shape[:1] for value in outputs.values()}
    if by_row and (len(lengths) != 1 or () in lengths):
        raise ServiceError(
            "INVALID_ARGUMENT",
            "outputs have inconsistent batch sizes, or none: "
            f"{ {k: list(v.shape) for k, v in outputs.items()} }; use "
            "'inputs' instead of 'instances'",
        )
    columns = {name: _plain(value, name) for name, value in outputs.items()}
    if len(columns) == 1:
        (only,) = columns.values()
        return {"predictions" if by_row else "outputs": only}
    if not by_row:
        return {"outputs": columns}
    rows = zip(*columns.values(), strict=True)
    return {
        "predictions": [dict(zip(columns, row, strict=True)) for row in rows]
    }


def _plain(value: np.ndarray, name: str) -> Any:
    """Returns an output as nested lists."""
    if value.dtype == np.float32:
        flat: list[Any] = decimals(value)
    elif value.dtype != object:
        return value.tolist()
    elif name.endswith(_BYTES_SUFFIX):
        flat = [
            {"b64": base64.b64encode(item).decode()} for item in value.ravel()
        ]
    else:
        flat = [item.decode("utf-8", "replace") for item in value.ravel()]
    return np.array([*flat, None], object)[:-1].reshape(value.shape).tolist()


def decimals(value: np.ndarray) -> list[float]:
    """Returns float32 numbers with the digits that TF Serving writes.

    Six significant digits where they are enough, else nine.
    """
    flat = value.ravel()
    long = flat.tolist()
    short = [float(f"{item:.6g}") for item in long]
    exact = (np.array(short, np.float32) == flat).tolist()
    return [
        few if enough or few != few else float(f"{item:.9g}")
        for few, enough, item in zip(short, exact, long, strict=True)
    ]
