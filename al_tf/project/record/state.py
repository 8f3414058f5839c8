"""The state of a project: what its events add up to. Without any file."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from al_tf.label_tools.answers import LABEL, STATES, WITHDRAWN, Given
from al_tf.project.record.journal import Event
from runkit import InputError


class Part(NamedTuple):
    """Examples that joined the pool at one time.

    Attributes:
        dataset: specification that they are read from.
        examples: number of them.
        fingerprint: of their inputs and ids.
        embeddings: file of their embeddings; "" where they are computed.
    """

    dataset: str
    examples: int
    fingerprint: str
    embeddings: str = ""


class BatchRecord(NamedTuple):
    """A batch that people were asked for.

    Attributes:
        name: "PROJECT-NUMBER"; files carry it.
        ids: of the examples, in the order in which they were chosen.
        suggested: class names that the model answers, for each example.
        confidence: the model's probability of its answer, for each example.
        strategy: how the batch was chosen.
        result: what was measured before it was chosen; None without a model.
        margins: by which it was chosen, for each example, in [0, 1]; empty
            without a model, and in batches of before there were any.
    """

    name: str
    ids: list[Any]
    suggested: list[list[str]]
    confidence: list[float]
    strategy: str
    result: dict[str, Any] | None
    margins: Sequence[float] = ()


class Amendment(NamedTuple):
    """An answer that was changed or withdrawn after it had been taken.

    Attributes:
        event: number of the event that changed it.
        before: the answer until then.
        after: the answer since.
        source: file or program that it came from.
    """

    event: int
    before: Given
    after: Given
    source: str


@dataclasses.dataclass
class State:
    """Where a project stands.

    Attributes:
        classes: names of the classes, in the order in which they were added.
        parts: of the pool, in the order in which they joined.
        batches: all so far.
        answers: {example: {annotator: the answer that counts}}.
        amendments: answers that were changed or withdrawn, in order.
        changes: {(example, annotator): how often the answer was given, changed
            or withdrawn}.
        older_than_class: number of labeled multi-label examples that were
            answered before the newest class was added.
    """

    classes: list[str]
    parts: list[Part]
    batches: list[BatchRecord] = dataclasses.field(default_factory=list)
    answers: dict[Any, dict[str, Given]] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(dict)
    )
    amendments: list[Amendment] = dataclasses.field(default_factory=list)
    changes: collections.Counter[tuple[Any, str]] = dataclasses.field(
        default_factory=collections.Counter
    )
    older_than_class: int = 0

    @property
    def asked(self) -> dict[Any, int]:
        """{example: number of its batch}."""
        return {i: n for n, b in enumerate(self.batches) for i in b.ids}

    def copy(self) -> State:
        """The same state, which changes by itself."""
        answers = collections.defaultdict(
            dict, {i: dict(given) for i, given in self.answers.items()}
        )
        return State(
            list(self.classes),
            list(self.parts),
            list(self.batches),
            answers,
            list(self.amendments),
            self.changes.copy(),
            self.older_than_class,
        )

    def counts(self) -> dict[str, int]:
        """Number of answers by state."""
        found = collections.Counter(
            given.state
            for answers in self.answers.values()
            for given in answers.values()
        )
        return dict(found)

    def open_examples(self) -> list[Any]:
        """Examples of the batches that nobody has answered yet."""
        return [i for i in self.asked if i not in self.answers]


class Replay:
    """Adds up the events of a project, each of them once.

    Args:
        classes: at the project's creation.
        first: part of the pool.
    """

    def __init__(self, classes: Iterable[str], first: Part):
        self._start = State(list(classes), [first])
        self._state, self._added = self._start.copy(), 0

    def of(self, events: Sequence[Event]) -> State:
        """The state after events, which begin with those of the last call.

        Args:
            events: in order, as `Journal.events` gives them.

        Returns:
            A state of the caller's own.

        Raises:
            InputError: an event of an unknown kind, or without its fields.
        """
        for event in events[self._added :]:
            try:
                _apply(self._state, event)
            except (KeyError, TypeError, ValueError) as error:
                # A part of the event may be in the state already.
                self._state, self._added = self._start.copy(), 0
                raise InputError(
                    f"event {event['number']} cannot be read ({error!r})",
                    where=f"events of kind {event['kind']}",
                    remedy="Use the version of the package that wrote it",
                ) from None
            self._added += 1
        return self._state.copy()


def _apply(state: State, event: Event) -> None:
    kind = event["kind"]
    if kind == "answers":
        _apply_answers(state, event)
    elif kind == "batch":
        old = BatchRecord._field_defaults
        fields = {n: event[n] for n in BatchRecord._fields if n not in old}
        fields |= {n: event.get(n, value) for n, value in old.items()}
        state.batches.append(BatchRecord(**fields))
    elif kind == "classes":
        state.classes.extend(event["added"])
        state.older_than_class = sum(
            any(given.state == LABEL for given in answers.values())
            for answers in state.answers.values()
        )
    elif kind == "pool":
        fields = {name: event[name] for name in Part._fields}
        state.parts.append(Part(**fields))
    else:
        raise KeyError(kind)


def _apply_answers(state: State, event: Event) -> None:
    for example, annotator, how, names in event["answers"]:
        if how not in (*STATES, WITHDRAWN):
            raise ValueError(how)
        given = Given(example, annotator, how, tuple(names))
        state.changes[example, annotator] += 1
        before = state.answers[example].get(annotator)
        if before is not None:
            number, source = event["number"], event["source"]
            state.amendments.append(Amendment(number, before, given, source))
        if how != WITHDRAWN:
            state.answers[example][annotator] = given
            continue
        del state.answers[example][annotator]
        if not state.answers[example]:
            del state.answers[example]
