"""report.html of a fine-tuning run and of its repetitions over seeds."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from runkit.report import Report, finish_curves, new_figure
from spactor_tf.config.fields import flatten, to_dict
from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.training.metrics_log import read_metrics


def write_report(
    folder: str | os.PathLike,
    config: FinetuneConfig,
    results: Mapping[str, Any],
) -> pathlib.Path:
    """Writes report.html and its plots from metrics.jsonl.

    Args:
        folder: directory of the run.
        config: of the run.
        results: the content of results.json.

    Returns:
        The path of the page.
    """
    folder = pathlib.Path(folder)
    path = folder / "metrics.jsonl"
    records = read_metrics(path) if path.is_file() else []
    report = Report(f"Fine-tuning on {config.task}", folder)
    report.table(
        ["", "value"],
        [
            ("weights", _weights(config)),
            ("steps", results["steps"]),
            ("best step", results["best_step"]),
            ("stopped early", "yes" if results["stopped_early"] else "no"),
        ],
    )
    report.heading("Metrics of the best weights")
    report.table(
        ["task", "split", "metric", "value"],
        [
            (task, split, name, float(value))
            for task, split, name, value in metric_rows(results)
        ],
    )
    report.text(
        "Metrics are in percent; exemplars are the mean number per question. "
        "Predictions are in predictions/."
    )
    runs = {"": records}
    curves(report, runs, "loss", "Training loss, nats per target token")
    for task, row in results["tasks"].items():
        name = f"validation_{task}_{row['primary']}"
        title = f"{task}: {row['primary']} on the validation split, %"
        curves(report, runs, name, title)
    if results["mixture"]:
        report.heading("Training examples")
        columns = [name.replace("_", " ") for name in results["mixture"][0]]
        report.table(columns, [row.values() for row in results["mixture"]])
    _configuration(report, config)
    return report.write()


def write_seeds_report(
    folder: str | os.PathLike,
    config: FinetuneConfig,
    summary: Mapping[str, Any],
    runs: Mapping[str, pathlib.Path],
) -> pathlib.Path:
    """Writes the page of several seeds: means, errors, curves.

    Args:
        folder: directory of all runs.
        config: of the first run; the others differ in the seed.
        summary: the content of results.json.
        runs: their directories by name.

    Returns:
        The path of the page.
    """
    report = Report(f"Fine-tuning on {config.task}: seeds", folder)
    report.table(
        ["", "value"],
        [
            ("weights", _weights(config)),
            ("seeds", ", ".join(map(str, summary["seeds"]))),
        ],
    )
    report.heading("Metrics of the best weights, over seeds")
    report.table(
        ["task", "split", "metric", "mean", "standard error", "per seed"],
        [
            (
                task,
                split,
                name,
                value["mean"],
                ""
                if value["standard_error"] is None
                else float(value["standard_error"]),
                ", ".join(f"{v:.2f}" for v in value["values"]),
            )
            for task, split, name, value in metric_rows(summary)
        ],
    )
    records = {
        name: read_metrics(run / "metrics.jsonl")
        for name, run in runs.items()
        if (run / "metrics.jsonl").is_file()
    }
    curves(report, records, "loss", "Training loss, nats per target token")
    for task, row in summary["tasks"].items():
        name = f"validation_{task}_{row['primary']}"
        title = f"{task}: {row['primary']} on the validation split, %"
        curves(report, records, name, title)
    _configuration(report, config)
    return report.write()


def metric_rows(results: Mapping[str, Any]) -> list[tuple[str, str, str, Any]]:
    """Returns (task, split, metric, value) of results.json, in its order."""
    return [
        (task, split, name, value)
        for task, splits in results["tasks"].items()
        for split, metrics in splits.items()
        if split != "primary"
        for name, value in metrics.items()
    ]


def curves(
    report: Report,
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    name: str,
    title: str,
) -> None:
    """Plots a metric over steps, one line per run; nothing without points."""
    series = {
        run: [(r["step"], r[name]) for r in records if name in r]
        for run, records in runs.items()
    }
    if not any(series.values()):
        return
    figure, axes = new_figure()
    for run, points in series.items():
        if points:
            steps, values = zip(*points, strict=True)
            axes.plot(steps, values, "o-", markersize=3, label=run or name)
    finish_curves(axes, title, legend=len(series) > 1)
    report.figure(figure, name, alt=title)


def _weights(config: FinetuneConfig) -> str:
    what = "random, with the sizes and the vocabulary of "
    return (what if config.from_scratch else "") + config.init_from


def _configuration(report: Report, config: FinetuneConfig) -> None:
    report.heading("Configuration")
    rows = []
    for name, value in flatten(to_dict(config)).items():
        text = str(value)
        if value is None or isinstance(value, bool):
            text = text.lower()  # none, true, false: as --set takes them.
        rows.append((name, text))
    report.table(["field", "value"], rows)
