"""Logs: one JSON Lines file for each arm of a setting, one line for each seed.

logs/SETTING/ARM.jsonl    first line: what ran and where; then the runs
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness import machine
from experiments import cell_logs
from experiments.selection.declaration import Arm, Setting
from runkit import InputError, __version__, atomic_write

FOLDER = pathlib.Path(__file__).with_name("logs")
Runs = Sequence[Mapping[str, Any]]
_RUN_KEYS = {"seed", "labels", "accuracy", "selection_cpu", "cpu"}


def path_of(setting: Setting, arm: Arm, folder: pathlib.Path) -> pathlib.Path:
    """Where the runs of an arm are."""
    return folder / setting.name / f"{arm.name}.jsonl"


def read(
    setting: Setting, arm: Arm, folder: pathlib.Path = FOLDER
) -> list[dict[str, Any]]:
    """Returns the runs of an arm by ascending seed; none without a file.

    Raises:
        InputError: not such a log, or one of another setting or arm.
    """
    path = path_of(setting, arm, folder)
    if not path.is_file():
        return []
    where = cell_logs.shown(path)
    try:
        head, *runs = map(json.loads, path.read_text("utf-8").splitlines())
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"is damaged ({error})", where=where) from None
    if {k: head.get(k) for k in ("setting", "arm")} != _identity(setting, arm):
        raise InputError(
            "is the log of another declaration",
            where=where,
            remedy="Remove it, and the runs are done again",
        )
    for run in runs:
        if set(run) != _RUN_KEYS or len(run["labels"]) != len(run["accuracy"]):
            raise InputError("holds a line that is not a run", where=where)
    return sorted(runs, key=lambda run: run["seed"])


def head_of(
    setting: Setting, arm: Arm, folder: pathlib.Path = FOLDER
) -> dict[str, Any]:
    """Returns the first line of a log that is there."""
    text = path_of(setting, arm, folder).read_text("utf-8")
    return json.loads(text.splitlines()[0])


def checksum_of(
    setting: Setting, arm: Arm, folder: pathlib.Path = FOLDER
) -> int | None:
    """Checksum of the pool that a log names; None: it names none."""
    return head_of(setting, arm, folder).get("pool", {}).get("checksum")


def one_pool(
    setting: Setting,
    runs: Mapping[str, Runs],
    arms: Mapping[str, Arm],
    baseline: str,
    folder: pathlib.Path = FOLDER,
) -> tuple[dict[str, Runs], list[str]]:
    """Leaves out arms that ran on another pool than the baseline did.

    Args:
        setting: of the runs.
        runs: by arm, as `read` returned them.
        arms: by name.
        baseline: name of the arm that the others are compared with.
        folder: of the logs.

    Returns:
        (runs of one pool, a sentence on what was left out, and one on logs
        that name no pool: old ones, which stay).
    """
    found = {
        name: checksum_of(setting, arms[name], folder)
        for name, lines in runs.items()
        if lines
    }
    pool = found.get(baseline)
    others = {
        name: checksum
        for name, checksum in found.items()
        if None not in (pool, checksum) and checksum != pool
    }
    notes = []
    if others:
        said = ", ".join(f"{name} ({crc})" for name, crc in others.items())
        notes.append(
            f"Left out, as run on another pool than {baseline} ({pool}): {said}"
        )
    if unknown := [
        name for name, checksum in found.items() if checksum is None
    ]:
        notes.append(f"The logs name no pool: {', '.join(unknown)}")
    return {k: v for k, v in runs.items() if k not in others}, notes


def append(
    setting: Setting,
    arm: Arm,
    run: Mapping[str, Any],
    pool: Mapping[str, Any],
    folder: pathlib.Path = FOLDER,
) -> None:
    """Adds a run; the file is replaced as a whole.

    Args:
        setting: of the run.
        arm: of the run.
        run: what `Simulation.run` returned.
        pool: facts about the pool; they have to be those of the log.
        folder: of all logs.

    Raises:
        InputError: the log is that of another pool.
    """
    path = path_of(setting, arm, folder)
    runs = read(setting, arm, folder)
    head = head_of(setting, arm, folder) if runs else _head(setting, arm, pool)
    if head["pool"] != pool:
        raise InputError(
            "is the log of another pool",
            where=cell_logs.shown(path),
            got=head["pool"],
            expected=str(pool),
        )
    with atomic_write(path) as handle:
        for line in (head, *runs, run):
            handle.write(json.dumps(line, sort_keys=True) + "\n")


def _identity(setting: Setting, arm: Arm) -> dict[str, Any]:
    facts = {
        "setting": dataclasses.asdict(setting),
        "arm": dataclasses.asdict(arm),
    }
    # As they come back from the file.
    return json.loads(json.dumps(facts))


def _head(
    setting: Setting, arm: Arm, pool: Mapping[str, Any]
) -> dict[str, Any]:
    facts = machine()
    kept = ("processor", "cores", "python")
    return {
        **_identity(setting, arm),
        "pool": dict(pool),
        "version": __version__,
        "commit": cell_logs.commit(),
        "machine": {name: facts[name] for name in kept},
    }
