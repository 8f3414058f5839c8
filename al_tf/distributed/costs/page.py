"""A page about a run: seconds, bytes, memory and skew of its stages."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from al_tf.distributed.costs.measures import StageCost, WorkerCost
from runkit.report import Report, new_figure

FIGURES = ("stages", "workers")
_MIB = 2**20
_STAGES = (
    "stage",
    "tasks",
    "seconds",
    "CPU seconds",
    "slowest task, seconds",
    "skew",
    "sent, MiB",
    "largest message, MiB",
    "peak memory, MiB",
)
_SHOWN_WORKERS = 50
_WORKERS = ("worker", "tasks", "busy seconds", "peak memory, MiB")


def write_page(
    folder: pathlib.Path,
    prefix: str,
    title: str,
    facts: Mapping[str, Any],
    stages: Mapping[str, StageCost],
    workers: Mapping[str, WorkerCost],
) -> pathlib.Path:
    """Writes PREFIXreport.html and PREFIXstages.png, PREFIXworkers.png.

    Args:
        folder: where they go.
        prefix: how their names begin.
        title: heading.
        facts: of the run, in words.
        stages: from `Engine.costs`.
        workers: from `Engine.workers`.

    Returns:
        The page.
    """
    report = Report(title, folder, prefix)
    report.table(("what", "value"), facts.items())
    report.heading("Stages")
    report.text(
        "Seconds of all tasks together. Skew is the slowest task over the mean "
        "one: what a machine waits for that has finished its share."
    )
    if stages:
        report.figure(_stage_figure(stages), "stages", alt="Cost of the stages")
    report.table(_STAGES, [_row(*item) for item in stages.items()])
    report.heading("Workers")
    if workers:
        report.figure(_worker_figure(workers), "workers", alt="Memory")
    busiest = sorted(workers.items(), key=lambda item: -item[1].seconds)
    report.table(
        _WORKERS,
        [
            (name, w.tasks, w.seconds, w.peak_bytes // _MIB)
            for name, w in busiest[:_SHOWN_WORKERS]
        ],
    )
    if len(busiest) > _SHOWN_WORKERS:
        report.text(f"The {_SHOWN_WORKERS} busiest of {len(busiest)} workers.")
    return report.write()


def skew(cost: StageCost) -> float:
    """The slowest task over the mean one; 1 is even."""
    return cost.slowest * cost.tasks / cost.seconds if cost.seconds else 1.0


def _row(name: str, cost: StageCost) -> tuple[Any, ...]:
    return (
        name,
        cost.tasks,
        cost.seconds,
        cost.cpu_seconds,
        cost.slowest,
        skew(cost),
        cost.message_bytes / _MIB,
        cost.largest_message / _MIB,
        cost.peak_bytes // _MIB,
    )


def _stage_figure(stages: Mapping[str, StageCost]) -> Any:
    names = [*stages]
    height = 1.2 + 0.28 * len(names)
    figure, (left, right) = new_figure(9.0, height, ncols=2, sharey=True)
    costs = stages.values()
    left.barh(names, [cost.seconds for cost in costs], color="#3a6ea5")
    left.invert_yaxis()
    left.set_xlabel("seconds, all tasks")
    right.barh(names, [c.message_bytes / _MIB for c in costs], color="#b5651d")
    right.set_xlabel("MiB sent to others")
    return figure


def _worker_figure(workers: Mapping[str, WorkerCost]) -> Any:
    figure, axes = new_figure(8.0, 3.0)
    peaks = sorted(w.peak_bytes / _MIB for w in workers.values())
    axes.bar(range(len(peaks)), peaks, color="#3a6ea5")
    axes.set_xlabel("workers, by memory")
    axes.set_ylabel("peak, MiB")
    axes.set_xticks([])
    axes.set_ylim(bottom=0)
    return figure
