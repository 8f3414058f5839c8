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
import os
from collections.abc import Callable, Iterator
from typing import Any

from al_tf.label_tools import label_studio
from al_tf.label_tools.answers import LABEL, SKIP, Answer
from al_tf.label_tools.records import (
    BATCH,
    ID,
    STATUS,
    Names,
    Records,
    column_of,
    id_of,
    list_of,
    object_of,
    person_of,
    state_of,
    text_of,
)
from runkit import InputError
from runkit.datasets.tables import field, rows
from runkit.errors import check_choice


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


def _table(records: Records, names: Names) -> Iterator[Answer]:
    for place, row in records:
        example = field(object_of(row, place), names.ids, place)
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
            state_of(column_of(row, STATUS), place),
            person_of(column_of(row, "annotator")),
            text_of(column_of(row, BATCH)),
        )


def _doccano(records: Records, names: Names) -> Iterator[Answer]:
    for place, row in records:
        value = field(object_of(row, place), names.label, place)
        if isinstance(value, str):
            # CSV joins several classes by "#".
            is_many = names.multilabel and value.strip()
            value = value.split("#") if is_many else value
        elif not value:
            value = None
        yield Answer(
            place,
            id_of(row, names, place, own="id"),
            value,
            LABEL,
            person_of(column_of(row, "annotator")),
            text_of(column_of(row, BATCH)),
        )


def _argilla(records: Records, names: Names) -> Iterator[Answer]:
    for place, record in records:
        known = object_of(record, place).get("metadata") or {}
        object_of(known, place, "field metadata")
        example = id_of({**record, **known}, names, place, own="")
        responses = field(record, "responses", place)
        object_of(responses, place, "field responses")
        if responses and names.label not in responses:
            raise InputError(
                "answers another question",
                where=place,
                got=sorted(responses),
                expected=f"a question named {names.label!r}",
            )
        answers = responses.get(names.label, [])
        for response in list_of(answers, place, "question's responses"):
            response = object_of(response, place, "response")
            status = text_of(response.get(STATUS))
            if status == "draft":
                continue
            state = SKIP if status == "discarded" else LABEL
            yield Answer(
                place,
                example,
                None if state == SKIP else field(response, "value", place),
                state,
                person_of(response.get("user_id")),
                text_of(known.get(BATCH)),
            )


def _prodigy(records: Records, names: Names) -> Iterator[Answer]:
    for place, task in records:
        verdict = text_of(field(object_of(task, place), "answer", place))
        known = object_of(task.get("meta") or {}, place, "field meta")
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
            id_of({**known, **task}, names, place, own=""),
            value,
            state,
            person_of(task.get("_annotator_id")),
            text_of(known.get(BATCH)),
        )


FORMS: dict[str, Callable[[Records, Names], Iterator[Answer]]] = {
    "table": _table,
    "label_studio": label_studio.read_export,
    "label_studio_min": label_studio.read_min_export,
    "doccano": _doccano,
    "argilla": _argilla,
    "prodigy": _prodigy,
}
