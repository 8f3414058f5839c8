"""Embeddings of a pool: opened without copying, read in blocks.

`open_embeddings` accepts an array, a memory-mapped `.npy` file, a table such as
Parquet, or a folder or list of such shards. `.npy` files are not read until
their blocks are asked for; tables are decoded when they are opened.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from al_tf.inputs.arrays import plain_array
from al_tf.inputs.column_values import vectors
from al_tf.inputs.columns import PARQUET, ColumnFile, open_columns
from al_tf.inputs.ids import ExampleIds
from al_tf.inputs.shards import find_shards, in_order
from runkit import InputError
from runkit.datasets.inputs import plain_suffix
from runkit.datasets.tables import SUFFIXES
from runkit.files import DAMAGED_ARRAYS

Part: TypeAlias = np.ndarray | str | os.PathLike
_BLOCK_ROWS = 65536
_TABLES = (*PARQUET, ".npz", *SUFFIXES)
_USUAL = ("embedding", "embeddings")
_FLOAT_NAMES = ("float16", "bfloat16", "float32", "float64")

_MAGIC = np.lib.format.MAGIC_PREFIX


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """Rows of a pool, in one or several parts.

    Attributes:
        parts: arrays `[n_i, d]` of a floating dtype, perhaps memory-mapped.
        names: where each part came from, for messages.
        ids: of the rows, if the files have any.
    """

    parts: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    ids: ExampleIds | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(number of examples, dimension)."""
        return sum(len(p) for p in self.parts), self.parts[0].shape[1]

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (first example id, `[rows, d]` float64 or float32 block)."""
        first = 0
        for part in self.parts:
            for start in range(0, len(part), _BLOCK_ROWS):
                block = np.asarray(part[start : start + _BLOCK_ROWS])
                if not block.dtype.isnative:
                    block = block.astype(block.dtype.newbyteorder("="))
                if block.dtype not in (np.float32, np.float64):
                    block = block.astype(np.float32)
                yield first + start, block
            first += len(part)

    def take(self, ids: np.ndarray) -> np.ndarray:
        """Returns rows `ids` as float32 `[len(ids), d]`."""
        out = np.empty((len(ids), self.shape[1]), np.float32)
        first = 0
        for part in self.parts:
            here = np.flatnonzero((ids >= first) & (ids < first + len(part)))
            out[here] = part[ids[here] - first]
            first += len(part)
        return out


# What `open_embeddings` opens.
Source: TypeAlias = Embeddings | Part | Sequence[Part] | Sequence[list[float]]


def open_embeddings(source: Source, column: str | None = None) -> Embeddings:
    """Opens embeddings; `.npy` files without reading them.

    The rows stay in the order of the files; see `al_tf.inputs.pool_files` for
    files that are joined by ids.

    Args:
        source: an array `[n, d]`; the path of an `.npy` file or a table with
            a column of vectors (Parquet, `.npz`, csv, JSON Lines), or of a
            folder of such shards (taken in the order of their names); or a
            list of any of these.
        column: of the vectors in tables; None: `embedding`, or the only
            column of lists.

    Raises:
        InputError: no such file, another format or dtype, not two
            dimensions, or parts of different dimension.
    """
    if isinstance(source, Embeddings):
        return source
    items: Sequence[Any] = [source]
    if isinstance(source, (list, tuple)):
        if not len(source):
            raise InputError("an empty list", where="embeddings")
        # A list of rows is one array; any other list is one of parts.
        if not _is_row(source[0]):
            items = source
    parts: list[np.ndarray] = []
    names: list[str] = []
    for item in items:
        is_path = isinstance(item, (str, os.PathLike))
        for shard in in_order(find_shards(item), item) if is_path else [item]:
            name = str(shard) if is_path else f"embeddings[{len(parts)}]"
            parts.append(_open_part(shard, name, column))
            names.append(name)
            if parts[-1].shape[1] != parts[0].shape[1]:
                raise InputError(
                    "shards of different dimension",
                    where=name,
                    got=parts[-1].shape[1],
                    expected=str(parts[0].shape[1]),
                )
    return Embeddings(tuple(parts), tuple(names))


def _is_row(item: Any) -> bool:
    """Whether an item of a list is a row of numbers, not a part."""
    if isinstance(item, (list, tuple)):
        return not any(isinstance(x, (list, tuple)) for x in item)
    return getattr(item, "ndim", 0) == 1


def _open_part(item: Any, name: str, column: str | None = None) -> np.ndarray:
    if isinstance(item, pathlib.Path):
        is_table = plain_suffix(item) in _TABLES
        if is_table:
            file = open_columns(item)
            chosen = vector_column(file, column)
            item = read_vectors([(file, chosen, file.count(chosen))])
        else:
            item = open_npy(item, name)
    array = plain_array(item, name)
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(
            "embeddings must have two dimensions",
            where=name,
            got=tuple(array.shape),
            expected="[examples, dimension]",
        )
    if array.dtype.name not in _FLOAT_NAMES:
        raise InputError(
            "embeddings must be floating-point numbers",
            where=name,
            got=array.dtype.name,
            expected=", ".join(_FLOAT_NAMES),
        )
    return np.asarray(array)


def open_npy(path: str | os.PathLike, where: str = "") -> np.ndarray:
    """Memory-maps an `.npy` file.

    Raises:
        InputError: the file is missing, truncated, or holds no plain array.
    """
    where = where or str(path)
    found = pathlib.Path(path)
    if not found.is_file():
        what = "is a directory" if found.is_dir() else "no such file"
        raise InputError(
            what, where=where, got=str(path), expected="one .npy file"
        )
    try:
        with found.open("rb") as handle:
            is_npy = _MAGIC.startswith(handle.read(len(_MAGIC)))
        if not is_npy:
            raise InputError(
                "is not a .npy file",
                where=where,
                got=str(path),
                remedy="Write it with numpy.save",
            )
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except InputError:
        raise
    except DAMAGED_ARRAYS as error:
        raise InputError(
            f"is not a whole .npy file ({error})",
            where=where or str(path),
            remedy="Write it again with numpy.save",
        ) from None
    if not isinstance(array, np.ndarray):
        raise InputError("is not a single array", where=where or str(path))
    if array.dtype == np.dtype("V2"):
        # numpy.save stores bfloat16 as two raw bytes.
        import ml_dtypes

        array = array.view(ml_dtypes.bfloat16)
    return array


def read_vectors(
    files: Sequence[tuple[ColumnFile, str, int]],
    places: np.ndarray | None = None,
) -> np.ndarray:
    """Reads a column of vectors of several files into one array.

    No more than one block of a file is in memory besides.

    Args:
        files: with the name of the column and the number of rows of each.
        places: `[rows]` int64 row of the result for each row of the files;
            None keeps their order.

    Returns:
        `[rows, d]` of the widest type among the files: float16 stays
        float16.

    Raises:
        InputError: no numbers, or rows of different length.
    """
    kinds = [file.float_type(name) for file, name, _ in files]
    dtype = np.result_type(*kinds)
    if dtype.name not in _FLOAT_NAMES:
        raise InputError(
            "embeddings must be floating-point numbers",
            where=f"{files[0][0].path}: column {files[0][1]}",
            got=dtype.name,
            expected=", ".join(_FLOAT_NAMES),
        )
    out, at = None, 0
    num_rows = sum(count for *_, count in files)
    for file, name, count in files:
        where = f"{file.path}: column {name}"
        for column in file.column(name, count):
            block = vectors(column, where)
            if out is None:
                out = np.empty((num_rows, block.shape[1]), dtype)
            if block.shape[1] != out.shape[1]:
                raise InputError(
                    "rows of different length",
                    where=where,
                    got=block.shape[1],
                    expected=str(out.shape[1]),
                )
            rows = slice(at, at + len(block))
            out[rows if places is None else places[rows]] = block
            at += len(block)
    if out is None:
        raise InputError("holds no rows", where=str(files[0][0].path))
    return out


def vector_column(file: ColumnFile, asked: str | None = None) -> str:
    """Returns the name of the column that holds the embeddings.

    Raises:
        InputError: there is none, or several that it may be.
    """
    name = file.find(asked, _USUAL, "--embedding_column")
    lists = file.list_columns()
    if name is None and len(lists) == 1:
        name = lists[0]
    if name is not None and name not in lists and asked is None:
        raise InputError(
            "is not a column of lists of numbers",
            where=f"{file.path}: column {name}",
            expected="[0.5, -1.25, ...] in every row",
            remedy="Another column: --embedding_column=NAME",
        )
    if name is None:
        raise InputError(
            "cannot tell which column holds the embeddings",
            where=str(file.path),
            got=list(file.names),
            expected="a column `embedding`, or exactly one column of lists",
        )
    return name
