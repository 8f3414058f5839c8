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
from collections.abc import Sequence
from typing import Any, BinaryIO, cast

import numpy as np

from al_tf.pools.pool import Examples
from runkit import InputError, atomic_write, closest
from runkit.datasets.labels import class_key, id_key
from runkit.datasets.tables import field, rows
from runkit.files import remove_leftovers

SUFFIXES = (".csv", ".jsonl")
_FIELDS = ("text", "suggested_label", "label")
_NONE, _AND = "-", "|"
_MOST_NAMED = 20


def write_questions(
    folder: pathlib.Path, stem: str, batch: Examples, suggested: list[Any]
) -> pathlib.Path:
    """Writes what is to be labeled, unless it is there already.

    Somebody may be filling the file in: it is never written a second time.

    Args:
        folder: of the files.
        stem: of their names.
        batch: the examples, in the order in which they were chosen.
        suggested: labels as `Examples.labels` has them; empty for none.

    Returns:
        The CSV file.
    """
    for place in (folder, folder / "images"):
        remove_leftovers(place)
    path = folder / f"{stem}.csv"
    texts = _texts(folder, batch)
    answers = suggested or [None] * len(batch)
    header = (batch.id_name, *_FIELDS)
    questions = [
        (name, text, _shown(label, batch), "")
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
    wanted = batch.named.tolist()
    found = _Answers(wanted)
    for place, row in rows(path):
        example_id = field(row, batch.id_name, place)
        found.add(example_id, field(row, "label", place), batch)
    found.refuse(path, batch.classes)
    if not batch.multilabel:
        return np.array([found.answers[row][0] for row in wanted], np.int64)
    labels = np.zeros((len(wanted), len(batch.classes)), np.int64)
    for cells, row in zip(labels, wanted, strict=True):
        cells[found.answers[row]] = 1
    return labels


class _Answers:
    """Answers so far, and all that is wrong with them."""

    def __init__(self, wanted: list[Any]):
        self.answers: dict[Any, list[int]] = {}
        self._missing = dict.fromkeys(wanted)
        self._wanted = set(wanted)
        self._is_text = any(isinstance(name, str) for name in wanted)
        self._foreign: list[str] = []
        self._unknown: list[tuple[Any, str]] = []
        self._disagree: list[Any] = []

    def add(self, example_id: Any, value: Any, batch: Examples) -> None:
        """Takes one record; an empty label counts as none."""
        example = id_key(example_id, is_text=self._is_text)
        if example not in self._wanted:
            self._foreign.append(str(example_id))
            return
        names = _names(value, batch.multilabel)
        if names is None:
            return
        self._missing.pop(example, None)
        # A spreadsheet may write 1 as 1.0, and another system é as two marks.
        known = {class_key(name): name for name in batch.classes}
        names = [
            name if name in batch.classes else known.get(class_key(name), name)
            for name in names
        ]
        strange = [name for name in names if name not in batch.classes]
        if strange or (len(names) != 1 and not batch.multilabel):
            self._unknown.append((example, _AND.join(strange or names)))
            return
        chosen = sorted({batch.classes.index(name) for name in names})
        if self.answers.setdefault(example, chosen) != chosen:
            self._disagree.append(example)

    def refuse(self, path: pathlib.Path, classes: tuple[str, ...]) -> None:
        """Names all that is wrong at once, if anything is."""
        problems: dict[str, Sequence[Any]] = {
            "example ids that were not asked for": self._foreign,
            "unknown classes": [f"{i} is {n!r}" for i, n in self._unknown],
            "labels that disagree": self._disagree,
            "examples without a label": list(self._missing),
        }
        parts = []
        for what, named in problems.items():
            shown = ", ".join(map(str, named[:_MOST_NAMED]))
            rest = len(named) - _MOST_NAMED
            more = f" and {rest} more" if rest > 0 else ""
            if named:
                parts.append(f"{what}: {shown}{more}")
        if not parts:
            return
        remedy = "Correct the file and run the same command again"
        if self._unknown:
            remedy = f"{closest(self._unknown[0][1], classes)}. {remedy}"
        raise InputError("; ".join(parts), where=str(path), remedy=remedy)


def _names(raw: Any, multilabel: bool) -> list[str] | None:
    """Class names in a cell; None for an empty cell."""
    if isinstance(raw, list):
        return [str(name) for name in raw]
    text = "" if raw is None else str(raw).strip()
    if not text:
        return None
    if not multilabel:
        return [text]
    return [] if text == _NONE else [t.strip() for t in text.split(_AND)]


def check_names(pool: Examples) -> None:
    """Refuses class names that nobody could write into a cell.

    Raises:
        InputError: outer spaces; for a multi-label pool what joins names, or
            stands for none; ids whose column has the name of another one.
    """
    if pool.id_name in _FIELDS:
        raise InputError(
            "is the name of another column of the files for people",
            where="--id_column",
            got=pool.id_name,
            remedy="Rename the column",
        )
    for name in pool.classes:
        if _names(name, pool.multilabel) != [name]:
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
    return _AND.join(names) or _NONE


def _texts(folder: pathlib.Path, batch: Examples) -> list[str]:
    if batch.kind == "text":
        return list(batch.inputs)
    if batch.kind == "embedding":
        return [""] * len(batch)
    from matplotlib import image as images

    names = []
    for row, pixels in zip(batch.rows, batch.inputs, strict=True):
        names.append(f"images/{row}.png")
        path = folder / names[-1]
        # One channel is gray: three equal ones show it as it is.
        shown = pixels if pixels.shape[-1] == 3 else pixels[..., [0, 0, 0]]
        if not path.exists():
            with atomic_write(path, "wb") as handle:
                images.imsave(cast(BinaryIO, handle), shown, format="png")
    return names
