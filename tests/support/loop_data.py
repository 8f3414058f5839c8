"""Small pools for the tests of the active-learning loop."""

import csv
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from al_tf.learners.head_learner import HeadLearner
from al_tf.loop.config import LoopConfig
from al_tf.loop.loop import Loop
from al_tf.loop.oracles import LabelOracle
from al_tf.pools import pool as pools


def blobs(
    n: int = 90, seed: int = 0, multilabel: bool = False
) -> pools.Examples:
    """Three overlapping Gaussian classes in four dimensions."""
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(7).standard_normal((3, 4)) * 2
    labels = random.integers(0, 3, n)
    rows = centers[labels] + random.standard_normal((n, 4))
    names = ("ant", "bee", "cat")
    if multilabel:
        matrix = (rows[:, :3] > 0).astype(np.int8)
        return pools.make_examples(
            "embedding", rows.astype("f"), matrix, names, True
        )
    return pools.make_examples("embedding", rows.astype("f"), labels, names)


def texts(n: int = 60, seed: int = 0) -> pools.Examples:
    """Sentences whose label is which of two words they hold."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    inputs = np.empty(n, object)
    for i, label in enumerate(labels):
        words = random.permutation(["the", "film", "was", "so", str(i)])
        inputs[i] = " ".join([*words, ("dull", "fine")[label]])
    return pools.make_examples("text", inputs, labels, ("bad", "good"))


def make_loop(
    folder: pathlib.Path,
    pool: pools.Examples | None = None,
    test: pools.Examples | None = None,
    oracle: Any = None,
    **fields: Any,
) -> Loop:
    """A loop of few rounds over `blobs`."""
    values: dict[str, Any] = {
        "strategies": ("cluster_margin", "random"),
        "seeds": (0, 1),
        "seed_size": 12,
        "batch_size": 6,
        "rounds": 2,
        "target_cluster_size": 3.0,
        **fields,
    }
    pool = blobs() if pool is None else pool
    test = blobs(40, 1, pool.multilabel) if test is None else test
    oracle = oracle or LabelOracle(pool)
    return Loop(LoopConfig(**values), pool, test, oracle, folder)


def head(loop: Loop, **options: Any) -> HeadLearner:
    """A linear head over pool and test set of a loop."""
    rows = np.concatenate([loop.pool.inputs, loop.test.inputs])
    return HeadLearner(
        rows,
        len(loop.pool.classes),
        multilabel=loop.pool.multilabel,
        **options,
    )


def answer(
    run_dir: pathlib.Path,
    number: int,
    pool: pools.Examples,
    wrong: Callable[[list[dict[str, str]]], None] | None = None,
) -> list[int]:
    """Fills a round's questions in as the pool would answer them.

    Args:
        run_dir: of the run.
        number: of the round.
        pool: knows the answers, by row.
        wrong: spoils the filled-in rows.

    Returns:
        The ids that were asked for.
    """
    name = f"round-{number:03d}.csv"
    with (run_dir / "to_label" / name).open() as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        row["label"] = pool.classes[pool.labels[int(row["example_id"])]]
    if wrong:
        wrong(rows)
    path = run_dir / "labels" / name
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return [int(row["example_id"]) for row in rows]


def state(folder: pathlib.Path) -> dict[str, Any]:
    """Every file that a run leaves, but for seconds and pages."""
    from runkit import read_json

    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.json")):
        values = read_json(path)
        if path.name == "clustering.json":
            del values["info"]
        if path.name == "checksums.json":
            # The one of clustering.json is that of its seconds, too.
            values = {"files": sorted(values["crc32"])}
        name = str(path.relative_to(folder))
        found[name] = {
            key: value
            for key, value in values.items()
            if not key.endswith("seconds")
        }
    for path in sorted(folder.rglob("*.npy")):
        found[str(path.relative_to(folder))] = np.load(path).tolist()
    return found
