"""Tables from outside, row by row: JSON Lines, CSV, TSV, Parquet and Arrow.

The files are read as they are consumed, so they may be larger than the memory.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Container, Iterator, Sequence
from typing import IO, Any, cast

from runkit.datasets.inputs import open_input, plain_suffix, reading
from runkit.datasets.row_formats import arrow_rows, csv_rows, parquet_rows
from runkit.errors import InputError, closest
from runkit.files.formats import unique_names
from runkit.files.storage import as_path

FORMATS = ("jsonl", "csv", "tsv", "parquet", "arrow")
# What a file holds by its suffix; a JSON file is one list of objects, or JSON
# Lines by another name.
SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_BLOCK_BYTES = 1 << 16
# The start of a list of objects; a line may also be a list of other things.
_LIST_OF_OBJECTS = re.compile(rb"\[\s*(\{|\Z)")
_SPACE = re.compile(r"[ \t\r\n]*")
MAX_LINE_BYTES = 1 << 26


def rows(
    path: str | os.PathLike,
    table: str = "",
    *,
    lenient: bool = False,
    fields: Sequence[str] = (),
) -> Iterator[tuple[str, Any]]:
    """Yields (place, row) of every row of a table; blank lines are skipped.

    Args:
        path: in UTF-8, with or without a byte order mark, or in UTF-16; may be
            compressed.
        table: one of `FORMATS`; "" takes the suffix of the file.
        lenient: bytes that are not UTF-8 become lone surrogates in the texts
            (Python's "surrogateescape"), which `whole_text` refuses;
            otherwise they are refused here.
        fields: all that will be asked for, so that no more of a Parquet file
            need be read; () reads all.

    Yields:
        ("PATH, line N" or "PATH, record N", the row): the parsed value of
        JSON Lines, usually a dict; {column: text} of the others, with None
        for the columns that a short row lacks.

    Raises:
        InputError: the file cannot be read or is not such a table.
    """
    path = as_path(path)
    table = table or SUFFIXES.get(plain_suffix(path), "")
    if table not in FORMATS:
        raise InputError(
            "is not a table that can be read",
            where=str(path),
            expected=" or ".join(SUFFIXES),
        )
    if table == "jsonl":
        yield from json_lines(path, lenient=lenient)
        return
    if table == "parquet":
        yield from parquet_rows(path, fields, lenient)
        return
    if table == "arrow":
        yield from arrow_rows(path, fields, lenient)
        return
    header: list[str] | None = None
    for number, cells in enumerate(
        csv_rows(path, table, lenient=lenient, detect=True)
    ):
        if header is None:
            header = cells
            names = [name.strip() for name in header]
            twice = sorted({n for n in names if n and names.count(n) > 1})
            if twice:
                raise InputError(
                    "names a column twice", where=str(path), got=twice[0]
                )
            continue
        place = f"{path}, record {number}"
        surplus = [cell for cell in cells[len(header) :] if cell.strip()]
        if surplus:
            # A value would stand under the name of another column.
            raise InputError(
                "has more cells than the header has columns",
                where=place,
                got=cells,
                expected=f"{len(header)} cells",
                remedy="Quote the cells that hold the separator"
                if table == "csv"
                else "A tsv has no quotes: write such cells as csv or jsonl",
            )
        if not any(cell.strip() for cell in cells):
            continue  # Spreadsheets end a table with rows of commas.
        missing = [None] * (len(header) - len(cells))
        yield place, dict(zip(header, [*cells, *missing], strict=False))


def json_lines(
    path: str | os.PathLike, *, lenient: bool = False
) -> Iterator[tuple[str, Any]]:
    """Yields ("PATH, line N", parsed value) of every line; see `rows`.

    Only a line feed ends a line: JSON may hold Unicode's other line ends. Of a
    file that is one list of objects the items are yielded, as "item N".

    Raises:
        InputError: no such file, not UTF-8, or a line that is not JSON.
    """
    with reading(path), open_input(path) as handle:
        lines = iter(lambda: handle.readline(MAX_LINE_BYTES), b"")
        is_first = True
        for number, raw in enumerate(lines, 1):
            place = f"{path}, line {number}"
            line = raw.removeprefix(codecs.BOM_UTF8).strip()
            if not line:
                continue
            if is_first and _LIST_OF_OBJECTS.match(line):
                text = _Text(line, handle, lenient)
                yield from _list_items(path, text)
                return
            is_first = False
            if len(raw) >= MAX_LINE_BYTES:
                raise InputError(
                    f"is longer than {MAX_LINE_BYTES:,} bytes",
                    where=place,
                    expected="one object per line",
                )
            try:
                errors = "surrogateescape" if lenient else "strict"
                value = _DECODER.decode(line.decode("utf-8", errors))
            except UnicodeDecodeError as error:
                raise InputError(
                    f"is not UTF-8 ({error})", where=place
                ) from None
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"is not JSON ({error})", where=place
                ) from None
            yield place, value


_DECODER = json.JSONDecoder(object_pairs_hook=unique_names)


class _Text:
    """Text of a file from `at` on, as much of it as was asked for."""

    def __init__(self, start: bytes, handle: IO[bytes], lenient: bool):
        errors = "surrogateescape" if lenient else "strict"
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors)
        self._handle = handle
        self.text, self.at = self._decoder.decode(start), 0

    def more(self) -> bool:
        """Reads on; False at the end of the file."""
        rest = self.text[self.at :]
        # As much again: a long item is not tried for every block.
        block = self._handle.read(max(_BLOCK_BYTES, len(rest)))
        self.text, self.at = rest + self._decoder.decode(block, not block), 0
        return bool(block)

    def next(self) -> str:
        """Passes over white space; returns what follows, "" at the end."""
        while True:
            self.at = cast(re.Match, _SPACE.match(self.text, self.at)).end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""


def _list_items(
    path: str | os.PathLike, text: _Text
) -> Iterator[tuple[str, Any]]:
    """Yields the items of a file that is one list of objects."""
    number = 0
    text.at = 1  # Behind "[".
    while (char := text.next()) != "]":
        place = f"{path}, item {number}"
        if number:
            if char != ",":
                raise InputError("is not JSON (no comma)", where=place)
            text.at += 1
            text.next()
        while True:
            try:
                value, text.at = _DECODER.raw_decode(text.text, text.at)
                break
            except (ValueError, RecursionError) as error:
                is_long = len(text.text) - text.at > MAX_LINE_BYTES
                if is_long or not text.more():
                    raise InputError(
                        f"is not JSON ({error})", where=place
                    ) from None
        yield place, value
        number += 1
    text.at += 1
    if text.next():
        raise InputError(
            "holds more than one list",
            where=f"{path}",
            expected="one list of objects, or one object per line",
        )


def field(row: Any, name: str, place: str) -> Any:
    """Returns a field of a row.

    Args:
        row: what `rows` yields.
        name: of the field; `a.b` is the field `b` of the object `a`, unless
            a field has this name.
        place: file and line, for the message.

    Raises:
        InputError: not an object, or one without the field.
    """
    value = row
    parts = [name] if isinstance(row, dict) and name in row else name.split(".")
    for part in parts:
        if not isinstance(value, dict) or part not in value:
            raise InputError(
                f"has no field {name!r}",
                where=place,
                got=None if isinstance(row, dict) else row,
                remedy=closest(part, value) if isinstance(value, dict) else "",
                expected="" if isinstance(row, dict) else "one object per line",
            )
        value = value[part]
    return value


def text_field(row: Any, name: str, place: str) -> str:
    """Returns a field that has to hold text; see `field`."""
    text = field(row, name, place)
    if not isinstance(text, str):
        raise InputError(
            "is not text" if text is not None else "holds no text",
            where=f"{place}, field {name}",
            got=text,
        )
    return text


def joined_text(row: Any, names: Sequence[str], place: str) -> str:
    """Returns the texts of several fields, one per line; see `field`."""
    return "\n".join(text_field(row, name, place) for name in names)


def field_names(named: str, known: Any) -> list[str]:
    """Returns the fields that "one+two" names; a field of that name wins."""
    is_one = isinstance(known, Container) and named in known
    return [named] if is_one else named.split("+")


def whole_text(text: str, where: str) -> str:
    """Returns `text`, or refuses what UTF-8 cannot write (lone surrogates).

    Raises:
        InputError: a byte of the file that was not UTF-8, or half of a
            surrogate pair, which JSON can escape.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        bad = text[error.start]
        raise InputError(
            f"is not UTF-8 (byte {ord(bad) - 0xDC00:#x})"
            if "\udc80" <= bad <= "\udcff"
            else f"holds half of a character at position {error.start}",
            where=where,
            got=text[error.start : error.end],
        ) from None
    return text
