r"""The whole loop on real pools: labels that each strategy needs.

    python -m benchmarks.active_learning.loop --experiments=cifar10,near_copies
    python -m benchmarks.active_learning.loop --experiments=imdb \
        --init_from=runs/imdb

Each experiment is one command of `al_tf.active_learning_main`, printed and
recorded, so that it can be run by itself. Finished parts are kept below
`--output_root`: the same command resumes where it was stopped.
"""

from __future__ import annotations

import csv
import dataclasses
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import app, flags

from al_tf.learners.image_learner import ImageOptions, build_network
from al_tf.loop import curves
from al_tf.pools.pool import open_pool
from benchmarks import harness
from benchmarks.active_learning import data as al_data
from runkit import read_json, write_json
from runkit.averages import in_words
from spactor_tf.classifier.text_learner import TextOptions

_EXPERIMENTS = flags.DEFINE_list("experiments", None, "Names; default: all.")
OUTPUT_ROOT = flags.DEFINE_string(
    "output_root",
    str(pathlib.Path(tempfile.gettempdir()) / "al_benchmark_runs"),
    "Folder of the runs.",
)
_INIT_FROM = flags.DEFINE_string("init_from", "", "Encoder for imdb.")
_SEEDS = flags.DEFINE_list("loop_seeds", None, "Instead of the usual ones.")

SIX = "random,margin,cluster_margin,cluster_random,coreset,badge"
MAIN = "al_tf.active_learning_main"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One comparison.

    Attributes:
        options: of `al_tf.active_learning_main`.
        targets: accuracies of the table of labels needed.
        note: what a reader of the table has to know, with fields of the run's
            config.json and of `counted`.
    """

    options: Mapping[str, Any]
    targets: tuple[float, ...]
    note: str


_FAMILIES = (
    "Families of {near_copies} near-copies or more (Zipf) of {originals:,} "
    "examples, %s: {pool[examples]:,} examples, batches of {batch_share:.1%%}; "
    "tested on {test[examples]:,} originals that are not in the pool. Clusters "
    "of the mean family size; the margin batch is {margin_share:.0%%} of the "
    "pool, since ten batches would hold the families of a third of a batch "
    "only."
)

EXPERIMENTS = {
    "cifar10": Experiment(
        {
            "dataset": "tfds:cifar10",
            "learner": "image",
            "train_epochs": 10,
            "strategies": SIX,
            "seeds": "0,1,2",
            "seed_size": 2500,
            "batch_size": 2500,
            "rounds": 4,
        },
        (0.5, 0.55, 0.6),
        "A network of {weights:,} weights, trained from new ones in every "
        "round: {train_epochs:g} passes over the labeled images and at least "
        "{steps:,} steps of {images}. Labels, not accuracies, can be compared "
        "with others'.",
    ),
    "imdb": Experiment(
        {
            "dataset": "tfds:imdb_reviews",
            "test": "test[:5000]",
            "learner": "text",
            "train_steps": 150,
            "strategies": SIX,
            "seeds": "0,1,2",
            "seed_size": 500,
            "batch_size": 500,
            "rounds": 4,
        },
        (0.65, 0.7),
        "A pre-trained `tiny` encoder that reads {text_length} tokens, "
        "fine-tuned anew for {train_steps} steps of {texts} in every round; "
        "tested on {test[examples]:,} reviews.",
    ),
    "near_copies_imdb": Experiment(
        {
            "dataset": "npz:{imdb}",
            "test": "npz:{imdb_test}",
            "learner": "linear",
            "near_copies": 10,
            "strategies": SIX,
            "seeds": "0,1,2,3,4",
            "seed_size": 340,
            "batch_size": 340,
            "rounds": 6,
            "target_cluster_size": 34,
            "margin_batch_size": 8450,
        },
        (0.79, 0.8, 0.81),
        _FAMILIES % "reviews (TF-IDF, SVD)",
    ),
    "near_copies_digits": Experiment(
        {
            "dataset": "npz:{digits}",
            "test": "npz:{digits_test}",
            "learner": "linear",
            "near_copies": 10,
            "strategies": SIX,
            "seeds": "0,1,2,3,4",
            "seed_size": 430,
            "batch_size": 430,
            "rounds": 6,
            "target_cluster_size": 33,
            "margin_batch_size": 10750,
        },
        (0.95, 0.96),
        _FAMILIES % "digits (pixels)",
    ),
}


def main(argv) -> None:
    del argv
    names = _EXPERIMENTS.value or list(EXPERIMENTS)
    for name in names:
        if name == "imdb" and not _INIT_FROM.value:
            print("imdb is left out: it needs --init_from", file=sys.stderr)
            continue
        experiment = EXPERIMENTS[name]
        options = dict(experiment.options)
        if name == "imdb":
            options["init_from"] = _INIT_FROM.value
        if _SEEDS.value:
            options["seeds"] = ",".join(_SEEDS.value)
        folder = pathlib.Path(OUTPUT_ROOT.value) / name
        rows, seconds = run(folder, options)
        config = read_json(folder / "config.json")
        harness.record(
            f"al_loop_{name}",
            table(rows, experiment.targets),
            notes=[
                experiment.note.format(**config, **counted(config)),
                f"`{shown(options)}`",
                "Labels until the test accuracy first reached the target: mean "
                "and standard error over seeds (how many of them, if not all "
                "did).",
                f"{seconds:.0f} CPU seconds, without processes that were "
                "killed on the way.",
            ],
        )


def counted(config: Mapping[str, Any]) -> dict[str, float]:
    """Figures of a note that config.json does not hold.

    Args:
        config: what config.json holds.
    """
    pool = config["pool"]["examples"]
    found = {"batch_share": config["batch_size"] / pool}
    if config["margin_batch_size"]:
        found["margin_share"] = config["margin_batch_size"] / pool
    if config["near_copies"]:
        found["originals"] = len(open_pool(config["dataset"]))
    if config["learner"] == "image":
        found |= _of_images(config)
    if config["learner"] == "text":
        found["texts"] = TextOptions().batch_size
    return found


def _of_images(config: Mapping[str, Any]) -> dict[str, float]:
    pool, options = open_pool(config["dataset"]), ImageOptions()
    network = build_network(
        pool.inputs.shape[1:], len(pool.classes), options.width
    )
    sizes = [int(np.prod(v.shape)) for v in network.trainable_variables]
    return {
        "weights": sum(sizes),
        "steps": config["train_steps"] or options.train_steps,
        "images": options.batch_size,
    }


def command(options: Mapping[str, Any]) -> str:
    """The command line of an experiment, but for its output directory."""
    given = (f"--{name}={value}" for name, value in options.items())
    return " ".join(["python", "-m", MAIN, *given])


def shown(options: Mapping[str, Any]) -> str:
    """The command without the folders of this machine."""
    line = command(options).replace("{", "").replace("}", ".npz")
    if "init_from" in options:
        line = line.replace(options["init_from"], "RUN")
    return line


def run(
    folder: pathlib.Path, options: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], float]:
    """Runs or resumes; returns the rows of curves.csv and CPU seconds."""
    import resource

    line = command(options)
    files = {key: make() for key, make in al_data.FILES.items() if key in line}
    arguments = [
        *line.format(**files).split()[1:],
        f"--output_dir={folder}",
    ]
    print(" ".join(["python", *arguments]), flush=True)
    spent = folder.with_suffix(".seconds.json")
    before = read_json(spent) if spent.exists() else 0.0
    began = time.monotonic()
    try:
        subprocess.run([sys.executable, *arguments], check=True)
    finally:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        # The children's total includes those of earlier experiments.
        own = usage.ru_utime + usage.ru_stime - _USED["cpu"]
        _USED["cpu"] += own
        write_json(spent, before + own)
    print(f"{folder.name}: {time.monotonic() - began:.0f} s", flush=True)
    return read_curves(folder / "curves.csv"), before + own


_USED = {"cpu": 0.0}


def read_curves(path: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of curves.csv, its numbers as numbers."""
    with path.open() as handle:
        rows: list[dict[str, Any]] = list(csv.DictReader(handle))
    for row in rows:
        for key in row:
            if key in ("seed", "round", "labels"):
                row[key] = int(row[key])
            elif key != "strategy":
                row[key] = float(row[key]) if row[key] else None
    return rows


def table(
    rows: list[dict[str, Any]], targets: tuple[float, ...]
) -> list[dict[str, Any]]:
    """One line per strategy."""
    lines = []
    for name in dict.fromkeys(row["strategy"] for row in rows):
        line: dict[str, Any] = {"strategy": name}
        for goal in targets:
            needed = curves.labels_needed(rows, "accuracy", goal)
            line[f"labels to {goal:g}"] = curves.summary(needed[name])
            for other in ("margin", "random"):
                share = curves.ratio(needed, name, other)
                line[f"/ {other} ({goal:g})"] = share
        own = curves.select(rows, strategy=name)
        final = curves.final_values(rows, name, "accuracy")
        line["final accuracy"] = in_words(final)
        chosen = [row for row in own if row["round"]]
        for column, shown in (
            ("selection_cpu_seconds", "CPU s a selection"),
            ("batch_clusters", "clusters in a batch"),
        ):
            values = [row[column] for row in chosen]
            line[shown] = float(np.mean(values))
        lines.append(line)
    return lines


if __name__ == "__main__":
    app.run(main)
