r"""Runs what the standing benchmark still lacks.

    python -m experiments.selection.run --dry_run
    nice -n 19 python -m experiments.selection.run --hours=6
    python -m experiments.selection.run --settings=digits-1pct --most_seeds=10
    python -m experiments.selection.run --arms=margin,badge --most_seeds=10

A run is seconds to minutes of one thread. Its line is written when it is done,
so a kill loses one run at most and the same command goes on. Whole tables are
filled seed by seed. Several processes may work at once: each holds a setting.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import pathlib
import time
from collections.abc import Iterator, Sequence

import threadpoolctl
from absl import flags

from experiments.selection import declaration, logs, pools
from experiments.selection.declaration import Arm, Benchmark, Setting
from experiments.selection.simulate import Simulation
from runkit import InputError, run_binary
from runkit.errors import check_choice

FLAGS = flags.FLAGS


def left(
    benchmark: Benchmark, setting: Setting, seeds: int, folder: pathlib.Path
) -> list[tuple[int, Arm]]:
    """Returns (seed, arm) of all runs without a line, seed by seed."""
    done = {
        arm.name: {run["seed"] for run in logs.read(setting, arm, folder)}
        for arm in benchmark.arms_of(setting)
    }
    return [
        (seed, arm)
        for seed in range(seeds)
        for arm in benchmark.arms_of(setting)
        if seed not in done[arm.name]
    ]


@contextlib.contextmanager
def held(setting: Setting, folder: pathlib.Path) -> Iterator[bool]:
    """Yields whether this process may work on the setting."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{setting.name}.lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def work(
    benchmark: Benchmark,
    setting: Setting,
    seeds: int,
    until: float,
    pools_folder: pathlib.Path,
    folder: pathlib.Path,
) -> None:
    """Runs what a setting lacks.

    Args:
        benchmark: the declaration.
        setting: to work on.
        seeds: how many of them.
        until: `time.monotonic` after which no run begins.
        pools_folder: of the pools.
        folder: of the logs.
    """
    todo = left(benchmark, setting, seeds, folder)
    if not todo:
        return
    pool = pools.open_fixed(setting.pool, pools_folder)
    facts = {"examples": len(pool.labels), "checksum": pool.checksum}
    simulation = Simulation(setting, pool)
    for seed, arm in todo:
        if time.monotonic() > until:
            return
        run = simulation.run(arm, seed)
        logs.append(setting, arm, run, facts, folder)
        print(
            f"{setting.name} {arm.name} seed {seed}: "
            f"{run['accuracy'][-1]:.4f}, {run['cpu']:.1f} CPU s",
            flush=True,
        )


def main(argv: Sequence[str]) -> None:
    """Works through the settings, or says what is left."""
    del argv
    benchmark = declaration.load(declaration.path_of(FLAGS.declaration))
    names = FLAGS.settings or list(benchmark.settings)
    for name in names:
        check_choice(name, benchmark.settings, where="--settings")
    for name in FLAGS.arms:
        check_choice(name, benchmark.arms, where="--arms")
    if FLAGS.arms:
        arms = {name: benchmark.arms[name] for name in FLAGS.arms}
        benchmark = dataclasses.replace(benchmark, arms=arms)
    folder = pathlib.Path(FLAGS.logs_dir or logs.FOLDER)
    most = min(FLAGS.most_seeds or benchmark.seeds, benchmark.seeds)
    if most < 1:
        raise InputError("is too small", where="--most_seeds", got=most)
    until = time.monotonic() + FLAGS.hours * 3600
    pools_folder = pathlib.Path(FLAGS.pools_dir)
    # A few seeds of every setting before many of one.
    steps = sorted({*range(FLAGS.stride, most, FLAGS.stride), most})
    for seeds in [most] if FLAGS.dry_run else steps:
        for name in names:
            setting = benchmark.settings[name]
            if FLAGS.dry_run:
                todo = left(benchmark, setting, seeds, folder)
                print(f"{name}: {len(todo)} runs left of {seeds} seeds")
                continue
            with held(setting, pools_folder.parent / "state") as mine:
                if mine and time.monotonic() < until:
                    with threadpoolctl.threadpool_limits(1):
                        work(
                            benchmark,
                            setting,
                            seeds,
                            until,
                            pools_folder,
                            folder,
                        )


def run() -> None:
    """Entry point."""
    if "most_seeds" not in FLAGS:
        flags.DEFINE_string("declaration", "benchmark", "What is run.")
        flags.DEFINE_list("settings", [], "Settings; all by default.")
        flags.DEFINE_list("arms", [], "Arms; all by default.")
        flags.DEFINE_integer("most_seeds", None, "Seeds; all by default.")
        flags.DEFINE_integer(
            "stride", 5, "Seeds of every setting before the next ones."
        )
        flags.DEFINE_float("hours", 1e6, "Begin no run after this time.")
        flags.DEFINE_bool("dry_run", False, "Print what is left and stop.")
        flags.DEFINE_string("logs_dir", None, "Folder of the logs.")
        flags.DEFINE_string(
            "pools_dir", str(pools.FOLDER), "Folder of the pools."
        )
    run_binary(main)


if __name__ == "__main__":
    run()
