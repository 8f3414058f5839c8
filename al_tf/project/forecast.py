"""What will it cost: labels needed until an accuracy, from the rounds so far.

Drawn with logarithms on both axes, the error is nearly a straight line of the
number of labels: a power law (Hestness et al. 2017, arXiv 1712.00409). But the
slope changes, from a slow start to a fall and to a floor, and no law with few
parameters says when. Here it drifts: the logarithm of the error is a line plus
an integrated Wiener process of the logarithm of the labels, the prior of the
cubic smoothing spline (Wahba 1978). How much it drifts and how much the rounds
scatter are two numbers on a grid, each pair weighed by how likely it makes the
rounds so far. Paths are drawn from all pairs, with the scatter of measured
rounds, and each notes when the target is first seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Fewer rounds say nothing about a slope and its drift.
LEAST_POINTS = 4
DRAWS = 2000
LOW, HIGH = 0.1, 0.9
# Of the line: its slope and what it may differ by; its height is open.
_SLOPE, _SLOPE_SPREAD, _HEIGHT_SPREAD = -0.5, 0.4, 1.0
# Deviation of the slope's change while the labels become e times as many.
_DRIFTS = (0.1, 0.2, 0.4, 0.8, 1.6)
_USUAL_DRIFT, _DRIFT_SPREAD = 0.4, 0.7
# Variance of a round, as a share of a new test set's. The rounds have theirs
# in common, so that they scatter less.
_SCATTERS = (0.03, 0.1, 0.3, 1.0, 3.0)
_LEAST_VARIANCE = 1e-6
# Rounds ahead that are drawn one by one; later ones grow by a tenth.
_NEAR, _FAR = 60, 60


class Forecast(NamedTuple):
    """Number of labels that an accuracy will take.

    Attributes:
        target: the accuracy.
        median: of the number of labels; infinite if it is likelier that no
            number reaches the target.
        low: a tenth of the paths need fewer.
        high: a tenth need more; may be infinite.
    """

    target: float
    median: float
    low: float
    high: float


class Held(NamedTuple):
    """How a forecast of an earlier round held.

    Attributes:
        labels: when it was made.
        forecast: what it said.
        needed: labels of the first round that reached the target.
    """

    labels: int
    forecast: Forecast
    needed: int

    @property
    def is_inside(self) -> bool:
        """Whether the interval held the number."""
        return self.forecast.low <= self.needed <= self.forecast.high


def forecast(
    labels: Sequence[int],
    accuracies: Sequence[float],
    target: float,
    *,
    test_size: int,
    seed: int = 0,
) -> Forecast | None:
    """Forecasts the number of labels until an accuracy.

    Args:
        labels: numbers of labels of the rounds, ascending.
        accuracies: in [0, 1], measured after them.
        target: accuracy that is wanted, in (0, 1).
        test_size: number of test examples.
        seed: of the draws.

    Returns:
        None with fewer than `LEAST_POINTS` rounds. An accuracy that a round
        has reached takes the labels of the first such round.
    """
    n, error = np.asarray(labels, float), 1 - np.asarray(accuracies, float)
    reached = np.flatnonzero(error <= 1 - target)
    if len(reached):
        first = float(n[reached[0]])
        return Forecast(target, first, first, first)
    if len(n) < LEAST_POINTS:
        return None
    step = max((n[-1] - n[0]) / (len(n) - 1), 1.0)
    near = n[-1] + step * np.arange(1, _NEAR + 1)
    ahead = np.append(near, near[-1] * 1.1 ** np.arange(1, _FAR + 1))
    random = np.random.default_rng(seed)
    seen = _drawn_errors(n, error, ahead, max(test_size, 1), random)
    is_there = seen <= 1 - target
    needed = np.where(is_there.any(1), ahead[is_there.argmax(1)], np.inf)
    low, median, high = np.quantile(
        needed, [LOW, 0.5, HIGH], method="inverted_cdf"
    )
    return Forecast(target, float(median), float(low), float(high))


class _Model(NamedTuple):
    """How much the slope drifts and the rounds scatter, and what follows.

    Attributes:
        scatter: one of `_SCATTERS`.
        cov: `[times, times]` covariance of the log error, drift included.
        root: Cholesky root of the measured rounds' part, with their scatter.
        white: the rounds' log error above the usual line, over `root`.
        fit: logarithm of how likely it makes the rounds, and of how usual.
    """

    scatter: float
    cov: np.ndarray
    root: np.ndarray
    white: np.ndarray
    fit: float


def _drawn_errors(
    n: np.ndarray,
    error: np.ndarray,
    ahead: np.ndarray,
    test_size: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Draws what later rounds may measure, `[DRAWS, len(ahead)]`."""
    rounds = len(n)
    time = np.log(np.maximum(np.append(n, ahead), 1) / max(n[0], 1))
    mean = np.log(error[0]) + _SLOPE * time
    of_test = (1 - error + 1 / test_size) / (error * test_size)
    models = _models(time, np.log(error) - mean[:rounds], of_test)
    fits = np.array([model.fit for model in models])
    weights = np.exp(fits - fits.max())
    counts = random.multinomial(DRAWS, weights / weights.sum())
    drawn = []
    for count, model in zip(counts, models, strict=True):
        if not count:
            continue
        known = np.linalg.solve(model.root, model.cov[:rounds, rounds:])
        left = model.cov[rounds:, rounds:] - known.T @ known
        values, axes = np.linalg.eigh(left)
        axes *= np.sqrt(np.maximum(values, 0))
        path = mean[rounds:] + model.white @ known
        path = path + random.standard_normal((count, len(ahead))) @ axes.T
        expected = np.exp(np.minimum(path, 0))
        of_round = model.scatter * expected * (1 - expected) / test_size
        jitter = random.standard_normal(path.shape)
        drawn.append(expected + np.sqrt(of_round) * jitter)
    return np.concatenate(drawn)


def _models(
    time: np.ndarray, rest: np.ndarray, of_test: np.ndarray
) -> list[_Model]:
    """Every drift with every scatter.

    Args:
        time: `[times]` logarithms of the labels, those of the rounds first.
        rest: `[rounds]` log error above the usual line.
        of_test: `[rounds]` variance of it that a new test set would give.
    """
    rounds = len(rest)
    line = _HEIGHT_SPREAD**2 + _SLOPE_SPREAD**2 * np.outer(time, time)
    short, long = np.minimum.outer(time, time), np.maximum.outer(time, time)
    wiener = short**2 * (3 * long - short) / 6
    found = []
    for drift in _DRIFTS:
        cov = line + drift**2 * wiener
        usual = np.log(drift / _USUAL_DRIFT) / _DRIFT_SPREAD
        for scatter in _SCATTERS:
            noise = np.diag(scatter * of_test + _LEAST_VARIANCE)
            root = np.linalg.cholesky(cov[:rounds, :rounds] + noise)
            white = np.linalg.solve(root, rest)
            fit = -(white @ white) / 2 - np.log(np.diag(root)).sum()
            found.append(_Model(scatter, cov, root, white, fit - usual**2 / 2))
    return found


def held(
    labels: Sequence[int],
    accuracies: Sequence[float],
    target: float,
    *,
    test_size: int,
) -> list[Held]:
    """How the forecasts of earlier rounds held, for an accuracy reached since.

    Returns:
        One for each round before the first that reached the target and had
        enough rounds before it; none if no round has.
    """
    reached = [i for i, a in enumerate(accuracies) if a >= target]
    if not reached:
        return []
    found = []
    for end in range(LEAST_POINTS, reached[0] + 1):
        made = forecast(
            labels[:end], accuracies[:end], target, test_size=test_size
        )
        if made is not None:
            needed = labels[reached[0]]
            found.append(Held(labels[end - 1], made, needed))
    return found


def advice(made: Forecast | None, labels: int, left: int) -> str:
    """What to do next, in one sentence.

    Args:
        made: the forecast; None without enough rounds.
        labels: the number of labels so far.
        left: examples of the pool that have no label.
    """
    if made is None:
        return f"Go on: a forecast needs {LEAST_POINTS} measured rounds."
    if made.high <= labels:
        return "Stop: the accuracy is reached."
    if made.low > labels + left:
        return (
            "Stop or change something: the pool is unlikely to suffice. "
            "Better embeddings, another model or a larger pool would help "
            "more than labels."
        )
    more = max(made.median - labels, 0)
    if made.median > labels + left:
        return "Doubtful: the pool may not suffice for this accuracy."
    return f"Go on: about {more:,.0f} more labels."
