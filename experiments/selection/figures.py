"""From logs to figures: differences, ranks, labels to a target, plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from runkit.report import new_figure

_DRAWS = 2000
Runs = Mapping[str, Sequence[Mapping[str, Any]]]


class Curves(NamedTuple):
    """The runs of a setting on the seeds that all of its arms have.

    Attributes:
        arms: names.
        seeds: `[s]`.
        labels: `[rounds + 1]` int.
        accuracy: `[arms, s, rounds + 1]`.
        selection: `[arms]` mean CPU seconds of a run's selections.
        notes: sentences on arms that are not among them, or are in doubt.
        left_out: names of arms that ran on another pool.
    """

    arms: list[str]
    seeds: list[int]
    labels: np.ndarray
    accuracy: np.ndarray
    selection: np.ndarray
    notes: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()

    @property
    def area(self) -> np.ndarray:
        """`[arms, s]` mean accuracy over the rounds after the seed set."""
        return self.accuracy[:, :, 1:].mean(2)


def paired_curves(runs: Runs) -> Curves | None:
    """Returns the runs on common seeds, or None if there is no such seed.

    Args:
        runs: of every arm; arms without runs are left out.
    """
    runs = {arm: lines for arm, lines in runs.items() if lines}
    if not runs:
        return None
    sets = [{line["seed"] for line in lines} for lines in runs.values()]
    seeds = sorted(set.intersection(*sets))
    if not seeds:
        return None
    chosen = {
        arm: sorted(
            (line for line in lines if line["seed"] in seeds),
            key=lambda line: line["seed"],
        )
        for arm, lines in runs.items()
    }
    first = next(iter(chosen.values()))[0]
    return Curves(
        list(chosen),
        seeds,
        np.array(first["labels"]),
        np.array([[x["accuracy"] for x in lines] for lines in chosen.values()]),
        np.array(
            [
                np.mean([x["selection_cpu"] for x in lines])
                for lines in chosen.values()
            ]
        ),
    )


def difference(
    area: np.ndarray, baseline: np.ndarray
) -> tuple[float, float | None]:
    """Mean paired difference and its standard error (None for one seed).

    Args:
        area: `[s]`.
        baseline: `[s]`.
    """
    step = area - baseline
    if len(step) < 2:
        return float(step.mean()), None
    return float(step.mean()), float(step.std(ddof=1) / np.sqrt(len(step)))


def ranks(area: np.ndarray) -> np.ndarray:
    """`[arms, s]` ranks within each seed from 1; equal ones share the mean."""
    larger = (area[None] > area[:, None]).sum(1)
    equal = (area[None] == area[:, None]).sum(1)
    return larger + (equal + 1) / 2


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over seeds.

    Args:
        values: `[s]`.
        seed: of the bootstrap.
    """
    random = np.random.default_rng(seed)
    draws = random.integers(0, len(values), (_DRAWS, len(values)))
    low, high = np.quantile(values[draws].mean(1), (0.025, 0.975))
    return float(low), float(high)


def labels_to(
    labels: np.ndarray, accuracy: np.ndarray, target: float
) -> float | None:
    """Labels at which a mean curve first reaches the target.

    Args:
        labels: `[r]`.
        accuracy: `[r]`; read linearly between the rounds.
        target: accuracy.

    Returns:
        None where the curve stays below.
    """
    for at in np.flatnonzero(accuracy >= target)[:1]:
        if at == 0:
            return float(labels[0])
        low, high = accuracy[at - 1], accuracy[at]
        share = (target - low) / (high - low)
        return float(labels[at - 1] + share * (labels[at] - labels[at - 1]))
    return None


def second_best(curves: Curves, published: Sequence[str]) -> str | None:
    """The published arm with the second-highest area; None with fewer."""
    names = [name for name in curves.arms if name in published]
    if len(names) < 2:
        return None
    mean = dict(zip(curves.arms, curves.area.mean(1), strict=True))
    return sorted(names, key=lambda name: -mean[name])[1]


def plot(curves: Curves, arms: Sequence[int], baseline: str) -> Any:
    """Accuracy less that of an arm over labels, in points; a line an arm.

    Args:
        curves: of a setting.
        arms: positions of those to draw.
        baseline: the arm that is subtracted.

    Returns:
        The figure.
    """
    figure, axes = new_figure(8.0, 4.0)
    mean = 100 * curves.accuracy.mean(1)
    less = mean[curves.arms.index(baseline)]
    styles = ("-", "--", ":")
    for number, i in enumerate(arms):
        axes.plot(
            curves.labels,
            mean[i] - less,
            styles[number // 10],
            label=curves.arms[i],
            linewidth=1.2,
        )
    axes.set(
        xlabel="labels", ylabel=f"accuracy less that of {baseline} (points)"
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=6, ncols=2)
    return figure
