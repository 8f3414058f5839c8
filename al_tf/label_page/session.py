"""What one person sees next in a project, and what becomes of the answers.

Nothing is kept here that a restart would lose: answers are events of the
project, and how often a person's answer to an example was given or changed
(its revision) is counted from them. Every answer says which revision it was
given for. So one that is sent twice is known, after a restart too, and one
for an example that was answered in another tab is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from al_tf.label_page.facts import Facts
from al_tf.label_page.mates import Mate, MatesBeside
from al_tf.label_page.waiting import Tabs, waiting
from al_tf.label_tools.answers import LABEL, STATES, WITHDRAWN, Given
from al_tf.label_tools.shown import png
from al_tf.pools.pool import Examples
from al_tf.project.project import Project
from al_tf.project.record.state import State
from al_tf.project.record.votes import decided
from runkit import InputError

SOURCE = "labeling page"
MOST_COPIES = 50


class Malformed(InputError):
    """A request that no page sends."""


class Conflict(InputError):
    """An answer for an example that is not as the page showed it."""


class Seen(NamedTuple):
    """An example as a page showed it.

    Attributes:
        place: position in the pool.
        revision: how often this person's answer had been given or changed.
    """

    place: int
    revision: int


class Session:
    """One person at one project; one call at a time.

    Args:
        project: the project that is labeled; its pool must be of texts or
            images.
        annotator: name of the person.
        copy_distance: cosine distance up to which examples of one cluster
            count as copies of each other.
        target: accuracy that is wanted, for the forecast; None for none.
        clock: seconds, for tabs that are gone.

    Attributes:
        mates: clusters of the pool, prepared beside.

    Raises:
        InputError: nothing can be shown of the pool.
    """

    def __init__(
        self,
        project: Project,
        annotator: str,
        *,
        copy_distance: float = 0.05,
        target: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._project, self._annotator = project, annotator
        self._copy_distance = copy_distance
        self._tabs = Tabs(clock)
        self._facts = Facts(project, annotator, target)
        self.mates = MatesBeside(project)
        self._known: Any = None
        self._state()
        if self._pool.kind == "embedding":
            raise InputError(
                "nothing can be shown of embeddings",
                where="--project",
                got=str(project.folder),
                expected="a pool of texts or images",
            )

    def _state(self) -> State:
        """The state now, with the pool that it has."""
        state = self._project.state
        known = len(state.parts), tuple(state.classes)
        if self._known != known:
            with self.mates.lock:
                self._pool: Examples = self._project.pool
            names = self._pool.named.tolist()
            self._places = {name: i for i, name in enumerate(names)}
            self._names, self._known = names, known
        return state

    def view(
        self, tab: str, *, earlier: bool = False, place: int | None = None
    ) -> dict[str, Any]:
        """What a tab shows, as JSON.

        Args:
            tab: name of the browser's tab.
            earlier: open examples of earlier batches, not of the newest.
            place: example that it shows; None for the next one.
        """
        state = self._state()
        each = waiting(state, self._annotator, self._project.settings)
        left = [name for names in each[-2::-1] for name in names]
        if place is None:
            name = self._tabs.choose(
                tab, left if earlier else sum(each[-1:], [])
            )
        else:
            name = self._name(place)
            self._tabs.show(tab, name)
        example = None
        if name is not None:
            place = self._places[name]
            near = self._near(state, place)
            example = {
                **self._facts.example(state, self._pool, place),
                **self._facts.cluster(state, self._pool, near),
                "note": self.mates.note
                or ("Being prepared." if near is None else ""),
                "copies": len(self._open_copies(state, place, near)),
            }
        number = len(each) - 1 if name is None else state.asked.get(name, -1)
        return {
            **self._facts.project(state),
            "example": example,
            "progress": self._facts.progress(state, each, number),
            "earlier": len(left),
            "newest": state.batches[-1].name if state.batches else None,
        }

    def copies(self, place: int) -> dict[str, Any]:
        """Near copies of an example that may get its label, as JSON.

        Raises:
            Malformed: there is no such example.
        """
        state = self._state()
        self._name(place)
        found = self._open_copies(state, place, self._near(state, place))
        shown = self._facts.mates(state, self._pool, found[:MOST_COPIES])
        return {"total": len(found), "copies": shown}

    def _near(self, state: State, place: int) -> list[Mate] | None:
        mates = self.mates.get(state)
        return None if mates is None else mates.of(place)

    def _open_copies(
        self, state: State, place: int, near: Sequence[Mate] | None
    ) -> list[Mate]:
        """Near copies that wait for this person, were they asked for."""
        inputs, is_text = self._pool.inputs, self._pool.kind == "text"
        found = {
            self._names[mate.place]: mate
            for mate in near or ()
            if mate.distance <= self._copy_distance
            or (is_text and inputs[mate.place] == inputs[place])
        }
        given = {i: state.answers.get(i, {}) for i in found}
        done = decided(given, self._project.settings)
        return [
            mate
            for i, mate in found.items()
            if i not in done and self._annotator not in given[i]
        ]

    def _name(self, place: int) -> Any:
        if not 0 <= place < len(self._names):
            raise Malformed(
                "no such example",
                where="place",
                got=place,
                expected=f"0 to {len(self._names) - 1}",
            )
        return self._names[place]

    def answer(
        self, seen: Sequence[Seen], how: str, classes: Sequence[str]
    ) -> None:
        """Saves one answer to an example, and to copies of it, in one event.

        An answer that was saved before changes nothing.

        Args:
            seen: the example, then its copies.
            how: one of `STATES`.
            classes: names; one unless the project is multi-label; none if
                `how` is not a label.

        Raises:
            Malformed: an answer that the project cannot have.
            Conflict: this person has answered one of them since; nothing is
                saved.
        """
        state = self._state()
        names = [self._name(one.place) for one in seen]
        chosen = self._checked(state, how, classes)
        near = self._near(state, seen[0].place) if names[1:] else None
        beside = {mate.place for mate in near or ()}
        if (
            names[0] not in {**state.asked, **state.answers}
            or len({*names}) < len(names)
            or not beside.issuperset(one.place for one in seen[1:])
        ):
            raise Malformed("answers what was not shown", where="answers")
        given = [Given(name, self._annotator, how, chosen) for name in names]
        self._take(state, seen, given)

    def _checked(
        self, state: State, how: str, classes: Sequence[str]
    ) -> tuple[str, ...]:
        """The classes of an answer, in the order of the project's."""
        if how not in STATES:
            raise Malformed("is not a state", where="state", got=how)
        chosen = tuple(name for name in state.classes if name in classes)
        is_many = self._pool.multilabel
        wrong = len(chosen) != len(classes) or (
            len(chosen) != (how == LABEL)
            if not is_many
            else how != LABEL and chosen
        )
        if wrong:
            raise Malformed(
                "are not what the project asks for",
                where="classes",
                got=list(classes),
                expected=", ".join(state.classes),
            )
        return chosen

    def undo(self, seen: Sequence[Seen]) -> None:
        """Withdraws answers; the project keeps a trace of them.

        Args:
            seen: examples with the revisions of the answers.

        Raises:
            Malformed: there is no such example.
            Conflict: the answers have been changed since.
        """
        state = self._state()
        names = [self._name(one.place) for one in seen]
        given = [Given(name, self._annotator, WITHDRAWN, ()) for name in names]
        self._take(state, seen, given)

    def _take(
        self, state: State, seen: Sequence[Seen], given: list[Given]
    ) -> None:
        """Saves answers if all are for the revision that was seen."""
        is_undo = given[0].state == WITHDRAWN
        is_next, is_known = True, True
        for one, answer in zip(seen, given, strict=True):
            revision = state.changes[answer.example, self._annotator]
            now = state.answers.get(answer.example, {}).get(self._annotator)
            is_same = now is None if is_undo else now == answer
            is_next &= revision == one.revision
            is_known &= revision == one.revision + 1 and is_same
        if is_known:
            return
        if not is_next:
            raise Conflict(self._what_stands(state, given))
        try:
            self._project.take(given, source=SOURCE, accept_changes=is_undo)
        except InputError as error:
            raise Conflict(str(error)) from None

    def _what_stands(self, state: State, given: Sequence[Given]) -> str:
        """Why answers are refused: those that are there."""
        stands = []
        for answer in given:
            now = state.answers.get(answer.example, {}).get(self._annotator)
            if now is not None:
                what = ", ".join(now.classes) or now.state
                stands.append(f"{answer.example} is {what}")
        stands = stands[:3] or ["there is no answer now"]
        return (
            "was answered or undone in another tab; nothing was changed: "
            + "; ".join(stands)
        )

    def next_batch(self, after: str | None) -> None:
        """Lets the project choose its next batch.

        Args:
            after: the newest batch that the page knows; if there is a newer
                one, nothing is done.

        Raises:
            InputError: nothing is left, or the project lacks what it needs.
        """
        batches = self._state().batches
        if (batches[-1].name if batches else None) == after:
            with self.mates.lock:
                self._project.next_batch()

    def image(self, place: int) -> bytes:
        """An image of the pool as a PNG file.

        Raises:
            Malformed: there is no such image.
        """
        self._name(place)
        if self._pool.kind != "image":
            raise Malformed("is not an image", where="place", got=place)
        return png(self._pool.inputs[place])
