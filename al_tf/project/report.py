"""Where a project stands: lines for a terminal, a page for a browser."""

from __future__ import annotations

import math
import pathlib
from typing import NamedTuple

from al_tf.label_tools.answers import LABEL
from al_tf.project import forecast as cost
from al_tf.project.project import Project
from runkit.report import Report, in_words


def facts(project: Project) -> dict[str, object]:
    """What is known of a project, by name, in the order of reading."""
    state = project.state
    labels, counts = project.labels(), state.counts()
    found = project.agreement()
    judged = [
        example
        for example, answers in state.answers.items()
        if any(given.state == LABEL for given in answers.values())
    ]
    results = [batch.result for batch in state.batches if batch.result]
    return {
        "project": project.name,
        "classes": list(state.classes),
        "examples": sum(part.examples for part in state.parts),
        "batches": len(state.batches),
        "labeled examples": len(labels),
        "answers": counts.get("label", 0),
        "skipped": counts.get("skip", 0),
        "unsure": counts.get("unsure", 0),
        "undecided examples": len(judged) - len(labels),
        "waiting for an answer": len(state.open_examples()),
        "amended answers": len(state.amendments),
        "annotators": list(found.annotators),
        "agreement": found.observed,
        "Krippendorff's alpha": found.alpha,
        "accuracy at the last batch": results[-1]["accuracy"]
        if results
        else None,
    }


def in_lines(project: Project) -> str:
    """The facts, one a line; those that are not there are left out."""
    lines = []
    for name, value in facts(project).items():
        # None of something is not worth a line; an agreement of 0.0 is.
        is_none = value in (None, []) or (type(value) is int and not value)
        if is_none and name not in ("batches", "examples"):
            continue
        text = f"{value:.3f}" if isinstance(value, float) else in_words(value)
        lines.append(f"{name}: {text}")
    state = project.state
    if project.settings.multilabel and state.older_than_class:
        lines.append(
            f"warning: {state.older_than_class} examples were labeled before "
            f"the class {state.classes[-1]} was added; they count as examples "
            "without it until somebody amends them"
        )
    return "\n".join(lines)


def write_report(project: Project, target: float | None = None) -> pathlib.Path:
    """Writes `report.html` into the folder of the project.

    Args:
        project: to be shown.
        target: accuracy that is wanted; None forecasts nothing.
    """
    page = Report(f"Labeling project {project.name}", project.folder)
    page.table(("what", "now"), facts(project).items())
    state, found = project.state, project.agreement()
    if found.annotators:
        page.heading("Annotators")
        page.text(
            "Agreement is with the label that was decided, over examples that "
            "several people labeled."
        )
        page.table(
            ("annotator", "labels", "agreement"),
            [(who, *values) for who, values in found.annotators.items()],
        )
    measured = [b for b in state.batches if b.result]
    if measured:
        page.heading("Batches")
        page.table(
            ("batch", "labels before it", "accuracy", "average precision"),
            [
                (
                    batch.name,
                    batch.result["labels"],
                    batch.result["accuracy"],
                    batch.result["average_precision"],
                )
                for batch in measured
                if batch.result
            ],
        )
    if target is not None:
        _cost(page, project, target)
    if state.amendments:
        page.heading("Amended answers")
        page.table(
            ("event", "example", "annotator", "before", "after", "source"),
            [
                (
                    amended.event,
                    amended.after.example,
                    amended.after.annotator,
                    list(amended.before.classes) or amended.before.state,
                    list(amended.after.classes) or amended.after.state,
                    amended.source,
                )
                for amended in state.amendments
            ],
        )
    if len(state.parts) > 1:
        page.heading("Parts of the pool")
        page.table(("source", "examples"), [part[:2] for part in state.parts])
    return page.write()


class Cost(NamedTuple):
    """What an accuracy will cost, as the batches so far show.

    Attributes:
        labels: before each measured batch.
        accuracies: on the test set, in [0, 1], with these labels.
        forecast: of the labels needed; None with too few batches.
        advice: what to do next, in one sentence.
    """

    labels: list[int]
    accuracies: list[float]
    forecast: cost.Forecast | None
    advice: str


def cost_so_far(project: Project, target: float) -> Cost | None:
    """Forecasts the labels needed for an accuracy; None: nothing measured."""
    measured = [
        (batch.result["labels"], batch.result["accuracy"])
        for batch in project.state.batches
        if batch.result and batch.result["accuracy"] is not None
    ]
    if not measured:
        return None
    labels, accuracies = map(list, zip(*measured, strict=True))
    size = len(project.test)
    made = cost.forecast(labels, accuracies, target, test_size=size)
    left = len(project.pool) - labels[-1]
    return Cost(labels, accuracies, made, cost.advice(made, labels[-1], left))


def _cost(page: Report, project: Project, target: float) -> None:
    """What the accuracy will cost, how forecasts held, and what to do."""
    page.heading(f"Labels needed for an accuracy of {target:g}")
    found = cost_so_far(project, target)
    if found is None:
        page.text("Nothing was measured: the project has no test set.")
        return
    made = found.forecast
    if made is not None:
        page.text(
            "The error is taken for a power law of the number of labels; the "
            "interval holds four of five laws that fit the batches so far."
        )
        page.table(
            ("labels needed", "a tenth need fewer", "a tenth need more"),
            [
                [
                    "more than any" if math.isinf(value) else round(value)
                    for value in (made.median, made.low, made.high)
                ]
            ],
        )
    page.text(found.advice)
    earlier = cost.held(
        found.labels, found.accuracies, target, test_size=len(project.test)
    )
    if earlier:
        inside = sum(forecast.is_inside for forecast in earlier)
        page.text(
            f"The accuracy was reached with {earlier[0].needed} labels; "
            f"{inside} of {len(earlier)} earlier forecasts held it."
        )
