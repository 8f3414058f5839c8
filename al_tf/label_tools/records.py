"""What the readers of all tools share: names of columns, checked parts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from al_tf.label_tools.answers import LABEL, SKIP, STATES, UNSURE
from runkit import InputError

ID, BATCH, CONTROL, STATUS = "example_id", "batch", "label", "status"
_DONE = ("", "label", "labeled", "done", "submitted", "completed")
Records = Iterable[tuple[str, Any]]


class Names(NamedTuple):
    """How the columns of a file are called.

    Attributes:
        ids: column of the pool's ids.
        label: column, Label Studio's control or Argilla's question.
        multilabel: an example may have any number of classes.
    """

    ids: str = ID
    label: str = CONTROL
    multilabel: bool = False


def id_of(record: dict[str, Any], names: Names, place: str, *, own: str) -> Any:
    """Our id in a record of a tool.

    Args:
        record: with the task's data.
        names: of the columns.
        place: of the record.
        own: key that the tool writes its own number in; "" for none.
    """
    if ID in record:
        return record[ID]
    if names.ids in record and names.ids != own:
        return record[names.ids]
    raise InputError(
        f"has no field {ID!r}: whose answer is it?",
        where=place,
        got=sorted(map(str, record))[:20],
        remedy="Send tasks out with `al_tf.project_main next`, or add the "
        f"field {ID} to the tool's data",
    )


def object_of(value: Any, place: str, what: str = "record") -> dict[str, Any]:
    """Returns the value if it is an object, else refuses it."""
    if not isinstance(value, dict):
        raise InputError(
            f"the {what} is not an object",
            where=place,
            got=value,
            expected="one object per line",
        )
    return value


def list_of(value: Any, place: str, what: str) -> list[Any]:
    """Returns the value if it is a list: a text would become its letters."""
    if not isinstance(value, list):
        raise InputError(f"the {what} is not a list", where=place, got=value)
    return value


def column_of(row: dict[str, Any], name: str) -> Any:
    """A column that need not be there; None without it.

    Left out because of a capital, answers would be taken for somebody else's.

    Args:
        row: of a table.
        name: in small letters; `Name` and ` name` are it too.
    """
    if name in row:
        return row[name]
    same = (key for key in row if key.strip().casefold() == name)
    return row.get(next(same, name))


def text_of(value: Any) -> str:
    """A cell without outer spaces; "" for none and for NaN."""
    return "" if value is None or value != value else str(value).strip()


def state_of(value: Any, place: str) -> str:
    """The state that a cell `status` names; a label by default."""
    text = text_of(value).casefold()
    if text in _DONE or text == LABEL:
        return LABEL
    if text not in STATES:
        raise InputError(
            "is not a status",
            where=f"{place}, field {STATUS}",
            got=value,
            expected=f"{SKIP}, {UNSURE} or nothing",
        )
    return text


def person_of(value: Any) -> str:
    """Who answered; "" for nobody.

    Label Studio names people by number, or by an object with an email, and a
    column of numbers with gaps becomes one of fractions in many programs.
    """
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return re.sub(r"^([0-9]+)\.0+$", r"\1", text_of(value))
