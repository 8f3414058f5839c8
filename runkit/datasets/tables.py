"""Tables from outside, row by row: JSON Lines, CSV and TSV.

The files are read as they are consumed, so they may be larger than the memory.
"""

from __future__ import annotations

import codecs
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from runkit.datasets.delimited import csv_rows
from runkit.datasets.inputs import open_input, plain_suffix, reading
from runkit.errors import InputError, closest

FORMATS = ("jsonl", "csv", "tsv")
MAX_LINE_BYTES = 1 << 26


def rows(
    path: str | os.PathLike, table: str = "", *, lenient: bool = False
) -> Iterator[tuple[str, Any]]:
    """Yields (place, row) of every row of a table; blank lines are skipped.

    Args:
        path: in UTF-8, with or without a byte order mark, or in UTF-16; may be
            compressed.
        table: one of `FORMATS`; "" takes the suffix of the file.
        lenient: bytes that are not UTF-8 become lone surrogates in the texts
            (Python's "surrogateescape"), which `whole_text` refuses;
            otherwise they are refused here.

    Yields:
        ("PATH, line N" or "PATH, record N", the row): the parsed value of
        JSON Lines, usually a dict; {column: text} of the others, with None
        for the columns that a short row lacks.

    Raises:
        InputError: the file cannot be read or is not such a table.
    """
    path = pathlib.Path(path)
    table = table or plain_suffix(path).removeprefix(".")
    if table not in FORMATS:
        raise InputError(
            "is not a table that can be read",
            where=str(path),
            expected=" or ".join(f".{name}" for name in FORMATS),
        )
    if table == "jsonl":
        yield from json_lines(path, lenient=lenient)
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
                remedy="Quote the cells that hold the separator",
            )
        if not any(cell.strip() for cell in cells):
            continue  # Spreadsheets end a table with rows of commas.
        missing = [None] * (len(header) - len(cells))
        yield place, dict(zip(header, [*cells, *missing], strict=False))


def json_lines(
    path: str | os.PathLike, *, lenient: bool = False
) -> Iterator[tuple[str, Any]]:
    """Yields ("PATH, line N", parsed value) of every line; see `rows`.

    Only a line feed ends a line: JSON may hold Unicode's other line ends.

    Raises:
        InputError: no such file, not UTF-8, or a line that is not JSON.
    """
    with reading(path), open_input(path) as handle:
        lines = iter(lambda: handle.readline(MAX_LINE_BYTES), b"")
        for number, line in enumerate(lines, 1):
            place = f"{path}, line {number}"
            if len(line) >= MAX_LINE_BYTES:
                raise InputError(
                    f"is longer than {MAX_LINE_BYTES:,} bytes",
                    where=place,
                    expected="one object per line",
                )
            line = line.removeprefix(codecs.BOM_UTF8).strip()
            if not line:
                continue
            try:
                text = line.decode(
                    "utf-8", "surrogateescape" if lenient else "strict"
                )
                value = json.loads(text)
            except UnicodeDecodeError as error:
                raise InputError(
                    f"is not UTF-8 ({error})", where=place
                ) from None
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"is not JSON ({error})", where=place
                ) from None
            yield place, value


def field(row: Any, name: str, place: str) -> Any:
    """Returns a field of a row.

    Args:
        row: what `rows` yields.
        name: of the field.
        place: file and line, for the message.

    Raises:
        InputError: not an object, or one without the field.
    """
    if not isinstance(row, dict) or name not in row:
        raise InputError(
            "has no such field",
            where=place,
            got=name,
            remedy=closest(name, row) if isinstance(row, dict) else "",
            expected="" if isinstance(row, dict) else "one object per line",
        )
    return row[name]


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
    return [named] if named in known else named.split("+")


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
