"""Answers that come in, against those that are there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from al_tf.label_tools.answers import WITHDRAWN, Given
from al_tf.project.record.journal import Event
from al_tf.project.record.state import State
from runkit import InputError

_SHOWN = 10


class Taken(NamedTuple):
    """What became of answers.

    Attributes:
        new: answers that were taken.
        same: answers that were there already.
        amended: answers that replaced another of the same annotator, or
            withdrew it.
    """

    new: int
    same: int
    amended: int


def answers_event(
    state: State, given: Iterable[Given], source: str, *, accept_changes: bool
) -> tuple[Taken, Event | None]:
    """Sorts answers into new, known and changed ones.

    Args:
        state: before them.
        given: one for each example and annotator.
        source: file or program that they came from.
        accept_changes: changed answers are taken.

    Returns:
        (counts, fields of the event that takes them, or None).

    Raises:
        InputError: there are changed answers, and they are not accepted.
    """
    new, same, changed = [], 0, []
    for answer in given:
        before = state.answers.get(answer.example, {}).get(answer.annotator)
        is_gone = answer.state == WITHDRAWN and before is None
        if before == answer or is_gone:
            same += 1
        elif before is None:
            new.append(answer)
        else:
            changed.append(answer)
    if changed and not accept_changes:
        shown = ", ".join(str(g.example) for g in changed[:_SHOWN])
        more = ", ..." if len(changed) > _SHOWN else ""
        raise InputError(
            f"{len(changed)} answers differ from what the same annotators "
            f"answered before; examples {shown}{more}",
            where=source,
            remedy="Put the old answers back, or give --accept_changed_labels",
        )
    taken = Taken(len(new), same, len(changed))
    if not new and not changed:
        return taken, None
    rows = [[*g[:3], [*g.classes]] for g in [*new, *changed]]
    return taken, {"source": source, "answers": rows}
