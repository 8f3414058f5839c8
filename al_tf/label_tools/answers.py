"""What people answered, checked against what they were asked.

A file of any tool becomes `Answer`s: what stands there, and where. `resolve`
compares them with the examples and classes of the pool and names everything
that does not fit, with the place of the first.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from runkit import InputError, closest
from runkit.datasets.labels import class_key, id_key

# An answer is a label, or one of the two ways of giving none.
LABEL, SKIP, UNSURE = "label", "skip", "unsure"
STATES = (LABEL, SKIP, UNSURE)
# Nobody's answer any more: an amendment of a project, never in a file.
WITHDRAWN = "withdrawn"
# In a cell: between several classes, and for none of them.
AND, NONE = "|", "-"
_MOST_NAMED = 20


class Answer(NamedTuple):
    """One answer as a file has it.

    Attributes:
        place: file and line or record, for messages.
        example: id as the file has it.
        value: a class name, a cell with several, or a list of names; None or
            blank where nobody has answered yet.
        state: one of `STATES`.
        annotator: who answered; "" where the file does not say.
        batch: name of the batch that was asked for; "" where it is not said.
    """

    place: str
    example: Any
    value: Any
    state: str = LABEL
    annotator: str = ""
    batch: str = ""


class Given(NamedTuple):
    """One answer in the pool's own terms.

    Attributes:
        example: id, as the pool has it.
        annotator: who answered.
        state: one of `STATES`, or `WITHDRAWN`.
        classes: names in the order of the pool's classes; one for a pool of
            one class each; none if the state is not `LABEL`.
    """

    example: Any
    annotator: str
    state: str
    classes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Asked:
    """What may be answered.

    Attributes:
        ids: of the examples that were asked for.
        classes: all names.
        multilabel: an example may have any number of classes.
        batches: names of the batches that answers may belong to; empty: any.
    """

    ids: Sequence[Any]
    classes: Sequence[str]
    multilabel: bool
    batches: Sequence[str] = ()


def resolve(
    answers: Iterable[Answer],
    asked: Asked,
    path: str | pathlib.Path,
    *,
    is_complete: bool = False,
) -> list[Given]:
    """Checks answers and puts them into the pool's terms.

    Equal answers count once; examples that nobody answered are left out.

    Args:
        answers: of one file.
        asked: the examples and classes.
        path: of the file, for messages.
        is_complete: every example that was asked for needs a label.

    Returns:
        The answers, in the order of the file.

    Raises:
        InputError: a batch of another project, ids that were not asked for,
            unknown classes, another number of classes than there can be, two
            answers of one annotator to one example; all of them are named.
    """
    found = _Found(asked)
    for answer in answers:
        found.add(answer)
    found.refuse(str(path), is_complete)
    return [
        Given(
            example, annotator, state, tuple(asked.classes[i] for i in chosen)
        )
        for (example, annotator), (state, chosen) in found.given.items()
    ]


def class_names(value: Any, multilabel: bool) -> list[str] | None:
    """Class names in a cell or a list; None for an empty cell."""
    if isinstance(value, list | tuple):
        return [str(name).strip() for name in value]
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if not multilabel:
        return [text]
    return [] if text == NONE else [t.strip() for t in text.split(AND)]


class _Found:
    """Answers so far, and all that is wrong with them."""

    def __init__(self, asked: Asked):
        self.given: dict[tuple[Any, str], tuple[str, list[int]]] = {}
        self._asked = asked
        self._missing = dict.fromkeys(asked.ids)
        self._wanted = set(asked.ids)
        self._is_text = any(isinstance(name, str) for name in asked.ids)
        # A spreadsheet may write 1 as 1.0, and another system é as two marks.
        self._numbers: dict[Any, int] = {}
        for number, name in enumerate(asked.classes):
            self._numbers[class_key(name)] = number
        for number, name in enumerate(asked.classes):
            self._numbers[name] = number
        self._first = ""
        self._others: list[str] = []
        self._foreign: list[str] = []
        self._unknown: list[tuple[Any, str]] = []
        self._disagree: list[Any] = []

    def add(self, answer: Answer) -> None:
        """Takes one answer; an empty label counts as none."""
        batches = self._asked.batches
        if batches and answer.batch and answer.batch not in batches:
            self._note(self._others, answer.batch, answer.place)
            return
        example = id_key(answer.example, is_text=self._is_text)
        if example not in self._wanted:
            self._note(self._foreign, str(answer.example), answer.place)
            return
        names = class_names(answer.value, self._asked.multilabel)
        chosen: list[int] = []
        if answer.state == LABEL:
            if names is None:
                return
            self._missing.pop(example, None)
            strange = [n for n in names if self._number(n) is None]
            is_many = len(names) != 1 and not self._asked.multilabel
            if strange or is_many:
                shown = AND.join(strange or names)
                self._note(self._unknown, (example, shown), answer.place)
                return
            numbers = {self._number(name) for name in names}
            chosen = sorted(n for n in numbers if n is not None)
        elif names:
            shown = f"{AND.join(names)} and {answer.state}"
            self._note(self._unknown, (example, shown), answer.place)
            return
        key, value = (example, answer.annotator), (answer.state, chosen)
        if self.given.setdefault(key, value) != value:
            self._note(self._disagree, example, answer.place)

    def _number(self, name: str) -> int | None:
        found = self._numbers.get(name)
        return self._numbers.get(class_key(name)) if found is None else found

    def _note(self, problems: list[Any], what: Any, place: str) -> None:
        problems.append(what)
        self._first = self._first or place

    def refuse(self, path: str, is_complete: bool) -> None:
        """Names all that is wrong at once, if anything is."""
        problems: dict[str, Sequence[Any]] = {
            "batches of another project": [*dict.fromkeys(self._others)],
            "example ids that were not asked for": self._foreign,
            "unknown classes": [f"{i} is {n!r}" for i, n in self._unknown],
            "labels that disagree": self._disagree,
            "examples without a label": [*self._missing] * is_complete,
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
            near = closest(self._unknown[0][1], self._asked.classes)
            remedy = f"{near}. {remedy}"
        raise InputError(
            "; ".join(parts), where=self._first or path, remedy=remedy
        )
