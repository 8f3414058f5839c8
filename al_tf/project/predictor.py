"""What a project and its model say about tasks of Label Studio."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from al_tf.label_tools.answers import Answer, Asked, resolve
from al_tf.label_tools.ml_backend import Prediction, Task
from al_tf.project.project import ANNOTATOR, Project
from al_tf.project.selection import named_answers
from al_tf.selection.margins import margin_scores, multilabel_margin_scores
from runkit import InputError

# Text and image in, (class names, confidence, margin) out.
Served = Callable[[Sequence[str]], list[tuple[list[str], float, float]]]


class Predictor:
    """Answers the tasks of a project, and takes people's answers.

    Tasks of a batch come first, in the order in which Cluster-Margin chose
    them; all others by their margin.

    Args:
        project: the project that the tasks are of.
        served: a model on a server; None: the project's own, which is trained
            again when there are new labels, and knows only the project's pool.
    """

    def __init__(self, project: Project, served: Served | None = None):
        self._project, self._served = project, served
        self._trained: tuple[Any, dict[Any, tuple]] = (None, {})

    def predict(self, tasks: list[Task]) -> list[Prediction | None]:
        """Answers tasks; None where the model knows nothing."""
        batches = self._project.state.batches
        ids = batches[-1].ids if batches else []
        # Below one half, so before all tasks of other batches.
        order = {name: i / len(ids) / 2 for i, name in enumerate(ids)}
        answers: list[Any]
        if self._served:
            answers = list(self._served([task.shown for task in tasks]))
            self._refuse_strangers(names for names, *_ in answers)
        else:
            known = self._own()
            answers = [known.get(task.example) for task in tasks]
        found: list[Prediction | None] = []
        for task, answer in zip(tasks, answers, strict=True):
            if answer is None:
                found.append(None)
                continue
            names, confidence, margin = answer
            place = order.get(task.example, 0.5 + margin / 2)
            found.append(Prediction(names, confidence, place))
        return found

    def _refuse_strangers(self, answered: Iterable[list[str]]) -> None:
        """Refuses a model of other classes: no tool could show its answers.

        Raises:
            InputError: a name that is no class of the project.
        """
        classes = self._project.state.classes
        strangers = {name for names in answered for name in names}
        strangers -= {*classes}
        if strangers:
            raise InputError(
                "answers with other classes than the project has",
                where="the served model",
                got=sorted(strangers),
                expected=", ".join(classes),
                remedy="Export the model with the project's classes as "
                "--labels",
            )

    def _own(self) -> dict[Any, tuple[list[str], float, float]]:
        labels = self._project.labels()
        key = sorted(map(repr, labels.items())), self._project.state.classes
        if self._trained[0] == key:
            return self._trained[1]
        found = {}
        if labels:
            pool = self._project.pool
            p = self._project.probabilities()
            of_rows = (
                multilabel_margin_scores if pool.multilabel else margin_scores
            )
            answers = named_answers(p, pool)
            for name, (names, sure), margin in zip(
                pool.named.tolist(), answers, of_rows(p).tolist(), strict=True
            ):
                found[name] = names, sure, margin
        self._trained = key, found
        return found

    def take(self, answers: list[Answer], is_change: bool) -> None:
        """Takes annotations into the project.

        Raises:
            InputError: they are of another project, or answer what nobody
                asked for.
        """
        state = self._project.state
        asked = Asked(
            list(state.asked),
            state.classes,
            self._project.settings.multilabel,
            [batch.name for batch in state.batches],
        )
        named = [
            a._replace(annotator=a.annotator or ANNOTATOR) for a in answers
        ]
        self._project.take(
            resolve(named, asked, "webhook"),
            source="Label Studio",
            accept_changes=is_change,
        )
