"""Embeddings of a pool: opened without copying, read in blocks, made ready.

`open_embeddings` accepts an array, a memory-mapped `.npy` file, a folder or
list of `.npy` or Parquet shards, or one Parquet file. Of `.npy` nothing is read
before `working_copy`, which fills the one array that the clustering works on;
Parquet is decoded when it is opened.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from runkit import InputError

METRICS = ("cosine", "sqeuclidean")
_BLOCK_ROWS = 65536
_FLOAT_NAMES = ("float16", "bfloat16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """Rows of a pool, in one or several parts.

    Attributes:
        parts: arrays `[n_i, d]` of a floating dtype, perhaps memory-mapped.
        names: where each part came from, for messages.
    """

    parts: tuple[Any, ...]
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


@dataclasses.dataclass(frozen=True)
class WorkingCopy:
    """Rows whose squared Euclidean distance is the wanted one / unit.

    Attributes:
        rows: `[n, d]` float32 or float64, C-ordered, norm at most 1.
        center: `[d]` float64 that was subtracted from the (normalized) rows.
        unit: the distance that 1.0 between two rows stands for.
    """

    rows: np.ndarray
    center: np.ndarray
    unit: float


def open_embeddings(source: Any) -> Embeddings:
    """Opens embeddings; all but Parquet without reading them.

    Args:
        source: an array `[n, d]`; the path of an `.npy` or Parquet file or of
            a folder of such shards (taken in the order of their names); or a
            list of any of these.

    Raises:
        InputError: no such file, another format or dtype, not two
            dimensions, or parts of different dimension.
    """
    if isinstance(source, Embeddings):
        return source
    if isinstance(source, (str, os.PathLike)):
        items: Sequence[Any] = _shards(pathlib.Path(source))
    elif isinstance(source, (list, tuple)) and not len(source):
        raise InputError("an empty list", where="embeddings")
    elif isinstance(source, (list, tuple)) and not _is_rows(source):
        items = [
            shard
            for item in source
            for shard in (
                _shards(pathlib.Path(item))
                if isinstance(item, (str, os.PathLike))
                else [item]
            )
        ]
    else:
        items = [source]
    names = tuple(
        str(item) if isinstance(item, pathlib.Path) else f"embeddings[{i}]"
        for i, item in enumerate(items)
    )
    parts = tuple(
        _open_part(item, name) for item, name in zip(items, names, strict=True)
    )
    for part, name in zip(parts, names, strict=True):
        if part.shape[1] != parts[0].shape[1]:
            raise InputError(
                "shards of different dimension",
                where=name,
                got=part.shape[1],
                expected=str(parts[0].shape[1]),
            )
    return Embeddings(parts, names)


def _is_rows(source: Sequence[Any]) -> bool:
    return len(source) > 0 and np.ndim(source[0]) == 1


def _shards(path: pathlib.Path) -> list[pathlib.Path]:
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
        item = (
            _open_parquet(item)
            if item.suffix == ".parquet"
            else open_npy(item, name)
        )
    array = item if hasattr(item, "dtype") else np.asarray(item)
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
    lists = [
        field.name
        for field in table.schema
        if pa.types.is_list(field.type)
        or pa.types.is_fixed_size_list(field.type)
        or pa.types.is_large_list(field.type)
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
    if isinstance(column, pa.FixedSizeListArray):
        return values.reshape(rows, -1)
    lengths = np.diff(column.offsets.to_numpy())
    if (lengths != lengths[0]).any():
        raise InputError(
            "rows of different length", where=f"{path}: column {name}"
        )
    return values.reshape(rows, -1)


def working_copy(
    embeddings: Embeddings, metric: str, dtype: type = np.float64
) -> WorkingCopy:
    """Reads, checks, scales and centers the rows into one new array.

    Centring and scaling by a power of two change no distance; they keep the
    float32 products of the neighbor search accurate for data far from the
    origin or of extreme magnitude.

    Args:
        embeddings: `[n, d]`.
        metric: "cosine" (1 - cosine similarity) or "sqeuclidean".
        dtype: of the result.

    Raises:
        InputError: NaN or infinite values, or zero rows under cosine; the
            example ids are named.
    """
    n, d = embeddings.shape
    center = np.zeros(d)
    for first, block in embeddings.blocks():
        center += normalized(block, first, metric).sum(0)
    center /= max(n, 1)
    rows: np.ndarray = np.empty((n, d), dtype)
    largest = 0.0
    for first, block in embeddings.blocks():
        centered = normalized(block, first, metric) - center
        square = np.einsum("nd,nd->n", centered, centered)
        largest = max(largest, float(square.max(initial=0.0)))
        rows[first : first + len(block)] = centered
    if not np.isfinite(largest):
        raise InputError(
            "values too large: their squares overflow", where="embeddings"
        )
    # The exponent is even, so that its root is a power of two as well.
    exponent = int(np.ceil(np.log2(largest) / 2)) if largest > 0 else 0
    rows *= dtype(2.0**-exponent)
    return WorkingCopy(rows, center, 4.0**exponent)


def normalized(block: np.ndarray, first: int, metric: str) -> np.ndarray:
    """Checks a block and makes its squared distances the metric's.

    Args:
        block: `[rows, d]` floating-point.
        first: example id of its first row.
        metric: "cosine" or "sqeuclidean".

    Returns:
        `[rows, d]` float64; for cosine every row has length sqrt(1/2).

    Raises:
        InputError: NaN or infinite values, or zero rows under cosine.
    """
    block = block.astype(np.float64)
    # One pass: a row with NaN or infinity has no finite sum of squares.
    square = np.einsum("nd,nd->n", block, block)
    _refuse(~np.isfinite(square), first, "NaN or infinite values")
    if metric == "sqeuclidean":
        return block
    _refuse(square == 0, first, "zero rows have no cosine distance")
    # Half the squared distance of unit vectors is 1 - cosine.
    return block * np.sqrt(0.5 / square)[:, None]


def _refuse(bad: np.ndarray, first: int, what: str) -> None:
    if bad.any():
        ids = first + np.flatnonzero(bad)
        shown = ", ".join(str(i) for i in ids[:10])
        raise InputError(
            f"{what} in {len(ids)} rows; example ids {shown}"
            + (", ..." if len(ids) > 10 else ""),
            where="embeddings",
            remedy="Remove or repair these rows",
        )
