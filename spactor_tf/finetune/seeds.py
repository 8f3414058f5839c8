"""The same fine-tuning under several seeds: mean and standard error.

output_dir/
    seed-0/, seed-1/, ...   one run each, see `spactor_tf.finetune.run`
    results.json            mean +- standard error over the seeds
    report.html, *.png
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from runkit import InputError, read_json, report, write_json
from runkit.averages import mean_and_error
from runkit.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, InterruptedRun
from runkit.signals import on_termination
from spactor_tf.config.fields import flatten, to_dict
from spactor_tf.config.finetune import FinetuneConfig


def finetune_seeds(
    config: FinetuneConfig,
    seeds: Sequence[int],
    output_dir: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    parallel_runs: int = 1,
    accept_changed_data: bool = False,
) -> dict[str, Any]:
    """Runs or resumes one run per seed and summarizes them.

    Args:
        config: of the runs; its own seed is not used.
        seeds: at least one, all different.
        output_dir: directory of all runs; created.
        data_dir: directory of prepared datasets; None is TFDS's default.
        parallel_runs: processes at the same time; 1 uses this process.
        accept_changed_data: see `spactor_tf.finetune.run.finetune`.

    Returns:
        The content of results.json.

    Raises:
        InputError: bad input; nothing was written.
        InterruptedRun: a termination signal came; all states are saved.
    """
    if not seeds or len(set(seeds)) < len(seeds) or parallel_runs < 1:
        raise InputError(
            "must be different numbers, at least one",
            where="--seeds and --parallel_runs",
            got=(seeds, parallel_runs),
        )
    from spactor_tf.finetune.data_record import has_same_data
    from spactor_tf.finetune.report import write_seeds_report
    from spactor_tf.finetune.run import FinetuneRun, finetune
    from spactor_tf.training.run_loop import continuation_of

    folder = pathlib.Path(output_dir)
    if (folder / "config.json").is_file():
        raise InputError(
            "holds a single run, whose results would be lost",
            where=str(folder),
            remedy="Name another --output_dir",
        )
    configs = [dataclasses.replace(config, seed=seed) for seed in seeds]
    runs = {f"seed-{c.seed}": c for c in configs}
    accept = accept_changed_data
    for name, one in runs.items():  # Before the first of them takes hours.
        continuation_of(one, folder / name)
        has_same_data(one, folder / name, data_dir, accept)
    if parallel_runs == 1:
        for name, one in runs.items():
            finetune(one, folder / name, data_dir, accept_changed_data=accept)
    else:
        first = next(iter(runs))
        FinetuneRun(runs[first], folder / first, data_dir, accept)  # Checks.
        options = [f"--data_dir={data_dir}"] if data_dir else []
        options += ["--accept_changed_data"] if accept else []
        _in_processes(runs, folder, options, parallel_runs)
    results = [read_json(folder / name / "results.json") for name in runs]
    summary = summarize(results)
    folders = {name: folder / name for name in runs}
    with report.optional(folder / "report.html"):
        write_seeds_report(folder, configs[0], summary, folders)
    write_json(folder / "results.json", summary)
    return summary


def summarize(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns mean and standard error of every metric over runs.

    Args:
        results: contents of the runs' results.json.

    Returns:
        {"seeds": [...], "tasks": {task: {"primary": name, split: {metric:
        {"mean", "standard_error", "values"}}}}}; the standard error is that of
        the mean; None for one run.
    """
    tasks: dict[str, Any] = {}
    for task, first in results[0]["tasks"].items():
        tasks[task] = {"primary": first["primary"]}
        for split in first:
            if split == "primary":
                continue
            tasks[task][split] = {}
            for metric in first[split]:
                values = [r["tasks"][task][split][metric] for r in results]
                mean, error = mean_and_error(values)
                tasks[task][split][metric] = {
                    "mean": mean,
                    "standard_error": error,
                    "values": values,
                }
    return {"seeds": [r["seed"] for r in results], "tasks": tasks}


def _in_processes(
    runs: Mapping[str, FinetuneConfig],
    folder: pathlib.Path,
    options: Sequence[str],
    parallel_runs: int,
) -> None:
    """One process per run, some at a time; passes signals on to them."""
    threads = max(1, (os.cpu_count() or 1) // parallel_runs)
    environment = {
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": str(threads),
        **os.environ,
    }
    running: list[subprocess.Popen] = []
    stopped = False

    def run(name: str) -> int:
        if stopped:
            return EXIT_INTERRUPTED
        fields = flatten(to_dict(runs[name]))
        command = [sys.executable, "-m", "spactor_tf.finetune_main"]
        command += [f"--set={field}={value}" for field, value in fields.items()]
        command += [f"--output_dir={folder / name}", *options]
        # In a session of its own, Ctrl-C reaches it only through `stop`.
        process = subprocess.Popen(
            command, env=environment, start_new_session=True
        )
        running.append(process)
        return process.wait()

    def stop(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True
        for process in running:
            if process.poll() is None:
                process.send_signal(number)

    with (
        on_termination(stop),
        concurrent.futures.ThreadPoolExecutor(parallel_runs) as pool,
    ):
        codes = dict(zip(runs, pool.map(run, runs), strict=True))
    _check_codes(codes)


def _check_codes(codes: Mapping[str, int]) -> None:
    failed = [name for name, code in codes.items() if code]
    if not failed:
        return
    if any(codes[name] == EXIT_BAD_INPUT for name in failed):
        raise InputError(
            "refused its input; see its message above", where=failed[0]
        )
    if all(codes[name] in (EXIT_INTERRUPTED, -15, -2) for name in failed):
        raise InterruptedRun("the states are saved; the same command resumes")
    raise RuntimeError(f"failed (errors above): {', '.join(failed)}")
