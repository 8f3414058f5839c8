"""Arrays of an `.npz` archive, read in blocks of rows."""

from __future__ import annotations

import contextlib
import math
import pathlib
import zipfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from runkit import InputError
from runkit.files import DAMAGED_ARRAYS

# Shape, type, and whether columns come first.
Header = tuple[tuple[int, ...], np.dtype, bool]
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def member_names(path: pathlib.Path) -> list[str]:
    """Returns the names of the arrays."""
    with _archive(path) as archive:
        names = archive.namelist()
    return [n.removesuffix(".npy") for n in names if n.endswith(".npy")]


def member_header(path: pathlib.Path, name: str) -> Header:
    """Returns (shape, dtype, Fortran order) of an array of one or two axes.

    Raises:
        InputError: no such array, a scalar, or objects in it.
    """
    with _member(path, name) as (_, header):
        return header


def member_blocks(
    path: pathlib.Path, name: str, num_rows: int
) -> Iterator[np.ndarray]:
    """Yields consecutive blocks of `num_rows` rows of an array.

    Raises:
        InputError: as `member_header`, and an array that is cut short.
    """
    with _member(path, name) as (handle, (shape, dtype, is_fortran)):
        if is_fortran and len(shape) == 2:
            # Its rows are spread over the whole file.
            whole = _read(handle, (shape[1], shape[0]), dtype).T
            for start in range(0, shape[0], num_rows):
                yield np.ascontiguousarray(whole[start : start + num_rows])
            return
        for start in range(0, shape[0], num_rows):
            rows = min(num_rows, shape[0] - start)
            yield _read(handle, (rows, *shape[1:]), dtype)


def _read(
    handle: IO[bytes], shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    size = math.prod(shape) * dtype.itemsize
    data = handle.read(size)
    if len(data) != size:
        raise EOFError("an array is cut short")
    array = np.frombuffer(data, dtype).reshape(shape)
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


@contextlib.contextmanager
def _archive(path: pathlib.Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DAMAGED_ARRAYS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"is not a whole .npz file of plain arrays ({error})",
            where=str(path),
        ) from None


@contextlib.contextmanager
def _member(
    path: pathlib.Path, name: str
) -> Iterator[tuple[IO[bytes], Header]]:
    with _archive(path) as archive, archive.open(f"{name}.npy") as handle:
        version = np.lib.format.read_magic(handle)
        if version not in _HEADERS:
            raise ValueError(f"version {version} of the array {name}")
        shape, is_fortran, dtype = _HEADERS[version](handle)
        if dtype.kind not in "biufUS" or not 1 <= len(shape) <= 2:
            raise InputError(
                "is not a list or a table of plain values",
                where=f"{path}: {name}",
                got=f"{dtype} of shape {shape}",
            )
        yield handle, (shape, dtype, is_fortran)
