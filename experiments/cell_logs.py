"""The committed log of a cell: small, whole, without anything of the machine's.

    {"format": 1, "claim": ..., "digest": ..., "command": [...], ...}
    {"step": 250, "stage": "hybrid", "heldout_sc_loss": 4.9, ...}
    ...
    {"end": true, "cpu_seconds": 812.4, ...}

JSON Lines: what the run is, one line per evaluation (pre-training) or per task
and split (fine-tuning), and what it took. A log without its last line was cut
short; it is named, and its run is done again.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.harness import machine, without_paths
from experiments.cells import Cell
from runkit import InputError, __version__, atomic_write, read_json
from runkit.datasets.tables import json_lines
from spactor_tf.training.metrics_log import read_metrics

FORMAT = 1
ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / "experiments" / "logs"
_KEPT = (
    "heldout_sc_loss",
    "heldout_sc_accuracy",
    "heldout_mlm_loss",
    "heldout_mlm_accuracy",
    "heldout_rtd_loss",
    "heldout_rtd_precision",
    "heldout_rtd_recall",
    "heldout_replaced_fraction",
    "gradient_norm",
    "flops",
)


def log_path(cell: Cell, logs: pathlib.Path = LOGS) -> pathlib.Path:
    """Returns the path of the cell's log."""
    return logs / cell.claim / f"{cell.name}.jsonl"


def read_log(path: pathlib.Path) -> dict[str, Any]:
    """Reads a log.

    Returns:
        The first line's fields, the last line's, and "lines": those between.

    Raises:
        InputError: no such file, another format version, or cut short.
    """
    remedy = "Run it again: python -m experiments.run"
    try:
        lines = [value for _, value in json_lines(path)]
    except InputError as error:
        raise InputError(
            "is damaged or cut short",
            where=shown(path),
            got=error.what,
            remedy=remedy,
        ) from None
    if not all(isinstance(line, dict) for line in lines) or not lines:
        raise InputError("is not a log", where=shown(path), remedy=remedy)
    version = lines[0].get("format")
    if version != FORMAT:
        raise InputError(
            "is a log of another format version",
            where=shown(path),
            got=version,
            expected=str(FORMAT),
            remedy=remedy,
        )
    if not lines[-1].get("end"):
        raise InputError(
            "is cut short: its last line is missing",
            where=shown(path),
            remedy=remedy,
        )
    return {**lines[0], **lines[-1], "lines": lines[1:-1]}


def logged(cell: Cell, logs: pathlib.Path = LOGS) -> dict[str, Any] | None:
    """Returns the cell's log, or None where there is none.

    Raises:
        InputError: the log is of another version, of other settings or cut
            short; the message names it.
    """
    path = log_path(cell, logs)
    if not path.is_file():
        return None
    log = read_log(path)
    expected = {"digest": cell.digest, "stop_below": cell.stop_below}
    for name, value in expected.items():
        if log.get(name) != value:
            raise InputError(
                f"is of a run with other settings ({name})",
                where=shown(path),
                got=log.get(name),
                expected=repr(value),
                remedy="Run it again: python -m experiments.run",
            )
    return log


def write_log(
    cell: Cell,
    run: pathlib.Path,
    attempts: Sequence[Mapping[str, Any]],
    logs: pathlib.Path = LOGS,
) -> pathlib.Path:
    """Collects a finished run into the cell's log.

    Args:
        cell: of the run.
        run: its folder.
        attempts: {"cpu_seconds", "wall_seconds"} of each process that worked
            on it; a killed one that nobody waited for has None.
        logs: folder of all logs.
    """
    spent = [attempt.get("cpu_seconds") for attempt in attempts]
    known = [seconds for seconds in spent if seconds is not None]
    head = {
        "format": FORMAT,
        "claim": cell.claim,
        "arm": cell.arm,
        "task": cell.task,
        "budget": cell.budget,
        "seed": cell.seed,
        "kind": cell.kind,
        "steps": cell.steps,
        "digest": cell.digest,
        "stop_below": cell.stop_below,
        "version": __version__,
        "commit": attempts[-1].get("commit", "") if attempts else "",
        "command": [*program(cell), *map(without_paths, cell.flags)],
        "machine": machine() | {"threads": 1},
        "source": cell.source.name if cell.source else "",
    }
    end = {
        "end": True,
        "attempts": len(spent),
        # Unknown as a whole where one attempt's is.
        "cpu_seconds": round(sum(known), 1)
        if len(known) == len(spent) and spent
        else None,
    }
    path = log_path(cell, logs)
    with atomic_write(path) as handle:
        for line in (head, *_lines(cell, run), end):
            handle.write(json.dumps(line, sort_keys=True) + "\n")
    return path


def _lines(cell: Cell, run: pathlib.Path) -> Iterable[dict[str, Any]]:
    if cell.kind == "finetune":
        results = read_json(run / "results.json")
        yield {"seeds": results["seeds"], "tasks": results["tasks"]}
        return
    for line in evaluations(run):
        yield line
        if is_below(line, cell.stop_below):
            return


def evaluations(run: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the evaluations of a pre-training run so far, rounded."""
    path = run / "metrics.jsonl"
    if not path.is_file():
        return []
    return [
        {"step": line["step"], "stage": line["stage"]}
        | {name: _rounded(line[name]) for name in _KEPT if name in line}
        for line in read_metrics(path)
        if any(name.startswith("heldout_") for name in line)
    ]


def is_below(line: Mapping[str, Any], bound: float | None) -> bool:
    """Whether an evaluation meets a stop rule; None is no rule."""
    return bound is not None and line.get("heldout_sc_loss", bound) < bound


def _rounded(value: float) -> float | int:
    # FLOPs are whole numbers; of losses six digits are more than the noise.
    return int(value) if value > 1e6 else float(f"{value:.6g}")


def program(cell: Cell) -> list[str]:
    """Returns the start of the cell's command."""
    binary = "pretrain_main" if cell.kind == "pretrain" else "finetune_main"
    return ["python", "-m", f"spactor_tf.{binary}"]


def commit() -> str:
    """Returns the commit of this checkout, "-dirty" with changes, or ""."""
    # Continuous integration may run as another user than the one who cloned.
    git = ["git", "-c", f"safe.directory={ROOT}"]
    packages = ["--", "spactor_tf", "runkit"]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short=10", "HEAD"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", *packages],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("-dirty" if changes.stdout.strip() else "")


def shown(path: pathlib.Path) -> str:
    """Returns the path below the repository, where it is."""
    try:
        return str(path.resolve().relative_to(ROOT))
    except ValueError:
        return str(path)
