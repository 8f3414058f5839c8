"""The logs of a claim, as the figures that the report compares."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from experiments.cells import Cell
from experiments.claims import Claim
from experiments.estimates import Interval

Log = Mapping[str, Any]
PLATEAU = 4.2


@dataclasses.dataclass(frozen=True)
class Results:
    """A claim and the logs that it has.

    Attributes:
        claim: as declared.
        logs: by cell name.
    """

    claim: Claim
    logs: Mapping[str, Log]

    def cells(self, **wanted: Any) -> list[tuple[Cell, Log]]:
        """Returns finished cells with these attributes, in declared order."""
        return [
            (cell, self.logs[cell.name])
            for cell in self.claim.cells
            if cell.name in self.logs
            and all(getattr(cell, k) == v for k, v in wanted.items())
        ]

    def curve(self, arm: str) -> dict[int, dict[int, float]]:
        """Returns final losses {budget: {seed: loss}}."""
        found: dict[int, dict[int, float]] = {}
        for cell, log in self.cells(arm=arm):
            found.setdefault(cell.budget, {})[cell.seed] = final_loss(log)
        return dict(sorted(found.items()))

    def scores(self, task: str, arm: str) -> dict[int, list[float]]:
        """Returns primary metrics {pre-training seed: [fine-tuning seed]}."""
        return {
            cell.seed: primary_values(log)
            for cell, log in self.cells(task=task, arm=arm)
        }


def final_loss(log: Log) -> float:
    """Held-out span corruption loss of the last evaluation."""
    return float(log["lines"][-1]["heldout_sc_loss"])


def exit_step(log: Log, bound: float = PLATEAU) -> float:
    """First evaluated step with a held-out loss below; infinity: never."""
    for line in log["lines"]:
        if line.get("heldout_sc_loss", math.inf) < bound:
            return line["step"]
    return math.inf


def primary_values(log: Log) -> list[float]:
    """Primary metric on the validation split, one value per seed."""
    (task,) = log["lines"][0]["tasks"].values()
    return list(task["validation"][task["primary"]]["values"])


def signed(mean: float, error: float | None, decimals: int) -> str:
    """Returns "+0.12 +- 0.03", or without an error that is unknown."""
    shown = f"{mean:+.{decimals}f}"
    return shown if error is None else f"{shown} +- {error:.{decimals}f}"


def steps(value: float) -> str:
    """Returns "2,500", or "never" for infinity."""
    return "never" if math.isinf(value) else f"{value:,.0f}"


def share(value: float) -> str:
    """Returns "0.86", or "never" for infinity."""
    return "never" if math.isinf(value) else f"{value:.2f}"


def interval_words(interval: Interval, word: Callable[[float], str]) -> str:
    """Returns "0.86 (0.80 to 0.95)", each number as `word` writes it."""
    value, low, high = map(word, interval)
    return f"{value} ({low} to {high})"
