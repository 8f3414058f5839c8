"""Rows of Parquet and Arrow files, a few at a time.

Arrow files are those that Hugging Face's `datasets` keeps on disk.
"""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from runkit.errors import InputError

_ROWS = 1024


def parquet_rows(
    path: pathlib.Path, fields: Sequence[str], lenient: bool
) -> Iterator[tuple[str, Any]]:
    """Yields the rows of a Parquet file, a few at a time; see `rows`."""
    import pyarrow as pa
    from pyarrow import parquet

    errors = "surrogateescape" if lenient else "strict"
    number = 0
    try:
        with path.open("rb") as handle, parquet.ParquetFile(handle) as file:
            known = {column.path for column in file.schema}
            top = set(file.schema_arrow.names)
            wanted = [
                name
                for name in dict.fromkeys(fields)
                if name in top or name in known or name.split(".")[0] in top
            ]
            columns = wanted or None
            for batch in file.iter_batches(_ROWS, columns=columns):
                for row in batch_rows(batch, errors):
                    yield f"{path}, row {number}", row
                    number += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"is not a Parquet file that can be read ({error})",
            where=str(path),
        ) from None


def batch_rows(batch: Any, errors: str) -> Iterator[dict[str, Any]]:
    """Yields the rows of an Arrow batch; bytes are read as UTF-8."""
    import pyarrow as pa

    columns = []
    for column in batch.columns:
        kind = column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            # Nothing has checked that they are UTF-8.
            column = column.cast(pa.binary(), safe=False)
        columns.append(
            [
                value.decode("utf-8", errors)
                if isinstance(value, bytes)
                else value
                for value in column.to_pylist()
            ]
        )
    names = batch.schema.names
    for cells in zip(*columns, strict=True):
        yield dict(zip(names, cells, strict=True))


def arrow_rows(
    path: pathlib.Path, fields: Sequence[str], lenient: bool
) -> Iterator[tuple[str, Any]]:
    """Yields the rows of an Arrow file; see `runkit.datasets.tables.rows`."""
    import pyarrow as pa

    errors = "surrogateescape" if lenient else "strict"
    numbers = itertools.count()
    try:
        with path.open("rb") as handle:
            for batch in _arrow_batches(handle):
                top = [name.split(".")[0] for name in fields]
                kept = [n for n in batch.schema.names if n in {*fields, *top}]
                rows = batch.select(kept) if kept else batch
                for start in range(0, rows.num_rows, _ROWS):
                    for row in batch_rows(rows.slice(start, _ROWS), errors):
                        yield f"{path}, row {next(numbers)}", row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"is not an Arrow file that can be read ({error})",
            where=str(path),
        ) from None


def _arrow_batches(handle: Any) -> Iterator[Any]:
    """The batches of a file in Arrow's stream format, or in its file format."""
    import pyarrow as pa

    is_file = handle.read(6) == b"ARROW1"
    handle.seek(0)
    if not is_file:
        yield from pa.ipc.open_stream(handle)
        return
    reader = pa.ipc.open_file(handle)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)
