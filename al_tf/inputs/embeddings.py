"""Embeddings of a pool: opened without copying, read in blocks.

`open_embeddings` accepts an array, a memory-mapped `.npy` file, a folder or
list of `.npy` or Parquet shards, or one Parquet file. `.npy` files are not
read until their blocks are asked for; Parquet is decoded when it is opened.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from al_tf.inputs.arrays import plain_array
from runkit import InputError

Part: TypeAlias = np.ndarray | str | os.PathLike
_BLOCK_ROWS = 65536
_PARQUET = (".parquet", ".pq")
_FLOAT_NAMES = ("float16", "bfloat16", "float32", "float64")

_MAGIC = np.lib.format.MAGIC_PREFIX


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
    found = [
        p
        for p in path.iterdir()
        if p.suffix.lower() in (".npy", *_PARQUET)
        and not p.name.startswith(".")
    ]
    if not found:
        raise InputError(
            "no embeddings here",
            where=str(path),
            expected=".npy or .parquet files",
        )
    return _in_order(found, path)


def _in_order(shards: list[pathlib.Path], folder: pathlib.Path) -> list[Any]:
    """Sorts shards by name, where that is the order of their numbers too.

    Rows have no ids but their places: part-10 before part-2 would give every
    later row to another example, and nobody would notice.
    """
    ordered = sorted(shards)
    by_number = sorted(
        shards,
        key=lambda path: [
            (int(part) if part.isdecimal() else -1, part)
            for part in re.split(r"([0-9]+)", path.name)
        ],
    )
    if ordered != by_number:
        first = next(
            i for i in range(len(shards)) if ordered[i] != by_number[i]
        )
        raise InputError(
            "shards whose order by name is not that of their numbers",
            where=str(folder),
            got=f"{ordered[first].name} before {by_number[first].name}",
            expected="numbers of equally many digits, as part-02 and part-10",
            remedy="Rename the files, or give a list of paths in the order of "
            "the rows",
        )
    return ordered


def _open_part(item: Any, name: str) -> np.ndarray:
    if isinstance(item, pathlib.Path):
        is_parquet = item.suffix.lower() in _PARQUET
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
    except (
        ValueError,
        EOFError,
        LookupError,
        MemoryError,
        OSError,
        OverflowError,
        RuntimeError,
        SyntaxError,
        TypeError,
    ) as error:
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

    kinds = (
        pa.types.is_list,
        pa.types.is_fixed_size_list,
        pa.types.is_large_list,
    )
    try:
        with path.open("rb") as handle, parquet.ParquetFile(handle) as file:
            schema = file.schema_arrow
            lists = [
                field.name
                for field in schema
                if any(is_kind(field.type) for is_kind in kinds)
            ]
            name = lists[0] if len(lists) == 1 else "embedding"
            if name not in lists:
                raise InputError(
                    "cannot tell which column holds the embeddings",
                    where=str(path),
                    got=schema.names,
                    expected="a column `embedding`, or exactly one column of "
                    "lists",
                )
            where = f"{path}: column {name}"
            # The other columns may hold the texts, many times as large.
            parts = [
                _list_rows(batch.column(0), where)
                for batch in file.iter_batches(_BLOCK_ROWS, columns=[name])
                if len(batch)
            ]
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"is not a Parquet file ({error})", where=str(path)
        ) from None
    if not parts:
        raise InputError("holds no rows", where=str(path))
    if any(part.shape[1] != parts[0].shape[1] for part in parts):
        raise InputError("rows of different length", where=where)
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _list_rows(column: Any, where: str) -> np.ndarray:
    """A column of lists of one length as `[rows, length]`."""
    import pyarrow as pa

    if column.null_count:
        raise InputError("rows without an embedding", where=where)
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
