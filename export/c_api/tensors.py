"""NumPy arrays to the library's tensors and back, and from messages."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from export.c_api.library import Library
from runkit import InputError

STRING = 7
# DataType -> name of NumPy's type, from types.proto.
_NAMES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    8: "complex64",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
_TSTRING_BYTES = 24  # Of a TF_TString; longer texts lie elsewhere.
# Types of most tensors -> the field with their values, and NumPy's type.
_FIELDS = {
    1: ("float_val", np.float32),
    3: ("int_val", np.int32),
    7: ("string_val", object),
    9: ("int64_val", np.int64),
    10: ("bool_val", np.bool_),
}


def type_name(dtype: int) -> str:
    """Returns what a DataType is called: "float32", "string"."""
    return "string" if dtype == STRING else _NAMES.get(dtype, f"type {dtype}")


@functools.cache
def numpy_type(dtype: int) -> np.dtype:
    """Returns NumPy's type of a DataType; texts are objects.

    Raises:
        InputError: one that no array can hold, as a resource.
    """
    if dtype == STRING:
        return np.dtype(object)
    if dtype not in _NAMES:
        raise InputError("arrays cannot hold it", where="tensor", got=dtype)
    if _NAMES[dtype] == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(_NAMES[dtype])


def new_tensor(library: Library, array: np.ndarray, dtype: int) -> int:
    """Returns a TF_Tensor with a copy of an array.

    Args:
        library: allocates it; `TF_DeleteTensor` frees it.
        array: of the type `numpy_type(dtype)`; objects are bytes.
        dtype: the DataType.
    """
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    is_text = dtype == STRING
    size = array.size * _TSTRING_BYTES if is_text else array.nbytes
    tensor = library.TF_AllocateTensor(dtype, shape, array.ndim, size)
    place = library.TF_TensorData(tensor)
    if is_text:
        for text in array.ravel():
            library.TF_StringInit(place)
            library.TF_StringCopy(place, text, len(text))
            place += _TSTRING_BYTES
    elif size:
        array = np.ascontiguousarray(array)
        ctypes.memmove(place, array.ctypes.data, size)
    return tensor


def to_array(library: Library, tensor: int) -> np.ndarray:
    """Returns a copy of a TF_Tensor; texts are bytes in an object array."""
    rank = library.TF_NumDims(tensor)
    shape = [library.TF_Dim(tensor, axis) for axis in range(rank)]
    dtype = library.TF_TensorType(tensor)
    place = library.TF_TensorData(tensor)
    if dtype == STRING:
        return _texts(library, place, shape)
    array = np.empty(shape, numpy_type(dtype))
    if array.nbytes:
        ctypes.memmove(array.ctypes.data, place, array.nbytes)
    return array


def _texts(library: Library, place: int, shape: Sequence[int]) -> np.ndarray:
    found = np.empty(math.prod(shape), object)
    for index in range(len(found)):
        text = place + index * _TSTRING_BYTES
        found[index] = ctypes.string_at(
            library.TF_StringGetDataPointer(text),
            library.TF_StringGetSize(text),
        )
    return found.reshape(shape)


def cast_numbers(given: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Casts numbers to a type that holds them; NumPy wraps those that do not.

    Args:
        given: any shape.
        dtype: of numbers or flags.

    Raises:
        TypeError: flags for numbers, floats for integers, and the like.
        OverflowError: a number out of the type's range, its argument.
    """
    if not given.size:  # Lists do not say which type no rows have.
        return given.astype(dtype)
    if given.dtype == np.bool_ and dtype != np.bool_:
        raise TypeError("flags are not numbers")
    with np.errstate(over="ignore"):
        cast = given.astype(dtype, casting="same_kind")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        wrong = (given < limits.min) | (given > limits.max)
    else:
        wrong = ~np.isfinite(cast) & np.isfinite(given)
    if wrong.any():
        raise OverflowError(given[wrong][0])
    return cast


def proto_array(proto: Any) -> np.ndarray:
    """Returns the array of a TensorProto, as `tf.make_ndarray` does.

    That one takes several times as long for the values of a usual answer, which
    stand one by one in the field of their type.

    Raises:
        TypeError, ValueError: it is malformed.
    """
    field, dtype = _FIELDS.get(proto.dtype, ("", None))
    shape = [dim.size for dim in proto.tensor_shape.dim]
    values = getattr(proto, field) if field else ()
    if not values or len(values) != math.prod(shape) or proto.tensor_content:
        import tensorflow as tf

        return tf.make_ndarray(proto)
    return np.array(values, dtype).reshape(shape)
