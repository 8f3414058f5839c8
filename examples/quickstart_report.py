"""The quickstart's report: one page about all steps."""

from __future__ import annotations

import html
import pathlib
from collections.abc import Sequence
from typing import TypedDict

from al_tf.loop import curves
from al_tf.loop.report import curve_figure
from examples.ask import Answer, first_line
from runkit import averages, read_json
from runkit.report import Report, new_figure
from spactor_tf.training.metrics_log import read_metrics


class DoneStep(TypedDict):
    """A step of the quickstart.

    Attributes:
        title: what it did.
        command: as typed into a shell.
        seconds: how long it took; None if its result existed already.
    """

    title: str
    command: str
    seconds: float | None


def write_report(
    folder: pathlib.Path, steps: Sequence[DoneStep]
) -> pathlib.Path:
    """Writes report.html from the files that the steps wrote.

    Args:
        folder: directory of the quickstart.
        steps: all of them, in order.

    Returns:
        Path of the page.
    """
    report = Report("Quickstart", folder)
    _pretraining(report, folder / "pretrain")
    _labels(report, folder / "active_learning")
    _classifier(report, folder)
    _answers(report, read_json(folder / "answers.json"))
    report.heading("Commands")
    for step in steps:
        seconds = step["seconds"]
        took = "done before" if seconds is None else f"{seconds:.0f} seconds"
        report.text(f"{step['title']} ({took}):")
        report.raw(f"<pre>{html.escape(step['command'])}</pre>")
    return report.write()


def _link(report: Report, target: str, text: str) -> None:
    report.raw(
        f'<p><a href="{html.escape(target)}">{html.escape(text)}</a></p>'
    )


def _pretraining(report: Report, run: pathlib.Path) -> None:
    records = read_metrics(run / "metrics.jsonl")
    stage_2 = read_json(run / "config.json")["objective"]["transition_step"]
    if stage_2 < 1:  # A fraction of all steps.
        stage_2 *= records[-1]["step"]
    held_out = [r for r in records if "heldout_sc_loss" in r]
    steps = [r["step"] for r in held_out]
    losses = [r["heldout_sc_loss"] for r in held_out]
    report.heading("Pre-training")
    figure, axes = new_figure()
    axes.plot(steps, losses, marker="o")
    axes.axvline(stage_2, linestyle="--", color="gray")
    axes.set(
        title="Span corruption on held-out documents; dashed: stage 2 begins",
        xlabel="step",
        ylabel="nats per token",
    )
    report.figure(figure, "pretraining")
    _link(report, "pretrain/report.html", "All curves and examples")


def _labels(report: Report, run: pathlib.Path) -> None:
    rows = curves.read_curves(run / "curves.csv")
    report.heading("Choosing labels")
    report.figure(
        curve_figure(rows, "accuracy"),
        "labels",
        "Accuracy on the test set; the band is one standard error over seeds.",
    )
    most = max(row["labels"] for row in rows)
    table = []
    for name in dict.fromkeys(row["strategy"] for row in rows):
        final = curves.final_values(rows, name, "accuracy")
        table.append((name, most, averages.in_words(final)))
    report.table(("strategy", "labels", "accuracy"), table)
    _link(report, "active_learning/report.html", "The comparison in full")


def _classifier(report: Report, folder: pathlib.Path) -> None:
    report.heading("The classifier, fine-tuned and exported")
    metrics = read_json(folder / "classifier" / "metrics.json")
    report.table(
        ("what", "value"),
        [(name.replace("_", " "), value) for name, value in metrics.items()],
    )
    card = read_json(folder / "served" / "packages" / "1" / "model_card.json")
    report.text(
        f"Exported with the signatures {', '.join(sorted(card['signatures']))}"
        f" and {card['parameters']:,} parameters. Before the version became "
        "visible, the exported model answered every stored request as the "
        "original does."
    )
    _link(report, "scores/next.report.html", "What to label next")


def _answers(report: Report, answers: Sequence[Answer]) -> None:
    report.heading("Three sentences")
    for answer in answers:
        report.text(f"“{answer['text']}”")
        report.table(
            ("label", "probability", "margin", "cluster"),
            [
                (
                    answer["label"],
                    answer["probability"],
                    answer["margin"],
                    answer["cluster"],
                )
            ],
        )
        report.table(
            ("distance", "nearest in the pool"),
            [
                (near["distance"], first_line(near["text"]))
                for near in answer["neighbors"]
            ],
        )
