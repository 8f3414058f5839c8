"""Statistics of the claims: pure functions of numbers, with known answers.

Intervals are bootstraps over seeds with a fixed random state, so the same logs
give the same report. A run that never arrives counts as infinity.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from runkit.averages import mean_and_error

RESAMPLES = 2000
# Final losses: {budget: {seed: loss}}.
Curve = Mapping[int, Mapping[int, float]]


class Interval(NamedTuple):
    """An estimate and its central 90 % interval; infinite where unknown."""

    value: float
    low: float
    high: float


def quantile(values: Sequence[float], q: float) -> float:
    """Returns the smallest value that a share `q` of the values reach.

    An order statistic, so that infinity (never) needs no arithmetic.

    Args:
        values: at least one; infinity is allowed.
        q: in (0, 1].
    """
    ordered = sorted(values)
    # Rounded, because 0.9 * 10 may come out a little above 9.
    return ordered[math.ceil(round(q * len(ordered), 9)) - 1]


def median(values: Sequence[float]) -> float:
    """Returns the lower median; infinity where fewer than half arrive."""
    return quantile(values, 0.5)


def bootstrap(
    items: Sequence, estimate: Callable[[Sequence], float], seed: int = 0
) -> Interval:
    """Returns an estimate with its interval over resampled items.

    Args:
        items: one per seed, at least one.
        estimate: a number from as many items.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(items), size=(RESAMPLES, len(items)))
    found = [estimate([items[i] for i in draw]) for draw in draws]
    value = estimate(items)
    return Interval(value, quantile(found, 0.05), quantile(found, 0.95))


def whole_seeds(*curves: Curve) -> tuple[list[int], list[int]]:
    """Returns (budgets, seeds) for which every curve has all values.

    The budgets are those that any seed has in all curves, so that a budget in
    progress does not hide the finished ones.
    """
    shared = set.intersection(*(set(curve) for curve in curves))
    common = {
        budget: set.intersection(*(set(curve[budget]) for curve in curves))
        for budget in shared
    }
    budgets = sorted(budget for budget, seeds in common.items() if seeds)
    if not budgets:
        return [], []
    # The largest number of budgets that some seed has, then its seeds.
    best: tuple[list[int], list[int]] = ([], [])
    for seed in sorted(set.union(*common.values())):
        mine = [b for b in budgets if seed in common[b]]
        seeds = sorted(set.intersection(*(common[b] for b in mine)))
        if len(mine) > len(best[0]):
            best = (mine, seeds)
    return best


def budget_to_reach(
    budgets: Sequence[float], losses: Sequence[float], target: float
) -> float:
    """Returns the budget at which a curve of final losses reaches a target.

    Linear in the logarithm of the budget between neighbors; the first place
    where the curve is at or below the target.

    Args:
        budgets: ascending.
        losses: at these budgets.
        target: the loss.

    Returns:
        Infinity if the curve never gets there; the smallest budget, an upper
        bound, if it is there already.
    """
    if losses[0] <= target:
        return float(budgets[0])
    for i in range(1, len(budgets)):
        if losses[i] <= target:
            share = (losses[i - 1] - target) / (losses[i - 1] - losses[i])
            low, high = math.log(budgets[i - 1]), math.log(budgets[i])
            return math.exp(low + share * (high - low))
    return math.inf


def budget_ratio(
    baseline: Curve,
    arm: Curve,
    reference: int,
    cost: Callable[[float], float] = lambda budget: budget,
    baseline_cost: Callable[[float], float] = lambda budget: budget,
) -> tuple[Interval, int] | None:
    """Returns what an arm needs for the baseline's final loss, as a share.

    Args:
        baseline: final losses of the baseline.
        arm: of the arm.
        reference: budget of the baseline whose loss is to be reached.
        cost: of a budget of the arm (FLOPs); steps by default.
        baseline_cost: of a budget of the baseline.

    Returns:
        (ratio with its interval over seeds, number of seeds), or None where
        the curves have too few values.
    """
    budgets, seeds = whole_seeds(baseline, arm)
    if reference not in budgets or len(budgets) < 2:
        return None

    def ratio(drawn: Sequence[int]) -> float:
        target = _mean(baseline[reference], drawn)
        losses = [_mean(arm[budget], drawn) for budget in budgets]
        found = budget_to_reach(budgets, losses, target)
        if math.isinf(found):
            return math.inf
        return cost(found) / baseline_cost(reference)

    return bootstrap(seeds, ratio), len(seeds)


def _mean(losses: Mapping[int, float], seeds: Sequence[int]) -> float:
    return statistics.fmean(losses[seed] for seed in seeds)


def paired_difference(
    arm: Mapping[int, Sequence[float]], other: Mapping[int, Sequence[float]]
) -> tuple[float, float | None, int] | None:
    """Compares two arms that share pre-training and fine-tuning seeds.

    The difference is taken seed by seed and averaged over fine-tuning seeds;
    the spread of these means over pre-training seeds holds the noise of both
    kinds of seed.

    Args:
        arm: {pre-training seed: one value per fine-tuning seed}.
        other: the same of the other arm.

    Returns:
        (mean of arm - other, standard error or None for one pre-training seed,
        pre-training seeds in common), or None without a common one.
    """
    means = seed_differences(arm, other)
    if not means:
        return None
    return (*mean_and_error(list(means.values())), len(means))


def seed_differences(
    arm: Mapping[int, Sequence[float]], other: Mapping[int, Sequence[float]]
) -> dict[int, float]:
    """Returns the mean paired difference of every common pre-training seed."""
    return {
        seed: statistics.fmean(
            a - b for a, b in zip(arm[seed], other[seed], strict=True)
        )
        for seed in sorted(set(arm) & set(other))
    }


def mean_over_tasks(
    differences: Mapping[str, Mapping[int, float]],
) -> tuple[float, float | None, int] | None:
    """Averages tasks within a pre-training seed, then over these seeds.

    Tasks of one pre-training seed share its luck, so they are not independent.

    Args:
        differences: {task: {pre-training seed: difference}}.

    Returns:
        (mean, standard error or None for one seed, seeds that have all tasks),
        or None without such a seed.
    """
    if not differences:
        return None
    seeds = set.intersection(*(set(d) for d in differences.values()))
    if not seeds:
        return None
    means = [
        statistics.fmean(d[seed] for d in differences.values())
        for seed in sorted(seeds)
    ]
    return (*mean_and_error(means), len(means))


def unpaired_difference(
    arm: Sequence[float], other: Sequence[float]
) -> tuple[float, float | None]:
    """Returns the difference of two means and its standard error (Welch)."""
    mean, error = mean_and_error(arm)
    other_mean, other_error = mean_and_error(other)
    if error is None or other_error is None:
        return mean - other_mean, None
    return mean - other_mean, math.hypot(error, other_error)
