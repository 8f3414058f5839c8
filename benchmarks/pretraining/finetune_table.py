r"""Pre-trained against from scratch on several tasks, over seeds.

    python -m benchmarks.pretraining.finetune_table --init_from=runs/imdb \
        --work_dir=runs/finetune --tasks=sst2,imdb,mrpc --seeds=0,1,2 \
        --train_steps=1000

Each cell (task, weights, seed) is a run of `spactor_tf.finetune_main` in its
own folder below --work_dir. A finished cell is read, an interrupted one goes
on, so the same command may be repeated until the table is whole; --cells runs
at most so many and stops. What follows `--` is given to every run
(`-- --learning_rate=0.003 --patience=5`). The results are written after every
cell, with what is there; cells of different settings are refused.
"""

from __future__ import annotations

import argparse
import itertools
import math
import pathlib
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.harness import ROOT, record, without_paths
from runkit import InputError, read_json
from runkit.averages import mean_and_error
from spactor_tf.config.fields import flatten, to_dict
from spactor_tf.config.finetune import FinetuneConfig

WEIGHTS = ("pre-trained", "from scratch")
# What the notes say in words; the weights' folder is this machine's affair.
_NAMED_SETTINGS = (
    "init_from",
    "train_steps",
    "batch_size",
    "optimizer.learning_rate",
    "evaluation.test",
)


def cell_dir(
    work_dir: pathlib.Path, task: str, weights: str, seed: int
) -> pathlib.Path:
    """Folder of a cell's run."""
    return work_dir / task / weights.replace(" ", "_") / f"seed-{seed}"


def run_cell(
    folder: pathlib.Path,
    task: str,
    weights: str,
    seed: int,
    flags: Sequence[str],
) -> None:
    """Runs or resumes one cell."""
    command = [
        sys.executable,
        "-m",
        "spactor_tf.finetune_main",
        f"--task={task}",
        f"--output_dir={folder.resolve()}",
        f"--seed={seed}",
        f"--from_scratch={str(weights == WEIGHTS[1]).lower()}",
        *flags,
    ]
    subprocess.run(command, cwd=ROOT, check=True)


def rows_from(
    work_dir: pathlib.Path, tasks: Sequence[str], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """One row a task, from the cells that are finished."""
    rows = []
    for task in tasks:
        found = {
            weights: [
                read_json(path)["tasks"][task]
                for seed in seeds
                if (
                    path := cell_dir(work_dir, task, weights, seed)
                    / "results.json"
                ).is_file()
            ]
            for weights in WEIGHTS
        }
        if any(found.values()):
            rows.append(row_of(task, found))
    return rows


def row_of(
    task: str, found: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """A row: mean +- standard error of both kinds and their difference.

    Args:
        task: its name.
        found: {"pre-trained": [...], "from scratch": [...]}, the tasks' parts
            of the runs' results.json.
    """
    first = next(result for kind in found.values() for result in kind)
    metric = first["primary"]
    row: dict[str, Any] = {"task": task, "metric": metric}
    means, errors = {}, []
    for kind in WEIGHTS:
        values = [result["validation"][metric] for result in found[kind]]
        if not values:
            continue
        means[kind], error = mean_and_error(values)
        errors.append(error)
        row[kind] = shown(means[kind], error)
        row[f"{kind}, seeds"] = len(values)
    if len(means) == 2:
        ahead = means[WEIGHTS[0]] - means[WEIGHTS[1]]
        known = [error for error in errors if error is not None]
        error = math.hypot(*known) if len(known) == 2 else None
        row["difference"] = shown(ahead, error)
        if error:
            row["in standard errors"] = ahead / error
    return row


def shown(mean: float, error: float | None) -> str:
    text = f"{mean:.2f}"
    return text if error is None else f"{text} +- {error:.2f}"


def common_config(folders: Iterable[pathlib.Path]) -> dict[str, Any]:
    """The configuration of the finished cells; {} where there is none.

    Raises:
        InputError: they differ in more than task, weights and seed.
    """
    common: dict[str, Any] = {}
    for folder in folders:
        if not (folder / "results.json").is_file():
            continue
        config = flatten(read_json(folder / "config.json"))
        for name in ("task", "seed", "from_scratch"):
            config.pop(name)
        common = common or config
        changed = [name for name in config if config[name] != common[name]]
        if changed:
            raise InputError(
                "was made with other settings than the cells before it",
                where=str(folder),
                got=changed[0],
                remedy="Take another --work_dir, or delete this cell",
            )
    return common


def write_results(
    options: argparse.Namespace, start: Mapping[str, Any]
) -> None:
    folders = [
        cell_dir(options.work_dir, task, weights, seed)
        for seed, task, weights in cells_of(options)
    ]
    config = common_config(folders)
    if not config:
        return
    rows = rows_from(options.work_dir, options.tasks, options.seeds)
    cells = len(folders)
    done = sum(row.get(f"{k}, seeds", 0) for row in rows for k in WEIGHTS)
    record(
        "finetune",
        rows,
        notes=[
            "Primary metric on the validation split in percent, of the best "
            "evaluation of each run (chosen on the same split, for both "
            "kinds); "
            "mean +- standard error over seeds.",
            f"Weights: {start['preset'] or 'a preset'}, pre-trained for "
            f"{start['train_steps']} steps on "
            f"{without_paths(start['dataset'])}; "
            "from scratch: the same sizes and vocabulary. Each run: at most "
            f"{config['train_steps']} steps of {config['batch_size']} "
            f"examples at {config['optimizer.learning_rate']:g}; "
            f"{changed_settings(config)}.",
            f"{done} of {cells} cells finished.",
        ],
    )


def changed_settings(config: Mapping[str, Any]) -> str:
    """The settings that are not the defaults and that no note names."""
    default = flatten(to_dict(FinetuneConfig()))
    changed = [
        f"{name} {value}"
        for name, value in config.items()
        if value != default[name] and name not in _NAMED_SETTINGS
    ]
    return ", ".join(changed) or "all else by default"


def pretraining_of(init_from: str) -> dict[str, Any]:
    """What is known of the weights."""
    from spactor_tf.inference.pretrained import preset_dir

    path = preset_dir(init_from) / "spactor_config.json"
    if not path.is_file():
        unknown = "unknown text"
        return {"preset": "", "train_steps": "unknown", "dataset": unknown}
    config = read_json(path)
    return {
        "preset": config["preset"],
        "train_steps": config["train_steps"],
        "dataset": config["data"]["dataset"],
    }


def cells_of(options: argparse.Namespace) -> list[tuple[int, str, str]]:
    """(seed, task, weights) of every cell; whole tables seed by seed."""
    return list(itertools.product(options.seeds, options.tasks, WEIGHTS))


def _parse() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--init_from", required=True)
    parser.add_argument("--work_dir", required=True, type=pathlib.Path)
    parser.add_argument(
        "--tasks", default="sst2,imdb,mrpc,cola,stsb,rte,cb,copa"
    )
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--train_steps", type=int, default=1000)
    parser.add_argument("--cells", type=int, help="run at most so many")
    parser.add_argument("more", nargs="*", help="flags of every run, after --")
    options = parser.parse_args()
    options.tasks = options.tasks.split(",")
    options.seeds = [int(seed) for seed in options.seeds.split(",")]
    return options, options.more


def main() -> None:
    options, more = _parse()
    init_from = pathlib.Path(options.init_from).resolve()
    flags = [
        f"--init_from={init_from}",
        f"--train_steps={options.train_steps}",
        # The unlabeled splits cost time and give no figure.
        "--set=evaluation.test=false",
        *more,
    ]
    start = pretraining_of(options.init_from)
    left = options.cells if options.cells is not None else math.inf
    for seed, task, weights in cells_of(options):
        folder = cell_dir(options.work_dir, task, weights, seed)
        if (folder / "results.json").is_file():
            continue
        if left <= 0:
            break
        left -= 1
        run_cell(folder, task, weights, seed, flags)
        write_results(options, start)
    write_results(options, start)


if __name__ == "__main__":
    main()
