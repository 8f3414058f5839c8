"""Columns of files from outside, block by block: only those that are asked for.

Parquet, csv, tsv, JSON Lines (compressed or not) and `.npz`, all as Arrow
columns. A file is read from its beginning each time, so that no more than a
block of it need be in memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from al_tf.inputs.column_values import is_list
from al_tf.inputs.npz_members import member_blocks, member_header, member_names
from runkit import InputError, closest
from runkit.datasets.inputs import plain_suffix
from runkit.datasets.tables import SUFFIXES, field, rows

PARQUET = (".parquet", ".pq")
_BLOCK_ROWS = 2048
# Long column chunks are read bit by bit.
_BUFFER_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class ColumnFile:
    """A file whose columns have names.

    Attributes:
        path: of the file.
        names: of its columns.
        is_typed: the file tells texts from numbers; csv does not.
    """

    path: pathlib.Path
    names: tuple[str, ...]
    is_typed: bool

    def find(
        self, asked: str | None, usual: Sequence[str], where: str
    ) -> str | None:
        """Returns the name of a column.

        Args:
            asked: the name that has to be there; None: one of `usual`.
            usual: names that are looked for, the first that is there wins.
            where: the flag of the name, for messages.

        Returns:
            None if no name was asked for and no usual one is there.

        Raises:
            InputError: the file has no such column; the nearest is named.
        """
        if asked is None:
            return next((name for name in usual if name in self.names), None)
        # `a.b` is the field b of an object a; it is looked for in each row.
        is_lines = SUFFIXES.get(plain_suffix(self.path)) == "jsonl"
        is_nested = is_lines and asked.split(".")[0] in self.names
        if asked in self.names or is_nested:
            return asked
        raise InputError(
            "has no such column",
            where=f"{where}: {self.path}",
            got=asked,
            remedy=closest(asked, self.names),
        )

    def blocks(self, *names: str) -> Iterator[list[Any]]:
        """Yields the columns `names` of consecutive rows as Arrow arrays.

        Raises:
            InputError: the file cannot be read, or a column holds values of
                different types.
        """
        suffix = plain_suffix(self.path)
        if suffix in PARQUET:
            return _parquet_blocks(self.path, names)
        if suffix == ".npz":
            return _npz_blocks(self.path, names)
        return _row_blocks(self.path, names)

    def column(self, name: str, num_rows: int) -> Iterator[Any]:
        """Yields a column whose number of rows is known.

        Raises:
            InputError: as `blocks`, and if it has fewer or more rows: the
                arrays of an archive need not be of one length.
        """
        at = 0
        for (block,) in self.blocks(name):
            at += len(block)
            if at > num_rows:
                break
            yield block
        if at != num_rows:
            raise InputError(
                "is not as long as the column of ids",
                where=f"{self.path}: column {name}",
                got=self.count(name),
                expected=f"{num_rows} rows",
            )

    def count(self, name: str) -> int:
        """Number of rows; Parquet and `.npz` say it without being read."""
        suffix = plain_suffix(self.path)
        if suffix in PARQUET:
            with _parquet(self.path) as file:
                return file.metadata.num_rows
        if suffix == ".npz":
            return member_header(self.path, name)[0][0]
        return sum(1 for _ in rows(self.path))

    def float_type(self, name: str) -> np.dtype:
        """The type of the numbers of a column of vectors.

        Numbers that are written as text are read as float32.
        """
        suffix = plain_suffix(self.path)
        if suffix == ".npz":
            return member_header(self.path, name)[1]
        if suffix in PARQUET:
            with _parquet(self.path) as file:
                kind = file.schema_arrow.field(name).type
            with contextlib.suppress(AttributeError, NotImplementedError):
                return np.dtype(kind.value_type.to_pandas_dtype())
        return np.dtype(np.float32)

    def list_columns(self) -> list[str]:
        """Names of the columns that hold a list in every row."""
        import pyarrow as pa

        if plain_suffix(self.path) in PARQUET:
            with _parquet(self.path) as file:
                fields = list(file.schema_arrow)
            return [f.name for f in fields if is_list(f.type)]
        if plain_suffix(self.path) == ".npz":
            shapes = {n: member_header(self.path, n)[0] for n in self.names}
            return [name for name in self.names if len(shapes[name]) == 2]
        first = next(self.blocks(*self.names), [])
        return [
            name
            for name, column in zip(self.names, first, strict=False)
            if is_list(column.type)
            or (
                pa.types.is_string(column.type)
                and str(column[0]).strip().startswith("[")
            )
        ]


def open_columns(path: str | os.PathLike) -> ColumnFile:
    """Opens a file and reads the names of its columns.

    Raises:
        InputError: no such file, another format, or nothing in it.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError("no such file", where=str(path))
    suffix = plain_suffix(path)
    if suffix in PARQUET:
        with _parquet(path) as file:
            names = file.schema_arrow.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(
                "names a column twice", where=str(path), got=twice[0]
            )
        return ColumnFile(path, tuple(names), True)
    if suffix == ".npz":
        return ColumnFile(path, tuple(member_names(path)), True)
    if suffix not in SUFFIXES:
        raise InputError(
            "is not a format whose columns can be read",
            where=str(path),
            expected=" or ".join([*PARQUET, ".npz", *SUFFIXES]),
        )
    place, first = next(rows(path), ("", None))
    if not isinstance(first, dict):
        raise InputError(
            "holds no rows" if first is None else "is not an object",
            where=place or str(path),
            got=first,
        )
    is_typed = SUFFIXES[suffix] == "jsonl"
    return ColumnFile(path, tuple(first), is_typed)


@contextlib.contextmanager
def _parquet(path: pathlib.Path) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with (
            path.open("rb") as handle,
            parquet.ParquetFile(
                handle, buffer_size=_BUFFER_BYTES, pre_buffer=False
            ) as file,
        ):
            yield file
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"is not a Parquet file ({error})", where=str(path)
        ) from None


def _parquet_blocks(
    path: pathlib.Path, names: Sequence[str]
) -> Iterator[list[Any]]:
    with _parquet(path) as file:
        # The other columns may hold the texts, many times as large.
        for batch in file.iter_batches(
            _BLOCK_ROWS, columns=list(dict.fromkeys(names)), use_threads=False
        ):
            if len(batch):
                yield [batch.column(name) for name in names]


def _npz_blocks(
    path: pathlib.Path, names: Sequence[str]
) -> Iterator[list[Any]]:
    """Yields blocks of arrays of one length."""
    import pyarrow as pa

    lengths = {name: member_header(path, name)[0][0] for name in names}
    if len(set(lengths.values())) > 1:
        raise InputError(
            "arrays of different length", where=str(path), got=lengths
        )
    parts = [member_blocks(path, name, _BLOCK_ROWS) for name in names]
    for block in zip(*parts, strict=True):
        columns = []
        for name, array in zip(names, block, strict=True):
            if 0 in array.shape[1:]:
                raise InputError(
                    "has rows without numbers",
                    where=f"{path}: {name}",
                    got=array.shape,
                )
            try:
                flat = pa.array(array.ravel())
            except (pa.ArrowException, ValueError) as error:
                raise InputError(
                    f"cannot be read ({error})", where=f"{path}: {name}"
                ) from None
            if array.ndim == 2:
                flat = pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
            columns.append(flat)
        yield columns


def _row_blocks(
    path: pathlib.Path, names: Sequence[str]
) -> Iterator[list[Any]]:
    import pyarrow as pa

    source = rows(path, fields=names)
    while block := list(itertools.islice(source, _BLOCK_ROWS)):
        columns = []
        for name in names:
            values = [field(row, name, place) for place, row in block]
            try:
                column = pa.array(values)
                if _mixes_booleans(values, column.type):
                    raise TypeError("Arrow reads true as 1.0 among floats")
                columns.append(column)
            except (pa.ArrowException, TypeError, ValueError, OverflowError):
                raise InputError(
                    "values of different types, or too large a number",
                    where=f"{block[0][0]} and after, column {name}",
                    got=json.dumps(values[:3], default=str),
                ) from None
        yield columns


def _mixes_booleans(values: list[Any], kind: Any) -> bool:
    """Whether Arrow has read a true as a 1, in a column or its lists.

    Args:
        values: as they were read.
        kind: what Arrow made of them.
    """
    import pyarrow as pa

    found = set(map(type, values))
    if list in found:
        inner = (set(map(type, v)) for v in values if isinstance(v, list))
        found.update(*inner)
    is_boolean = pa.types.is_boolean(getattr(kind, "value_type", kind))
    return bool in found and not is_boolean
