"""What the page says of a project and its examples, as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from al_tf.label_page.mates import Mate
from al_tf.label_tools.answers import LABEL, STATES
from al_tf.pools.pool import Examples
from al_tf.project.project import Project
from al_tf.project.record.state import State
from al_tf.project.record.votes import resolved_labels
from al_tf.project.report import cost_so_far

MOST_NEIGHBORS = 6
# Characters of a text that are sent: of the example, and of one beside it.
MOST_CHARACTERS = 200_000
MOST_BESIDE = 600


class Facts:
    """Puts what one person sees into JSON.

    Args:
        project: the project that is labeled.
        annotator: name of the person.
        target: accuracy that is wanted; None forecasts nothing.
    """

    def __init__(self, project: Project, annotator: str, target: float | None):
        self._project, self._annotator = project, annotator
        self._target = target
        # Only for the eye: crowd-kit would take too long at every key.
        self._plain = dataclasses.replace(project.settings, votes="majority")
        self._cost: tuple[int, dict[str, Any] | None] = (-1, None)

    def project(self, state: State) -> dict[str, Any]:
        """The project: names, classes, and what it will cost."""
        if self._cost[0] != len(state.batches):
            self._cost = len(state.batches), self._new_cost(state)
        return {
            "project": self._project.folder.absolute().name,
            "annotator": self._annotator,
            "classes": state.classes,
            "multilabel": self._project.settings.multilabel,
            "cost": self._cost[1],
        }

    def _new_cost(self, state: State) -> dict[str, Any] | None:
        """Accuracy so far and the forecast; None: nothing was measured."""
        results = [batch.result for batch in state.batches if batch.result]
        if not results or results[-1]["accuracy"] is None:
            return None
        found = {k: results[-1][k] for k in ("labels", "accuracy")}
        cost = None
        if self._target is not None:
            cost = cost_so_far(self._project, self._target)
        if cost is None:
            return found
        numbers = None
        if cost.forecast is not None:
            # Infinite: no number of labels is likely to do.
            numbers = {
                name: round(n) if math.isfinite(n) else None
                for name, n in cost.forecast._asdict().items()
                if name != "target"
            }
        return {
            **found,
            "target": self._target,
            "forecast": numbers,
            "advice": cost.advice,
        }

    def progress(
        self, state: State, waiting: Sequence[Sequence[Any]], number: int
    ) -> dict[str, Any] | None:
        """How far a person is with a batch.

        Args:
            state: of the project.
            waiting: examples of each batch that wait for the person.
            number: of the batch; -1 for none.
        """
        if number < 0:
            return None
        batch = state.batches[number]
        mine = [
            state.answers.get(i, {}).get(self._annotator) for i in batch.ids
        ]
        states = [given.state for given in mine if given is not None]
        left = len(waiting[number])
        return {
            "batch": batch.name,
            "strategy": batch.strategy,
            "total": len(batch.ids),
            "left": left,
            "others": len(batch.ids) - left - len(states),
            **{name: states.count(name) for name in STATES},
        }

    def example(
        self, state: State, pool: Examples, place: int
    ) -> dict[str, Any]:
        """An example in the middle of the page, with the model's suggestion."""
        name = pool.named[place]
        number = state.asked.get(name)
        batch = None if number is None else state.batches[number]
        suggestion = None
        if batch is not None and batch.suggested:
            at = batch.ids.index(name)
            suggestion = {
                "classes": batch.suggested[at],
                "probability": batch.confidence[at],
                "margin": batch.margins[at] if batch.margins else None,
            }
        shown = self._shown(state, pool, place, MOST_CHARACTERS)
        return {**shown, "suggestion": suggestion}

    def cluster(
        self, state: State, pool: Examples, near: Sequence[Mate] | None
    ) -> dict[str, Any]:
        """The nearest of an example's cluster; None: not known yet."""
        return {
            "cluster_size": None if near is None else len(near) + 1,
            "neighbors": self.mates(state, pool, (near or ())[:MOST_NEIGHBORS]),
        }

    def mates(
        self, state: State, pool: Examples, found: Sequence[Mate]
    ) -> list[dict[str, Any]]:
        """Examples beside another one, with the labels that they have.

        Those of others are shown here only: votes on the example itself are
        to be independent.
        """
        names = [pool.named[mate.place] for mate in found]
        given = {i: state.answers.get(i, {}) for i in names}
        labels = resolved_labels(given, self._plain)
        shown = []
        for name, mate in zip(names, found, strict=True):
            one = self._shown(state, pool, mate.place, MOST_BESIDE)
            if one["answer"] is None and name in labels:
                one["answer"] = {"state": LABEL, "classes": list(labels[name])}
            shown.append({**one, "distance": round(mate.distance, 4)})
        return shown

    def _shown(
        self, state: State, pool: Examples, place: int, most: int
    ) -> dict[str, Any]:
        """What an example is, and what this person answered."""
        name = pool.named[place]
        own = state.answers.get(name, {}).get(self._annotator)
        found = {
            "place": place,
            "id": str(name),
            "revision": state.changes[name, self._annotator],
            "kind": pool.kind,
            "answer": own
            and {"state": own.state, "classes": list(own.classes)},
        }
        if pool.kind == "text":
            text = pool.inputs[place]
            found |= {"text": text[:most], "characters": len(text)}
        return found
