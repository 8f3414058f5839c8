"""JSON Lines files from outside: one object a line, checked at the door."""

from __future__ import annotations

import codecs
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from runkit.errors import InputError, closest


def json_lines(path: pathlib.Path) -> Iterator[tuple[str, Any]]:
    """Yields (place, value) of every line; blank ones are passed over.

    Only a line feed ends a line: JSON may hold Unicode's other line ends. The
    file is read as it is consumed, so it may be larger than the memory.

    Args:
        path: in UTF-8, with or without a byte order mark.

    Yields:
        ("PATH, line N", the parsed value).

    Raises:
        InputError: no such file, not UTF-8, or a line that is not JSON.
    """
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line := line.removeprefix(codecs.BOM_UTF8).strip():
                    place = f"{path}, line {number}"
                    yield place, _parsed(line, place)
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", where=str(path)
        ) from None


def _parsed(line: bytes, place: str) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 ({error})", where=place) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error})", where=place) from None


def field(row: Any, name: str, place: str) -> Any:
    """Returns a field of an object.

    Args:
        row: a parsed line.
        name: of the field.
        place: file and line, for the message.

    Raises:
        InputError: not an object, or one without the field.
    """
    if not isinstance(row, dict) or name not in row:
        raise InputError(
            "has no such field", where=place, got=name,
            remedy=closest(name, row) if isinstance(row, dict) else "",
            expected="" if isinstance(row, dict) else "one object a line",
        )  # fmt: skip
    return row[name]


def text_field(row: Any, name: str, place: str) -> str:
    """Returns a field that has to hold text; see `field`."""
    text = field(row, name, place)
    if not isinstance(text, str):
        raise InputError(
            "is not text", where=f"{place}, field {name}", got=text
        )
    return text


def whole_text(text: str, where: str) -> str:
    """Returns `text`, or refuses half of a character (a lone surrogate)."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"holds half of a character at position {error.start}",
            where=where, got=text[error.start : error.end],
        ) from None  # fmt: skip
    return text


def split_json_spec(spec: str, where: str) -> tuple[pathlib.Path, str, str]:
    """Splits `PATH:TEXT_FIELD:LABEL_FIELD`; a path may have colons.

    Raises:
        InputError: a part is missing.
    """
    path, text_name, label_name = ["", "", *spec.rsplit(":", 2)][-3:]
    if not path or not text_name or not label_name:
        raise InputError(
            "names no text field and label field", where=where,
            got=f"jsonl:{spec}", expected="jsonl:PATH:TEXT_FIELD:LABEL_FIELD",
        )  # fmt: skip
    return pathlib.Path(path), text_name, label_name
