"""What a finished run says about itself: metrics, labels, input length."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from runkit import read_json
from spactor_tf.classifier import files
from spactor_tf.training.metrics_log import read_metrics


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """Facts for the defaults of an export and for its model card.

    Attributes:
        metrics: measured on the exported weights.
        labels: label words of a fine-tuned task; None if there are none.
        input_length: most tokens of a fine-tuned task's inputs; None for other
            runs.
    """

    metrics: dict[str, Any]
    labels: tuple[str, ...] | None = None
    input_length: int | None = None


def run_facts(run_dir: str) -> RunFacts:
    """Reads the facts of a pre-training run, fine-tuning run or classifier.

    Args:
        run_dir: the run; a bare preset has no facts.

    Raises:
        InputError: a file is damaged.
    """
    folder = pathlib.Path(run_dir)
    if (folder / files.HEAD).is_file():
        return RunFacts(_optional(folder / files.METRICS))
    results = _optional(folder / "results.json")
    if "tasks" in results:
        return _fine_tuned(folder, results)
    path = folder / "metrics.jsonl"
    lines = read_metrics(path, is_finished=True) if path.is_file() else []
    return RunFacts(lines[-1] if lines else {})


def _fine_tuned(folder: pathlib.Path, results: dict[str, Any]) -> RunFacts:
    """Facts of the best weights, which `preset/` holds."""
    from spactor_tf.tasks import TASKS

    words: Any = None
    if len(results["tasks"]) == 1:
        (name,) = results["tasks"]
        # A task of the user's own is known to its run only.
        words = results.get("label_words", {}).get(name)
        if words is None and name in TASKS:
            words = TASKS[name].label_words
    labels = tuple(words) if words else None
    data = _optional(folder / "config.json").get("data", {})
    return RunFacts(
        {"step": results.get("best_step"), **results["tasks"]},
        labels,
        data.get("input_length"),
    )


def _optional(path: pathlib.Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
