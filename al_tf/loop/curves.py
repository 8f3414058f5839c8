"""Learning curves of a comparison: the table that every figure is drawn from.

A row describes one round of one strategy with one seed; its keys are
`COLUMNS`, and None is a value that was not measured.
"""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from runkit import atomic_write
from runkit.averages import in_words, mean_and_error

if TYPE_CHECKING:
    from al_tf.loop.loop import Loop

Row = dict[str, Any]

COLUMNS = (
    "strategy",
    "seed",
    "round",
    "labels",
    "accuracy",
    "selection_seconds",
    "average_precision",
    "clusters_covered",
    "batch_clusters",
    "selection_cpu_seconds",
)
_WHOLE = ("seed", "round", "labels", "clusters_covered", "batch_clusters")


def collect(loop: Loop) -> list[Row]:
    """Returns one row per finished round, in order.

    `selection_seconds` is the time it took to choose the round's own batch, 0
    for the seed set; `clusters_covered` counts the clusters of all labeled
    examples, `batch_clusters` those of the batch.
    """
    rows: list[Row] = []
    for name in loop.config.strategies:
        for seed in loop.config.seeds:
            store = loop.store(name, seed)
            for number in range(loop.config.rounds + 1):
                result = store.result(number)
                if result is None:
                    break
                row: Row = {
                    "strategy": name,
                    "seed": seed,
                    "round": number,
                    "selection_seconds": 0.0,
                    "selection_cpu_seconds": 0.0,
                    **result,
                    **store.batch_facts(number),
                }
                rows.append({key: row.get(key) for key in COLUMNS})
    return rows


def write_curves(path: pathlib.Path, rows: Iterable[Row]) -> None:
    """Writes `curves.csv`; what was not measured stays empty."""
    with atomic_write(path) as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_curves(path: pathlib.Path) -> list[Row]:
    """Reads what `write_curves` wrote; what was not measured is None."""
    rows: list[Row] = []
    with path.open(encoding="utf-8", newline="") as handle:
        for texts in csv.DictReader(handle):
            row: Row = {"strategy": texts.pop("strategy")}
            for name, text in texts.items():
                number = int if name in _WHOLE else float
                row[name] = number(text) if text else None
            rows.append(row)
    return rows


def select(rows: Iterable[Row], **wanted: str | int) -> list[Row]:
    """Rows whose columns have the wanted values."""
    return [
        row
        for row in rows
        if all(row[key] == value for key, value in wanted.items())
    ]


def final_values(
    rows: Iterable[Row], strategy: str, metric: str
) -> list[float]:
    """The metric after a strategy's last round, per seed that got there."""
    own = select(rows, strategy=strategy)
    last = select(own, round=max(row["round"] for row in own))
    return [row[metric] for row in last if row[metric] is not None]


def reference(rows: Iterable[Row]) -> str | None:
    """The strategy that sets the target: `random`, or else the first one."""
    names = list(dict.fromkeys(row["strategy"] for row in rows))
    return "random" if "random" in names else next(iter(names), None)


def target(
    rows: Sequence[Row], metric: str, asked: float | None
) -> float | None:
    """The value of the metric that strategies have to reach.

    Args:
        rows: from `collect`.
        metric: column of the metric.
        asked: the user's choice. None takes the lowest final value over the
            seeds of `reference(rows)`: every seed of it then gets there, so
            that the others can be compared with it.

    Returns:
        The value, or None without rows.
    """
    name = reference(rows)
    if asked is not None or name is None:
        return asked
    return min(final_values(rows, name, metric), default=None)


def labels_needed(
    rows: Iterable[Row], metric: str, goal: float
) -> dict[str, list[int | None]]:
    """Counts the labels until the metric first reached the goal, per seed.

    Returns:
        {strategy: [labels, or None where it never did]}.
    """
    needed: dict[str, dict[int, int | None]] = {}
    for row in rows:
        seeds = needed.setdefault(row["strategy"], {})
        seeds.setdefault(row["seed"], None)
        value = row[metric]
        reached = value is not None and value >= goal
        if reached and seeds[row["seed"]] is None:
            seeds[row["seed"]] = row["labels"]
    return {name: list(seeds.values()) for name, seeds in needed.items()}


def summary(needed: Sequence[int | None]) -> str:
    """Mean and standard error in words: "140 +- 12 (4/5)", "never"."""
    reached = [n for n in needed if n is not None]
    if not reached:
        return "never"
    text = in_words(reached, 0)
    if len(reached) < len(needed):
        text += f" ({len(reached)}/{len(needed)})"
    return text


def ratio(
    needed: dict[str, list[int | None]], name: str, other: str
) -> float | None:
    """Labels of a strategy over those of another; None if one never got there.

    A mean over the seeds in which both did would leave out the hard seeds.
    """
    means = []
    for strategy in (name, other):
        labels = needed.get(strategy, [None])
        if None in labels:
            return None
        means.append(mean_and_error([n for n in labels if n is not None])[0])
    return means[0] / means[1]
