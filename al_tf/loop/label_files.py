"""Files between the loop and the people who label.

Questions (`.csv` and `.jsonl` of the same content):
    example_id, text, suggested_label, label (empty)
Labels (either of the two): `example_id` and `label`; further columns may stay.

A pool with ids has the column of its ids in place of `example_id`.

A multi-label example has its classes in one cell, `sports|politics`, and `-`
if it has none; in JSON a list. Images lie beside the questions as PNGs, whose
names stand for the text.
"""

from __future__ import annotations

import csv
import json
import pathlib
from typing import Any

import numpy as np

from al_tf.label_tools.answers import AND, NONE, Asked, class_names, resolve
from al_tf.label_tools.readers import read_answers
from al_tf.label_tools.records import BATCH, STATUS, Names
from al_tf.label_tools.shown import shown_inputs
from al_tf.pools.pool import Examples
from runkit import InputError, atomic_write
from runkit.files import remove_leftovers

SUFFIXES = (".csv", ".jsonl", ".json")
_FIELDS = ("text", "suggested_label", "label")
ANNOTATOR = "annotator"


def write_questions(
    folder: pathlib.Path,
    stem: str,
    batch: Examples,
    suggested: list[Any],
    batch_name: str = "",
) -> pathlib.Path:
    """Writes what is to be labeled, unless it is there already.

    Somebody may be filling the file in: it is never written a second time.

    Args:
        folder: of the files.
        stem: of their names.
        batch: the examples, in the order in which they were chosen.
        suggested: labels as `Examples.labels` has them; empty for none.
        batch_name: of a project, whose files also have the columns `status`
            (for skip or unsure), `annotator` and `batch`.

    Returns:
        The CSV file.
    """
    for place in (folder, folder / "images"):
        remove_leftovers(place)
    path = folder / f"{stem}.csv"
    texts = shown_inputs(folder, batch)
    answers = suggested or [None] * len(batch)
    header = [batch.id_name, *_FIELDS]
    more: list[str] = []
    if batch_name:
        header += [STATUS, ANNOTATOR, BATCH]
        more = ["", "", batch_name]
    questions = [
        (name, text, _shown(label, batch), "", *more)
        for name, text, label in zip(
            batch.named.tolist(), texts, answers, strict=True
        )
    ]
    lines = path.with_suffix(".jsonl")
    if not lines.exists():
        with atomic_write(lines) as handle:
            for row in questions:
                record = dict(zip(header, row, strict=True))
                handle.write(json.dumps(record, ensure_ascii=False) + "\n")
    if not path.exists():
        with atomic_write(path) as handle:
            # csv quotes what this line end holds; texts may hold either.
            writer = csv.writer(handle, lineterminator="\r\n")
            writer.writerows([header, *questions])
    return path


def read_labels(path: pathlib.Path, batch: Examples) -> np.ndarray:
    """Reads the labels of a batch, whole and without contradiction.

    Args:
        path: `.csv` or `.jsonl`.
        batch: the examples that were asked for.

    Returns:
        Labels in the order of the batch, as `Examples.labels` has them.

    Raises:
        InputError: unknown example ids, unknown classes, two labels for one
            example, or examples without a label; all of them are named.
    """
    names = Names(batch.id_name, multilabel=batch.multilabel)
    wanted = batch.named.tolist()
    # Whoever answered: a round has one label for each example.
    answers = (a._replace(annotator="") for a in read_answers(path, names))
    asked = Asked(wanted, batch.classes, batch.multilabel)
    given = resolve(answers, asked, path, is_complete=True)
    numbers = {name: i for i, name in enumerate(batch.classes)}
    found = {g.example: [numbers[name] for name in g.classes] for g in given}
    if not batch.multilabel:
        return np.array([found[row][0] for row in wanted], np.int64)
    labels = np.zeros((len(wanted), len(batch.classes)), np.int64)
    for cells, row in zip(labels, wanted, strict=True):
        cells[found[row]] = 1
    return labels


def check_names(pool: Examples) -> None:
    """Refuses class names that nobody could write into a cell.

    Raises:
        InputError: outer spaces; for a multi-label pool what joins names, or
            stands for none; ids whose column has the name of another one.
    """
    if pool.id_name in (*_FIELDS, STATUS, ANNOTATOR, BATCH):
        raise InputError(
            "is the name of another column of the files for people",
            where="--id_column",
            got=pool.id_name,
            remedy="Rename the column",
        )
    for name in pool.classes:
        if class_names(name, pool.multilabel) != [name]:
            raise InputError(
                "cannot be written into a labels file",
                where="--classes",
                got=name,
                remedy="Rename the class",
            )


def _shown(label: Any, batch: Examples) -> str:
    if label is None:
        return ""
    if not batch.multilabel:
        return batch.classes[label]
    names = [name for name, on in zip(batch.classes, label, strict=True) if on]
    return AND.join(names) or NONE
