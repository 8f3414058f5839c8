"""A model of what the stages of a distributed clustering cost.

Each stage costs a x (its tasks) + b x (its work); for searches, which all rows
and all pairs of rows share, a is that of a row. It sends c x (its rows), in
searches once for each block that a row meets. The numbers are fitted to
measured runs, none of them negative, by least squares of relative errors. What
is assumed beyond the runs is said in docs/scale.md.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import nnls

# As in al_tf.distributed: bytes of a message, rows of the finisher.
MESSAGE = 64 << 20
STAGES = (
    "read",
    "prepare",
    "copies",
    "contraction",
    "search",
    "recall",
    "lists",
    "certify",
    "pairs",
    "merge",
    "move",
    "scan",
    "state",
)


@dataclasses.dataclass(frozen=True)
class Size:
    """A pool, and how it is clustered.

    Attributes:
        n: rows.
        d: dimension.
        k: neighbors.
        parts: of the pool.
        exact: neighbors are exact.
    """

    n: float
    d: int
    k: int
    parts: int
    exact: bool

    def work(self, stage: str) -> float:
        """What a stage's processor seconds are proportional to."""
        rows = self.n
        if stage in ("search", "contraction"):
            if stage == "contraction":
                return rows * self.d
            if self.exact:
                return rows * rows * self.d
            return rows * self.d * math.sqrt(rows * self.parts)
        if stage == "lists":
            return rows * self.k * self.d
        if stage in ("certify", "pairs", "scan"):
            return rows
        if stage in ("merge", "move"):
            return rows * (self.d + 2 * self.k)
        return rows * self.d

    def features(self, stage: str, tasks: float) -> tuple[float, float]:
        """What the two numbers of a stage's seconds are multiplied with."""
        fixed = self.n * self.d if stage == "search" else tasks
        return fixed, self.work(stage)

    def blocks(self) -> float:
        """Blocks that a row meets in the first search."""
        if not self.exact:
            return self.parts
        block = MESSAGE / (4 * self.d + 12 * self.k + 16)
        return self.parts * math.ceil(self.n / self.parts / block)

    def traffic(self, stage: str) -> tuple[float, float]:
        """What the two numbers of a stage's bytes are multiplied with.

        Whoever renews lists asks for each cluster on them once: the more rows
        a pool has, the fewer stand on several lists of one request.
        """
        if stage == "search":
            return self.n * self.blocks(), 0.0
        if stage != "lists":
            return self.n, 0.0
        names = 2 * self.k + 1
        rows = min(self.n / self.parts, MESSAGE / names / (8 * self.d + 16))
        asked = names * rows / self.n
        return self.n, self.n * (1 - math.exp(-asked)) / asked

    def part_bytes(self) -> float:
        """Memory of a worker for its part, as `read_pool` counts it."""
        row = 3 * 8 * self.d + 2 * self.k * 4 * 3 + 128
        return self.n / self.parts * row


@dataclasses.dataclass(frozen=True)
class Model:
    """Fitted numbers of each stage.

    Attributes:
        seconds: for each stage (of a task, of the work).
        sent: for each stage, see `Size.traffic`.
    """

    seconds: Mapping[str, tuple[float, float]]
    sent: Mapping[str, tuple[float, float]]

    def predict(self, size: Size, tasks: Mapping[str, float]) -> dict[str, Any]:
        """Processor seconds and bytes of each stage, and of all.

        Args:
            size: of the pool.
            tasks: of each stage.
        """
        seconds = {
            stage: float(np.dot(found, size.features(stage, tasks[stage])))
            for stage, found in self.seconds.items()
        }
        sent = {
            stage: float(np.dot(found, size.traffic(stage)))
            for stage, found in self.sent.items()
        }
        return {"seconds": seconds, "bytes": sent}


def fit(runs: Iterable[Mapping[str, Any]]) -> Model:
    """Fits the model.

    Args:
        runs: each with `size`, and `stages`: {name: {"tasks", "cpu_seconds",
            "message_bytes"}}.
    """
    runs = [*runs]
    names = [s for s in STAGES if any(s in run["stages"] for run in runs)]
    seconds, sent = {}, {}
    for name in names:
        own = [run for run in runs if name in run["stages"]]
        costs = [run["stages"][name] for run in own]
        seconds[name] = _solved(
            [
                run["size"].features(name, cost["tasks"])
                for run, cost in zip(own, costs, strict=True)
            ],
            [cost["cpu_seconds"] for cost in costs],
        )
        sent[name] = _solved(
            [run["size"].traffic(name) for run in own],
            [cost["message_bytes"] for cost in costs],
        )
    return Model(seconds, sent)


def tasks_of(runs: Iterable[Mapping[str, Any]], size: Size) -> dict[str, float]:
    """Tasks of each stage at another size.

    Rounds grow with the logarithm of the rows, and a round has as many tasks
    as there are parts. An exact first search has one for each pair of blocks.
    """
    largest = max(runs, key=lambda run: run["size"].n)
    known = largest["size"]
    grown = size.parts / known.parts * math.log(size.n) / math.log(known.n)
    tasks = {
        name: cost["tasks"] * grown for name, cost in largest["stages"].items()
    }
    if size.exact and "search" in tasks:
        tasks["search"] += size.blocks() ** 2 / 2
    return tasks


def _solved(
    features: list[tuple[float, float]], values: list[float]
) -> tuple[float, float]:
    """Two numbers, not negative, by relative least squares."""
    weight = 1 / np.maximum(np.array(values, float), 1e-3)
    table = np.array(features, float) * weight[:, None]
    scale = np.maximum(np.abs(table).max(0), 1e-30)
    found, _ = nnls(table / scale, np.array(values, float) * weight)
    first, second = found / scale
    return float(first), float(second)
