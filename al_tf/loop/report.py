"""The report of a comparison: curves, labels needed, coverage, seconds."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from al_tf.loop import curves
from al_tf.loop.label_store import Settings
from al_tf.selection.spreading.advice import AUTO
from runkit import averages
from runkit.report import Report, in_words, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from al_tf.loop.loop import Loop

Rows = Sequence[curves.Row]


def write_report(
    loop: Loop, rows: Rows, settings: Settings, folder: pathlib.Path
) -> pathlib.Path:
    """Writes `report.html` and its plots as PNG files.

    Args:
        loop: the comparison, finished or not.
        rows: from `curves.collect`, at least one.
        settings: of the run, as config.json holds them.
        folder: where the files go.

    Returns:
        Path of the page.
    """
    report = Report("Active learning", folder)
    metric = loop.config.primary_metric(loop.pool.multilabel)
    _facts(report, loop, rows)
    _choices(report, loop)
    measured = [row for row in rows if row[metric] is not None]
    if measured:
        _curve(report, measured, metric, "Learning curves")
        _labels_needed(report, loop, measured, metric)
    _curve(report, rows, "clusters_covered", "Clusters covered")
    _seconds(report, rows)
    report.heading("Settings")
    report.table(
        ("setting", "value"),
        # Numbers would stand on the right, and texts on the left.
        [
            (name, in_words(None if value == "" else value))
            for name, value in settings.items()
        ],
    )
    return report.write()


def _facts(report: Report, loop: Loop, rows: Rows) -> None:
    config = loop.config
    seeds = len(config.seeds)
    report.text(
        f"{len(loop.pool):,} examples to choose from, {len(loop.test):,} to "
        f"test on, {len(loop.pool.classes)} classes. {config.seed_size:,} "
        f"{config.seed_set} labels to begin with, then {config.rounds} "
        f"batches of {config.batch_size:,}; {seeds} seed{'s' * (seeds > 1)}. "
        "All strategies of a seed begin with the same labels."
    )
    wanted = len(config.strategies) * seeds * (config.rounds + 1)
    if len(rows) < wanted:
        report.text(f"Not finished: {len(rows)} of {wanted} rounds so far.")


def _choices(report: Report, loop: Loop) -> None:
    if AUTO not in loop.config.strategies:
        return
    advice = {s: loop.store(AUTO, s).choice() for s in loop.config.seeds}
    taken = [(s, found) for s, found in advice.items() if found is not None]
    if taken:
        report.heading("What auto takes")
        report.table(
            ("seed", "strategy", "because"),
            [(f"{s}", found.strategy, found.reason) for s, found in taken],
        )


def _curve(report: Report, rows: Rows, column: str, title: str) -> None:
    several = len({row["seed"] for row in rows}) > 1
    band = "Mean over seeds; the band is one standard error." * several
    report.heading(title)
    figure = curve_figure(rows, column)
    report.figure(figure, column, band or "One seed: no error band.", title)


def curve_figure(rows: Rows, column: str) -> Figure:
    """Plots a column over the number of labels, one line per strategy.

    A line is the mean over seeds, with a band of one standard error.

    Args:
        rows: from `curves.collect` or `curves.read_curves`, all with a value
            in the column.
        column: what to plot.
    """
    figure, axes = new_figure(8.0, 4.6)
    for name in dict.fromkeys(row["strategy"] for row in rows):
        labels, mean, error = curve(rows, name, column)
        (line,) = axes.plot(labels, mean, marker="o", ms=3, label=name)
        low, high = mean - error, mean + error
        color = line.get_color()
        axes.fill_between(labels, low, high, alpha=0.15, color=color, lw=0)
    axes.set(xlabel="labels", ylabel=column.replace("_", " "))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def curve(
    rows: Rows, strategy: str, column: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (labels, mean, standard error), each `[rounds]` float64.

    The error of a single seed is NaN, for which nothing is drawn.
    """
    own = curves.select(rows, strategy=strategy)
    points = []
    for number in sorted({row["round"] for row in own}):
        here = curves.select(own, round=number)
        values = [row[column] for row in here]
        points.append((here[0]["labels"], *averages.mean_and_error(values)))
    labels, mean, error = np.array(points, float).T
    return labels, mean, error


def _labels_needed(report: Report, loop: Loop, rows: Rows, metric: str) -> None:
    goal = curves.target(rows, metric, loop.config.target_accuracy)
    assert goal is not None
    report.heading(f"Labels until {metric.replace('_', ' ')} {goal:.4g}")
    if loop.config.target_accuracy is None:
        report.text(
            f"The target is what {curves.reference(rows)} ends with in its "
            "worst seed."
        )
    if len(loop.config.seeds) > 1:
        report.text(
            "Labels are means over seeds with their standard error; (4/5) "
            "says that four of five seeds reached the target."
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
                *ratios,
                averages.in_words(curves.final_values(rows, name, metric)),
            )
        )
    report.table(
        (
            "strategy",
            "labels",
            *(f"labels / {name}" for name in others),
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
        "Training and scoring the model are not counted, nor is clustering, "
        "which is done once. CPU seconds are those of all threads."
    )
    table = []
    columns = ("selection_seconds", "selection_cpu_seconds", "batch_clusters")
    for name in dict.fromkeys(row["strategy"] for row in chosen):
        own = curves.select(chosen, strategy=name)
        means = [np.mean([row[c] for row in own]).item() for c in columns]
        table.append((name, *means))
    report.table(
        ("strategy", "seconds", "CPU seconds", "clusters in the batch"), table
    )
