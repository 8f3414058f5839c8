"""Embeddings of a pool: opened without copying, read in blocks.

`open_embeddings` accepts an array, a memory-mapped `.npy` file, a folder or
list of `.npy` or Parquet shards, or one Parquet file. `.npy` files are not
read until their blocks are asked for; Parquet is decoded when it is opened.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from al_tf.inputs.arrays import plain_array
from runkit import InputError

Part: TypeAlias = np.ndarray | str | os.PathLike
_BLOCK_ROWS = 65536
_FLOAT_NAMES = ("float16", "bfloat16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """Rows of a pool, in one or several parts.

    Attributes:
        parts: arrays `[n_i, d]` of a floating dtype, perhaps memory-mapped.
        names: where each part came from, for messages.
    """

    parts: tuple[np.ndarray, ...]
    names: tuple[str, ...]

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


def open_embeddings(source: Source) -> Embeddings:
    """Opens embeddings; all but Parquet without reading them.

    Args:
        source: an array `[n, d]`; the path of an `.npy` or Parquet file, or of
            a folder of such shards (taken in the order of their names); or a
            list of any of these.

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
        for shard in _shards(pathlib.Path(item)) if is_path else [item]:
            name = str(shard) if is_path else f"embeddings[{len(parts)}]"
            parts.append(_open_part(shard, name))
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


def _shards(path: pathlib.Path) -> list[pathlib.Path]:
    """The files of a folder of shards, or the file itself."""
    if not path.exists():
        raise InputError("no such file", where=str(path))
    if not path.is_dir():
        return [path]
    found = sorted(
        p for p in path.iterdir() if p.suffix in (".npy", ".parquet")
    )
    if not found:
        raise InputError(
            "no embeddings here",
            where=str(path),
            expected=".npy or .parquet files",
        )
    return found


def _open_part(item: Any, name: str) -> np.ndarray:
    if isinstance(item, pathlib.Path):
        is_parquet = item.suffix == ".parquet"
        item = _open_parquet(item) if is_parquet else open_npy(item, name)
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
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError("no such file", where=where or str(path)) from None
    except (ValueError, EOFError, OSError) as error:
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


def _open_parquet(path: pathlib.Path) -> np.ndarray:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"is not a Parquet file ({error})", where=str(path)
        ) from None
    kinds = (
        pa.types.is_list,
        pa.types.is_fixed_size_list,
        pa.types.is_large_list,
    )
    lists = [
        field.name
        for field in table.schema
        if any(is_kind(field.type) for is_kind in kinds)
    ]
    name = "embedding" if "embedding" in lists else None
    if name is None and len(lists) == 1:
        name = lists[0]
    if name is None:
        raise InputError(
            "cannot tell which column holds the embeddings",
            where=str(path),
            got=table.column_names,
            expected="a column `embedding`, or exactly one column of lists",
        )
    column = table.column(name).combine_chunks()
    values = column.flatten().to_numpy(zero_copy_only=False)
    rows = len(column)
    if rows == 0:
        raise InputError("holds no rows", where=str(path))
    if len(values) % rows or column.null_count:
        raise InputError(
            "rows of different length", where=f"{path}: column {name}"
        )
    if not isinstance(column, pa.FixedSizeListArray):
        lengths = np.diff(column.offsets.to_numpy())
        if (lengths != lengths[0]).any():
            raise InputError(
                "rows of different length", where=f"{path}: column {name}"
            )
    return values.reshape(rows, -1)
