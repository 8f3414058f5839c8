"""What a finished run says of itself: metrics, label words, input length."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from runkit import InputError, read_json
from spactor_tf.classifier import files


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """Facts for the defaults of an export and for its model card.

    Attributes:
        metrics: measured on the exported weights.
        labels: label words of a fine-tuned task; None where there are none.
        input_length: tokens of a fine-tuned task's inputs; None elsewhere.
    """

    metrics: dict[str, Any]
    labels: tuple[str, ...] | None = None
    input_length: int | None = None


def run_facts(run_dir: str) -> RunFacts:
    """Reads the facts of a pre-training run, fine-tuning run or classifier.

    Args:
        run_dir: the run; a bare preset has no facts.

    Raises:
        InputError: a broken file.
    """
    folder = pathlib.Path(run_dir)
    if (folder / files.HEAD).is_file():
        return RunFacts(_optional(folder / files.METRICS))
    results = _optional(folder / "results.json")
    if "tasks" in results:
        return _fine_tuned(folder, results)
    return RunFacts(_last_line(folder / "metrics.jsonl"))


def _fine_tuned(folder: pathlib.Path, results: dict[str, Any]) -> RunFacts:
    """The metrics are those of the best weights, which `preset/` holds."""
    from spactor_tf.tasks import get_task

    labels = None
    if len(results["tasks"]) == 1:
        labels = get_task(next(iter(results["tasks"]))).label_words or None
    length = _optional(folder / "config.json").get("data", {})
    return RunFacts(
        {"step": results.get("best_step"), **results["tasks"]},
        labels,
        length.get("input_length"),
    )


def _optional(path: pathlib.Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _last_line(path: pathlib.Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        return json.loads(lines[-1]) if lines else {}
    except ValueError:
        raise InputError("ends with a broken line", where=str(path)) from None
