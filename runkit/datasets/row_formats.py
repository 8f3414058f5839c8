"""Rows of delimited text, of Parquet and of Arrow files, a few at a time.

Arrow files are those that Hugging Face's `datasets` keeps on disk.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import IO, Any

from runkit.datasets.inputs import answering, open_input, reading
from runkit.errors import InputError
from runkit.files.storage import open_bytes

_BATCH_ROWS = 1024
_MAX_CELL = 2**31 - 1
_SEPARATORS = ",;\t|"  # An earlier one wins where both fit.
_HEAD_BYTES = 1 << 13


def csv_rows(
    path: str | os.PathLike,
    table: str = "csv",
    *,
    lenient: bool = False,
    detect: bool = False,
) -> Iterator[list[str]]:
    """Yields the cells of every row, the header's too.

    Args:
        path: of the file; see `runkit.datasets.tables.rows`.
        table: "csv", or "tsv" for tabs without any quoting.
        lenient: bytes that are not UTF-8 become lone surrogates.
        detect: the separator of a "csv" is the one that cuts the first rows
            into equally many cells, the more the better, or that a line
            `sep=;` before them names.

    Raises:
        InputError: it cannot be read, is not UTF-8 or UTF-16, or ends inside
            a quoted cell.
    """
    with reading(path), open_input(path) as handle:
        separator = _separator(handle) if detect and table == "csv" else ","
        text = io.TextIOWrapper(
            handle,
            encoding="utf-8-sig",  # Spreadsheets put a byte order mark first.
            errors="surrogateescape" if lenient else "strict",
            newline="",
        )
        lines = _Lines(text)
        reader = (
            csv.reader(lines, delimiter=separator, strict=True)
            if table == "csv"
            else csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        )
        while True:
            # Texts may be long, and csv takes 128 KiB for a mistake.
            before = csv.field_size_limit(_MAX_CELL)
            try:
                cells = next(reader, None)
            except (UnicodeDecodeError, csv.Error) as error:
                raise InputError(
                    f"cannot be read ({_in_words(error)})",
                    where=f"{path}, line {lines.first}",
                    remedy="Within a quoted cell write a quote twice"
                    if isinstance(error, csv.Error)
                    else "",
                ) from None
            finally:
                csv.field_size_limit(before)
            if cells is None:
                return
            is_sep = detect and lines.first == 1 and lines.names_separator()
            lines.next_record()
            if cells and not is_sep:
                yield cells


class _Lines:
    """Lines of a text; those of the row being read are kept.

    Attributes:
        first: number of the row's first line.
        record: the row's lines.
        ended: whether there are no more.
    """

    def __init__(self, text: Iterator[str]):
        self._text = text
        self.first = 1
        self.record: list[str] = []
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._text, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.record.append(line)
        return line

    def next_record(self) -> None:
        self.first += len(self.record)
        self.record = []

    def names_separator(self) -> bool:
        """Whether the row is `sep=;`, which some spreadsheets want first."""
        line = "".join(self.record).strip('\ufeff\r\n"')
        return len(line) == 5 and line.startswith("sep=")


def _in_words(error: Exception) -> str:
    text = str(error)
    if "unexpected end" in text:
        return "a quoted cell is never closed"
    if "expected after" in text:
        # Rows up to the next quote may have become part of the cell.
        return "text after the end of a quoted cell"
    return text


def _separator(handle: IO[bytes]) -> str:
    """The separator that a file's first bytes show; see `csv_rows`."""
    head = handle.peek(_HEAD_BYTES)[:_HEAD_BYTES]  # type: ignore[attr-defined]
    text = head.decode("utf-8-sig", "replace").lstrip("\r\n")
    first = text.split("\n", 1)[0].strip('\r"')
    if first.startswith("sep=") and len(first) == 5:
        return first[4]
    fits = {}
    for separator in _SEPARATORS:
        rows = []
        with contextlib.suppress(csv.Error):  # Said when it is read.
            for row in csv.reader(
                io.StringIO(text, newline=""), delimiter=separator
            ):
                rows.append(row)
        if len(rows) > 1 and not text.endswith("\n"):
            rows.pop()  # Cut by the end of the head.
        counts = [len(row) for row in rows if row] or [0]
        is_even = counts[0] > 1 and len(set(counts)) == 1
        fits[separator] = (is_even, counts[0])
    return max(_SEPARATORS, key=lambda separator: fits[separator])


def parquet_rows(
    path: pathlib.Path, fields: Sequence[str], lenient: bool
) -> Iterator[tuple[str, Any]]:
    """Yields the rows of a Parquet file, a few at a time; see `rows`."""
    import pyarrow as pa
    from pyarrow import parquet

    errors = "surrogateescape" if lenient else "strict"
    number = 0
    try:
        with (
            answering(),
            open_bytes(path) as handle,
            parquet.ParquetFile(handle) as file,
        ):
            known = {column.path for column in file.schema}
            top = set(file.schema_arrow.names)
            wanted = [
                name
                for name in dict.fromkeys(fields)
                if name in top or name in known or name.split(".")[0] in top
            ]
            columns = wanted or None
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
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
        with answering(), open_bytes(path) as handle:
            for batch in _arrow_batches(handle):
                top = [name.split(".")[0] for name in fields]
                kept = [n for n in batch.schema.names if n in {*fields, *top}]
                rows = batch.select(kept) if kept else batch
                for start in range(0, rows.num_rows, _BATCH_ROWS):
                    for row in batch_rows(
                        rows.slice(start, _BATCH_ROWS), errors
                    ):
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
