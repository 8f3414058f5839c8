"""Rows of delimited text, as people and spreadsheets write it."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterator
from typing import IO

from runkit.datasets.inputs import open_input, reading
from runkit.errors import InputError

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
            csv.reader(lines, delimiter=separator)
            if table == "csv"
            else csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        )
        while True:
            # Texts may be long, and csv takes 128 KiB for a mistake.
            before = csv.field_size_limit(_MAX_CELL)
            try:
                cells = next(reader, None)
                if table == "csv" and lines.ended:
                    _check_end(lines.record, separator)
            except (UnicodeDecodeError, csv.Error) as error:
                raise InputError(
                    f"cannot be read ({error})",
                    where=f"{path}, line {lines.first}",
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


def _check_end(record: list[str], separator: str) -> None:
    """Refuses a last row whose quoted cell runs to the end of the file."""
    quoted = [line for line in record if '"' in line]
    if len(record) == 1 and not quoted:
        return
    try:
        list(csv.reader(record, delimiter=separator, strict=True))
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise csv.Error("a quoted cell is never closed") from None


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
