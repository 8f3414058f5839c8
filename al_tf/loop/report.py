"""The page of a comparison: curves, labels needed, seconds, coverage."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from al_tf.loop import curves
from al_tf.loop.loop import Loop, metric_name
from runkit.averages import in_words, mean_and_error
from runkit.report import Report, new_figure

Rows = Sequence[dict[str, Any]]


def write_report(
    loop: Loop, rows: Rows, settings: dict[str, Any], folder: pathlib.Path
) -> pathlib.Path:
    """Writes `report.html` and its PNGs into `folder`."""
    report = Report("Active learning", folder)
    metric = metric_name(loop.config, loop.pool)
    _facts(report, loop, rows)
    measured = [row for row in rows if row[metric] is not None]
    if measured:
        _curve(report, measured, metric, "Learning curves")
        _labels_needed(report, loop, measured, metric)
    _curve(report, rows, "clusters_covered", "Clusters covered")
    _seconds(report, rows)
    report.heading("Settings")
    report.table(("setting", "value"), settings.items())
    return report.write()


def _facts(report: Report, loop: Loop, rows: Rows) -> None:
    config = loop.config
    seeds = len(config.seeds)
    report.text(
        f"{len(loop.pool):,} examples to choose from, {len(loop.test):,} to "
        f"test on, {len(loop.pool.classes)} classes. {config.seed_size:,} "
        f"{config.seed_set} labels to begin with, then {config.rounds} "
        f"batches of {config.batch_size:,}; {seeds} seed{'s' * (seeds > 1)}. "
        "Within a seed all strategies begin with the same labels."
    )
    wanted = len(config.strategies) * seeds * (config.rounds + 1)
    if len(rows) < wanted:
        report.text(f"Not finished: {len(rows)} of {wanted} rounds.")


def _curve(report: Report, rows: Rows, column: str, title: str) -> None:
    several = len({row["seed"] for row in rows}) > 1
    band = "Mean over seeds; the band is one standard error." * several
    report.heading(title)
    figure = curve_figure(rows, column)
    report.figure(figure, column, band or "One seed: no error band.", title)


def curve_figure(rows: Rows, column: str) -> Any:
    """One line a strategy: the mean over seeds, with its standard error.

    Args:
        rows: from `curves.collect` or `curves.read_curves`, all with a value
            in the column.
        column: over the number of labels.

    Returns:
        A matplotlib figure.
    """
    figure, axes = new_figure(8.0, 4.6)
    for name in dict.fromkeys(row["strategy"] for row in rows):
        labels, mean, error = curve(rows, name, column)
        (line,) = axes.plot(labels, mean, marker="o", ms=3, label=name)
        axes.fill_between(
            labels, mean - error, mean + error, alpha=0.15,
            color=line.get_color(), lw=0,
        )  # fmt: skip
    axes.set(xlabel="labels", ylabel=column.replace("_", " "))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def curve(
    rows: Rows, strategy: str, column: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (labels, mean, standard error), an entry for each round.

    The error of a single seed is NaN, of which nothing is drawn.
    """
    own = curves.select(rows, strategy=strategy)
    points = []
    for number in sorted({row["round"] for row in own}):
        here = curves.select(own, round=number)
        values = [row[column] for row in here]
        points.append((here[0]["labels"], *mean_and_error(values)))
    labels, mean, error = np.array(points, float).T
    return labels, mean, error


def _labels_needed(report: Report, loop: Loop, rows: Rows, metric: str) -> None:
    goal = curves.target(rows, metric, loop.config.target_accuracy)
    assert goal is not None
    report.heading(f"Labels until {metric.replace('_', ' ')} {goal:.4g}")
    if loop.config.target_accuracy is None:
        report.text(
            f"The target is what {curves.reference(rows)} ends with, in the "
            "seed that ends lowest."
        )
    needed = curves.labels_needed(rows, metric, goal)
    others = [n for n in ("random", "margin") if n in needed]
    table = []
    for name, labels in needed.items():
        ratios = [curves.ratio(needed, name, other) for other in others]
        table.append(
            (
                name,
                curves.summary(labels),
                *("" if r is None else round(r, 3) for r in ratios),
                in_words(curves.final_values(rows, name, metric)),
            )
        )
    report.table(
        (
            "strategy",
            "labels (mean +- standard error)",
            *(f"of those of {name}" for name in others),
            f"final {metric.replace('_', ' ')}",
        ),
        table,
    )


def _seconds(report: Report, rows: Rows) -> None:
    chosen = [row for row in rows if row["round"]]
    if not chosen:
        return
    report.heading("Seconds to choose a batch")
    report.text(
        "Without training and scoring the model, and without the clustering, "
        "which is done once. CPU seconds count all threads."
    )
    table = []
    for name in dict.fromkeys(row["strategy"] for row in chosen):
        own = curves.select(chosen, strategy=name)
        means = [
            float(np.mean([row[column] for row in own]))
            for column in (
                "selection_seconds", "selection_cpu_seconds", "batch_clusters",
            )
        ]  # fmt: skip
        table.append((name, *means))
    report.table(
        ("strategy", "seconds", "CPU seconds", "clusters in the batch"), table
    )
