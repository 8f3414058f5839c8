"""One page over all steps of the quickstart."""

from __future__ import annotations

import html
import pathlib
from collections.abc import Sequence
from typing import Any

from al_tf.loop import curves
from al_tf.loop.report import curve_figure
from examples.ask import first_line
from runkit import read_json
from runkit.averages import in_words
from runkit.report import Report, new_figure
from spactor_tf.training.metrics_log import read_metrics


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
        "Accuracy on the test set; the band is the standard error over seeds.",
    )
    names = dict.fromkeys(row["strategy"] for row in rows)
    labels = max(row["labels"] for row in rows)
    report.table(
        ("strategy", "labels", "accuracy"),
        [
            (
                name,
                labels,
                in_words(curves.final_values(rows, name, "accuracy")),
            )
            for name in names
        ],
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
                (n["distance"], first_line(n["text"]))
                for n in answer["neighbors"]
            ],
        )
