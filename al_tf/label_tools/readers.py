"""Answers out of the files of labeling tools, whichever tool wrote them.

    table              csv, tsv, JSON Lines, Parquet: id, `label`, and where
                       they are there `annotator`, `status` and `batch`
    label_studio       its JSON: tasks with `annotations`
    label_studio_min   its JSON-MIN and CSV: a row for each annotation
    doccano            JSON Lines or CSV
    argilla            records as `to_json` and `to_list` write them
    prodigy            JSON Lines of `db-out`, choices or one label

Tools number tasks by themselves, so their files hold our ids as `example_id`,
and the batch as `batch`; the ids' own column serves too, unless it is `id`.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from al_tf.label_tools.answers import (
    LABEL,
    SKIP,
    STATES,
    UNSURE,
    Answer,
)
from runkit import InputError
from runkit.datasets.tables import field, rows
from runkit.errors import check_choice

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


def read_answers(
    path: str | os.PathLike, names: Names, form: str = ""
) -> Iterator[Answer]:
    """Yields the answers of a file.

    Args:
        path: of a table that `runkit.datasets.tables` reads.
        names: of its columns.
        form: one of `FORMS`; "": as the first record looks.

    Raises:
        InputError: no file that can be read, an unknown form, a record that
            is not of the form, with its place.
    """
    if form:
        check_choice(form, FORMS, where="--tool")
    records = rows(path)
    first = next(iter(records), None)
    if first is None:
        raise InputError("holds no records", where=str(path))
    reader = FORMS[form or form_of(first[1])]
    yield from reader(itertools.chain([first], records), names)


def form_of(record: Any) -> str:
    """The form of a file whose first record this is."""
    keys = set(record) if isinstance(record, dict) else set()
    if {"annotations", "completions"} & keys or {"data", "predictions"} <= keys:
        return "label_studio"
    if "annotation_id" in keys:
        return "label_studio_min"
    if {"fields", "responses"} <= keys:
        return "argilla"
    if {"_task_hash", "_input_hash"} & keys or {"answer", "accept"} <= keys:
        return "prodigy"
    return "doccano" if "Comments" in keys else "table"


def _id(record: dict[str, Any], names: Names, place: str, *, own: str) -> Any:
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


def _object(value: Any, place: str, what: str = "record") -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(
            f"the {what} is not an object",
            where=place,
            got=value,
            expected="one object per line",
        )
    return value


def _table(records: Records, names: Names) -> Iterator[Answer]:
    for place, row in records:
        example = field(_object(row, place), names.ids, place)
        if names.ids != ID and str(row.get(ID, example)) != str(example):
            raise InputError(
                f"has two ids, {names.ids} and {ID}",
                where=place,
                got=[example, row[ID]],
                remedy="Say which tool wrote the file (--tool), or leave out "
                "one of the columns",
            )
        value = field(row, names.label, place)
        yield Answer(
            place,
            example,
            value,
            _state(row.get(STATUS), place),
            _text(row.get("annotator")),
            _text(row.get(BATCH)),
        )


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _state(value: Any, place: str) -> str:
    """The state that a cell `status` names; a label by default."""
    text = _text(value).casefold()
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


def _label_studio(records: Records, names: Names) -> Iterator[Answer]:
    for place, task in records:
        data = _object(task, place).get("data")
        data = _object(data, f"{place}, field data", "task's data")
        example = _id(data, names, place, own="")
        annotations = field(task, "annotations", place)
        if not isinstance(annotations, list):
            raise InputError(
                "is not a list of annotations", where=place, got=annotations
            )
        for number, annotation in enumerate(annotations):
            at = f"{place}, annotation {number}"
            annotation = _object(annotation, at, "annotation")
            state, value = _result(annotation, names, at)
            yield Answer(
                at,
                example,
                value,
                state,
                _person(annotation.get("completed_by")),
                _text(data.get(BATCH)),
            )


def _person(value: Any) -> str:
    """Label Studio names people by number, or by an object with an email."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return _text(value)


def _result(
    annotation: dict[str, Any], names: Names, place: str
) -> tuple[str, Any]:
    """State and value of one of Label Studio's annotations."""
    if annotation.get("was_cancelled"):
        return SKIP, None
    items = field(annotation, "result", place)
    if not items:
        # Submitted with nothing chosen.
        return LABEL, [] if names.multilabel else None
    by_control: dict[str, list[str]] = {}
    for item in items:
        item = _object(item, place, "result")
        if item.get("type") == "choices":
            chosen = field(item, "value.choices", place)
            name = str(item.get("from_name"))
            by_control.setdefault(name, []).extend(map(str, chosen))
    status = by_control.pop(STATUS, [])
    if names.label in by_control:
        return _state("".join(status), place), by_control[names.label]
    if status:
        return _state("".join(status), place), None
    raise InputError(
        "is of another labeling configuration",
        where=place,
        got=sorted({str(item.get("from_name")) for item in items}),
        expected=f"a control <Choices name={names.label!r}>",
        remedy="Use the configuration that stands beside the tasks",
    )


def _label_studio_min(records: Records, names: Names) -> Iterator[Answer]:
    for place, row in records:
        row = _object(row, place)
        value = row.get(names.label)
        if isinstance(value, str) and value.startswith('{"choices"'):
            try:
                value = json.loads(value)
            except ValueError:
                raise InputError(
                    "is not JSON", where=f"{place}, {names.label}", got=value
                ) from None
        if isinstance(value, dict):
            value = field(value, "choices", f"{place}, {names.label}")
        state = _state(row.get(STATUS), place)
        if value in (None, "") and names.label not in row and state == LABEL:
            # An empty answer has no column; other controls would have one.
            value = [] if names.multilabel else None
        yield Answer(
            place,
            _id(row, names, place, own="id"),
            value,
            state,
            _person(row.get("annotator")),
            _text(row.get(BATCH)),
        )


def _doccano(records: Records, names: Names) -> Iterator[Answer]:
    for place, row in records:
        value = field(_object(row, place), names.label, place)
        if isinstance(value, str):
            # CSV joins several classes by "#".
            is_many = names.multilabel and value.strip()
            value = value.split("#") if is_many else value
        elif not value:
            value = None
        yield Answer(
            place,
            _id(row, names, place, own="id"),
            value,
            LABEL,
            _text(row.get("annotator")),
            _text(row.get(BATCH)),
        )


def _argilla(records: Records, names: Names) -> Iterator[Answer]:
    for place, record in records:
        known = _object(record, place).get("metadata") or {}
        example = _id({**record, **known}, names, place, own="")
        responses = _object(record["responses"], place, "field responses")
        if responses and names.label not in responses:
            raise InputError(
                "answers another question",
                where=place,
                got=sorted(responses),
                expected=f"a question named {names.label!r}",
            )
        for response in responses.get(names.label, []):
            response = _object(response, place, "response")
            state = {"discarded": SKIP}.get(_text(response.get(STATUS)), LABEL)
            if response.get(STATUS) == "draft":
                continue
            yield Answer(
                place,
                example,
                None if state == SKIP else field(response, "value", place),
                state,
                _text(response.get("user_id")),
                _text(known.get(BATCH)),
            )


def _prodigy(records: Records, names: Names) -> Iterator[Answer]:
    for place, task in records:
        verdict = _text(field(_object(task, place), "answer", place))
        known = task.get("meta") or {}
        state: str = LABEL
        value: Any = task.get("accept")
        if verdict == "ignore" or (verdict == "reject" and "accept" in task):
            # The task itself was turned down.
            state, value = SKIP, None
        elif verdict not in ("accept", "reject"):
            raise InputError(
                "is not an answer",
                where=place,
                got=verdict,
                expected="accept, reject or ignore",
            )
        elif "accept" not in task:
            value = field(task, "label", place)
            if verdict == "reject" or names.multilabel:
                raise InputError(
                    "one class was judged, the others were not",
                    where=place,
                    got=f"{verdict} {value}",
                    remedy="Label with choices (view_id: choice), as in the "
                    "tasks that `al_tf.project_main next` writes",
                )
        yield Answer(
            place,
            _id({**known, **task}, names, place, own=""),
            value,
            state,
            _text(task.get("_annotator_id")),
            _text(known.get(BATCH)),
        )


FORMS: dict[str, Callable[[Records, Names], Iterator[Answer]]] = {
    "table": _table,
    "label_studio": _label_studio,
    "label_studio_min": _label_studio_min,
    "doccano": _doccano,
    "argilla": _argilla,
    "prodigy": _prodigy,
}
