"""Answers out of the files of Label Studio: JSON, JSON-MIN and CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from al_tf.label_tools.answers import LABEL, SKIP, Answer
from al_tf.label_tools.records import (
    BATCH,
    ID,
    STATUS,
    Names,
    Records,
    id_of,
    list_of,
    object_of,
    person_of,
    state_of,
    text_of,
)
from runkit import InputError
from runkit.datasets.tables import field

# What the tool itself writes into JSON-MIN and CSV, and what our tasks hold.
_OWN = {
    "id",
    "annotator",
    "annotation_id",
    "created_at",
    "updated_at",
    "lead_time",
    BATCH,
    ID,
    "text",
    "image",
}


def read_export(records: Records, names: Names) -> Iterator[Answer]:
    """Yields the answers of JSON: tasks with a list of annotations."""
    for place, task in records:
        data = object_of(task, place).get("data")
        data = object_of(data, f"{place}, field data", "task's data")
        example = id_of(data, names, place, own="")
        annotations = field(task, "annotations", place)
        list_of(annotations, place, "field annotations")
        for number, annotation in enumerate(annotations):
            at = f"{place}, annotation {number}"
            annotation = object_of(annotation, at, "annotation")
            state, value = _result(annotation, names, at)
            yield Answer(
                at,
                example,
                value,
                state,
                person_of(annotation.get("completed_by")),
                text_of(data.get(BATCH)),
            )


def _result(
    annotation: dict[str, Any], names: Names, place: str
) -> tuple[str, Any]:
    """State and value of one of Label Studio's annotations."""
    if annotation.get("was_cancelled"):
        return SKIP, None
    items = list_of(field(annotation, "result", place), place, "result")
    if not items:
        # Submitted with nothing chosen.
        return LABEL, [] if names.multilabel else None
    by_control: dict[str, list[str]] = {}
    for item in items:
        item = object_of(item, place, "result")
        if item.get("type") == "choices":
            chosen = field(item, "value.choices", place)
            list_of(chosen, place, "field value.choices")
            name = str(item.get("from_name"))
            by_control.setdefault(name, []).extend(map(str, chosen))
    status = by_control.pop(STATUS, [])
    if names.label in by_control:
        return state_of("".join(status), place), by_control[names.label]
    if status:
        return state_of("".join(status), place), None
    controls = {str(item.get("from_name")) for item in items}
    raise _other_configuration(controls, names, place)


def _other_configuration(
    controls: set[str], names: Names, place: str
) -> InputError:
    return InputError(
        "is of another labeling configuration",
        where=place,
        got=sorted(controls),
        expected=f"a control <Choices name={names.label!r}>",
        remedy="Use the configuration next to the tasks, or say how the "
        "control is called: --label_column",
    )


def read_min_export(records: Records, names: Names) -> Iterator[Answer]:
    """Yields the answers of JSON-MIN or CSV: a row for each annotation.

    The columns of a row are its task's data and its controls; which are which
    shows where a label was given.
    """
    table = [(place, object_of(row, place)) for place, row in records]
    usual = {
        key
        for _, row in table
        if text_of(row.get(names.label))
        for key in _filled(row)
    }
    for place, row in table:
        value = row.get(names.label)
        if isinstance(value, str) and value.startswith('{"choices"'):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise InputError(
                    "is not JSON", where=f"{place}, {names.label}", got=value
                ) from None
        if isinstance(value, dict):
            where = f"{place}, {names.label}"
            value = list_of(field(value, "choices", where), where, "choices")
        state = state_of(row.get(STATUS), place)
        if not text_of(value) and state == LABEL:
            others = _filled(row) - usual - {STATUS}
            if others:
                raise _other_configuration(others, names, place)
            # Submitted with nothing chosen.
            value = [] if names.multilabel else None
        yield Answer(
            place,
            id_of(row, names, place, own="id"),
            value,
            state,
            person_of(row.get("annotator")),
            text_of(row.get(BATCH)),
        )


def _filled(row: dict[str, Any]) -> set[str]:
    """Columns of a row that hold something, but for the tool's own."""
    return {key for key, value in row.items() if text_of(value)} - _OWN
