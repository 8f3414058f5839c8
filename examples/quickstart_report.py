"""One page over all steps of the quickstart."""

from __future__ import annotations

import csv
import html
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from examples.ask import first_line
from runkit import read_json
from runkit.averages import mean_and_error
from runkit.report import Report, new_figure
from spactor_tf.metrics_log import read_metrics


def write_report(
    folder: pathlib.Path, steps: Sequence[dict[str, Any]]
) -> pathlib.Path:
    """Writes report.html from the files of the steps.

    Args:
        folder: of the quickstart.
        steps: {"title", "command", "seconds"}; None seconds: not run again.

    Returns:
        The page.
    """
    report = Report("Quickstart", folder)
    _pretraining(report, folder / "pretrain")
    _labels(report, folder / "active_learning")
    _classifier(report, folder)
    _answers(report, read_json(folder / "answers.json"))
    report.heading("Commands")
    report.table(
        ("step", "seconds", "command"),
        [(s["title"], s["seconds"] or "", s["command"]) for s in steps],
    )
    return report.write()


def _link(report: Report, target: str, text: str) -> None:
    report.raw(
        f'<p><a href="{html.escape(target)}">{html.escape(text)}</a></p>'
    )


def _pretraining(report: Report, run: pathlib.Path) -> None:
    records = read_metrics(run / "metrics.jsonl")
    tau = read_json(run / "config.json")["objective"]["transition_step"]
    held_out = [r for r in records if "heldout_sc_loss" in r]
    steps = [r["step"] for r in held_out]
    losses = [r["heldout_sc_loss"] for r in held_out]
    report.heading("Pre-training")
    figure, axes = new_figure()
    axes.plot(steps, losses, marker="o")
    if tau < 1:
        tau *= records[-1]["step"]
    axes.axvline(tau, linestyle="--", color="gray")
    axes.set(
        title="Span corruption on held-out documents; dashed: stage 2 begins",
        xlabel="step", ylabel="nats per token",
    )  # fmt: skip
    report.figure(figure, "pretraining")
    _link(report, "pretrain/report.html", "All curves and examples")


def _labels(report: Report, run: pathlib.Path) -> None:
    with (run / "curves.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    report.heading("Choosing labels")
    figure, axes = new_figure()
    lines = []
    for name in dict.fromkeys(row["strategy"] for row in rows):
        mine = [row for row in rows if row["strategy"] == name]
        labels = sorted({int(row["labels"]) for row in mine})
        found = [
            mean_and_error(
                [float(r["accuracy"]) for r in mine if int(r["labels"]) == n]
            )
            for n in labels
        ]
        # The error of a single seed is NaN here, of which nothing is drawn.
        mean, error = np.array(found, float).T
        axes.plot(labels, mean, marker="o", label=name)
        axes.fill_between(labels, mean - error, mean + error, alpha=0.2)
        lines.append((name, labels[-1], *found[-1]))
    axes.set(
        title="Accuracy on the test set; band: standard error over seeds",
        xlabel="labels", ylabel="accuracy",
    )  # fmt: skip
    axes.legend()
    report.figure(figure, "labels")
    report.table(
        ("strategy", "labels", "accuracy", "standard error"),
        [(*line, "" if e is None else e) for *line, e in lines],
    )
    _link(report, "active_learning/report.html", "Learning curves in full")


def _classifier(report: Report, folder: pathlib.Path) -> None:
    report.heading("The classifier, fine-tuned and served")
    metrics = read_json(folder / "classifier" / "metrics.json")
    report.table(("what", "value"), list(metrics.items()))
    card = read_json(folder / "served" / "packages" / "1" / "model_card.json")
    report.text(
        f"Exported with the signatures {', '.join(sorted(card['signatures']))}"
        f" and {card['parameters']:,} parameters; every stored request was "
        "answered as by the model itself before the version became visible."
    )
    _link(report, "scores/report.html", "What one would label next")


def _answers(report: Report, answers: Sequence[dict[str, Any]]) -> None:
    report.heading("Three sentences")
    for answer in answers:
        report.text(f"“{answer['text']}”")
        report.table(
            ("label", "probability", "margin", "cluster"),
            [(answer["label"], answer["probability"], answer["margin"],
              answer["cluster"])],
        )  # fmt: skip
        report.table(
            ("distance", "nearest in the pool"),
            [(n["distance"], first_line(n["text"]))
             for n in answer["neighbors"]],
        )  # fmt: skip
