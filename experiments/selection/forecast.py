r"""How well forecasts of the labels needed hold, on learning curves of pools.

    nice -n 19 python -m experiments.selection.run --declaration=forecast
    python -m experiments.selection.forecast

`forecast.toml` declares the curves. The targets of a strategy are the
accuracies that its mean curve has after 30, 45 and 60 % of the rounds. For each
seed and target the forecast is made from the rounds up to a third of the labels
that the seed really needed, and the interval of 80 % holds that number or not.
Writes `benchmarks/results/al_forecast.json`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from al_tf.project import forecast as cost
from benchmarks import harness
from experiments.selection import declaration, figures, logs
from experiments.selection.declaration import Benchmark, Setting
from experiments.selection.figures import Curves
from runkit import run_binary

FLAGS = flags.FLAGS
SHARES = (0.3, 0.45, 0.6)
# Test examples of the pools, which the logs do not name.
TEST_SIZES = {"digits": 500, "imdb": 5000, "cifar10": 5000, "sst2_20k": 872}


_NOTE = (
    "Logistic regression on fixed embeddings; batches of 10 (digits) and 50. "
    "Choice: the forecast's constants were chosen on these pools; test: they "
    "were not looked at before. Left out: the target was not reached and the "
    "interval goes on beyond the curve. Median: 1 would be unbiased."
)


class Case(NamedTuple):
    """A forecast and what came true.

    Attributes:
        arm: strategy.
        seed: of the curve.
        made: the forecast.
        needed: labels of the first round that reached the target; infinite
            if none did.
        last: labels of the curve's last round.
    """

    arm: str
    seed: int
    made: cost.Forecast
    needed: float
    last: int

    @property
    def is_inside(self) -> bool | None:
        """Whether the interval holds the number; None: nobody knows."""
        if np.isfinite(self.needed):
            return self.made.low <= self.needed <= self.made.high
        return False if self.made.high <= self.last else None


def targets_of(curves: np.ndarray) -> list[float]:
    """Accuracies of the mean curve after `SHARES` of the rounds.

    Args:
        curves: `[seeds, rounds]` accuracies.
    """
    best = np.maximum.accumulate(curves.mean(0))
    return [float(best[round(s * (len(best) - 1))]) for s in SHARES]


def cases_of(curves: Curves, test_size: int) -> Iterator[Case]:
    """Yields a case for each arm, target and seed with enough rounds.

    Args:
        curves: of one pool.
        test_size: number of its test examples.
    """
    labels = curves.labels
    for arm, of_arm in zip(curves.arms, curves.accuracy, strict=True):
        for target in targets_of(of_arm):
            for seed, accuracy in zip(curves.seeds, of_arm, strict=True):
                is_there = accuracy >= target
                needed = (
                    float(labels[is_there.argmax()])
                    if is_there.any()
                    else np.inf
                )
                known = labels <= min(needed, float(labels[-1])) / 3
                made = cost.forecast(
                    labels[known].tolist(),
                    accuracy[known].tolist(),
                    target,
                    test_size=test_size,
                )
                if made is not None:
                    yield Case(arm, seed, made, needed, int(labels[-1]))


def row_of(name: str, purpose: str, cases: Sequence[Case]) -> dict[str, Any]:
    """A line of the table.

    Args:
        name: what the cases have in common.
        purpose: whether constants were chosen on them.
        cases: at least one.
    """
    known = [case for case in cases if case.is_inside is not None]
    inside = sum(bool(case.is_inside) for case in known)
    needed = np.array([case.needed for case in known])
    low, median, high = (
        np.array([getattr(case.made, field) for case in known])
        for field in ("low", "median", "high")
    )
    width = float(np.median(high / low))
    return {
        "pool": name,
        "for": purpose,
        "cases": len(known),
        "inside": inside,
        "share inside": inside / len(known),
        "more were needed": int((needed > high).sum()),
        "fewer were needed": int((needed < low).sum()),
        "median of high / low": width if np.isfinite(width) else "open",
        "no upper end": int(np.isinf(high).sum()),
        "median of median / needed": float(np.median(median / needed)),
        "left out": len(cases) - len(known),
    }


def rows_of(benchmark: Benchmark, folder: pathlib.Path) -> list[dict[str, Any]]:
    """All lines: each pool, each strategy, each purpose."""
    rows: list[dict[str, Any]] = []
    every: list[tuple[Setting, Case]] = []
    for setting in benchmark.settings.values():
        runs = {
            arm.name: logs.read(setting, arm, folder)
            for arm in benchmark.arms_of(setting)
        }
        curves = figures.paired_curves(runs)
        if curves is None:
            continue
        cases = list(cases_of(curves, TEST_SIZES[setting.pool]))
        every += [(setting, case) for case in cases]
        name = f"{setting.pool}, {len(curves.seeds)} seeds"
        rows.append(row_of(name, _purpose(setting.chooses), cases))
    for arm in benchmark.arms:
        chosen = [case for _, case in every if case.arm == arm]
        rows.append(row_of(f"all, {arm}", "both", chosen))
    for chooses in (True, False):
        chosen = [case for s, case in every if s.chooses == chooses]
        if chosen:
            rows.append(row_of("all", _purpose(chooses), chosen))
    return rows


def _purpose(chooses: bool) -> str:
    return "choice" if chooses else "test"


def main(argv: Sequence[str]) -> None:
    """Tries all forecasts and records the table."""
    del argv
    benchmark = declaration.load(declaration.path_of("forecast"))
    rows = rows_of(benchmark, pathlib.Path(FLAGS.logs_dir or logs.FOLDER))
    for row in rows:
        print(*row.values(), sep="  ")
    harness.record("al_forecast", rows, notes=[_NOTE])


def run() -> None:
    """Entry point."""
    if "logs_dir" not in FLAGS:
        flags.DEFINE_string("logs_dir", None, "Folder of the logs.")
    run_binary(main)


if __name__ == "__main__":
    run()
