"""Where a project stands: lines for a terminal, a page for a browser."""

from __future__ import annotations

import pathlib

from al_tf.project.project import Project
from runkit.report import Report, in_words


def facts(project: Project) -> dict[str, object]:
    """What is known of a project, by name, in the order of reading."""
    state = project.state
    labels, counts = project.labels(), state.counts()
    found = project.agreement()
    answered = len(state.answers)
    return {
        "project": project.name,
        "classes": list(state.classes),
        "examples": sum(part.examples for part in state.parts),
        "batches": len(state.batches),
        "labeled examples": len(labels),
        "answers": counts.get("label", 0),
        "skipped": counts.get("skip", 0),
        "unsure": counts.get("unsure", 0),
        "undecided examples": answered - len(labels),
        "waiting for an answer": len(state.open_examples()),
        "amended answers": len(state.amendments),
        "annotators": list(found.annotators),
        "agreement": found.observed,
        "Krippendorff's alpha": found.alpha,
    }


def in_lines(project: Project) -> str:
    """The facts, one a line; those that are not there are left out."""
    lines = []
    for name, value in facts(project).items():
        if value in (None, 0, []) and name not in ("batches", "examples"):
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
