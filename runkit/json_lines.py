"""JSON Lines files from outside: one object a line, checked at the door."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from runkit.errors import InputError, closest


def read_json_lines(path: pathlib.Path) -> list[Any]:
    """Reads every line; blank ones are passed over.

    Only a line feed ends a line: JSON may hold Unicode's other line ends.

    Raises:
        InputError: no such file, not UTF-8, or a line that is not JSON.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", where=str(path)
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 ({error})", where=str(path)) from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise InputError(
                f"is not JSON ({error})", where=f"{path}, line {number}"
            ) from None
    return rows


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
            remedy=closest(name, row if isinstance(row, dict) else ()),
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
