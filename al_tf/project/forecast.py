"""What will it cost: labels needed until an accuracy, from the rounds so far.

The error follows a power law of the number of labels, `a + b n^-c`
(Hestness et al. 2017, arXiv 1712.00409), here with every (a, c) of a grid and
the b of least squares. Each law is weighed by how well it fits, and by what is
usual: small floors a, exponents c around one half. Bootstrap draws laws, adds
the noise that the rounds so far show, and notes when the target is first seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Fewer rounds say nothing about three parameters.
LEAST_POINTS = 4
DRAWS = 2000
LOW, HIGH = 0.1, 0.9
_EXPONENTS = np.geomspace(0.1, 2.0, 24)
_FLOORS = np.linspace(0.0, 0.95, 20)
# Floors as shares of the smallest error; logarithms of exponents.
_USUAL_FLOOR, _USUAL_EXPONENT, _SPREAD = 1.2, 0.45, 0.8
# The law itself is this share of the error wrong.
_MISFIT = 0.2
# Rounds ahead that are drawn one by one; later ones grow by a tenth.
_NEAR, _FAR = 100, 120


class Forecast(NamedTuple):
    """Number of labels that an accuracy will take.

    Attributes:
        target: the accuracy.
        median: of the number of labels; infinite if it is likelier that no
            number reaches the target.
        low: a tenth of the laws need fewer.
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
        seed: of the bootstrap.

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
    laws = _laws(n, error, test_size)
    random = np.random.default_rng(seed)
    drawn = laws[random.choice(len(laws), DRAWS, p=laws[:, 4])]
    floor, c, b, spread, _, noise = drawn.T[:, :, None]
    b = np.maximum(b + spread * random.standard_normal(b.shape), 0)
    step = max((n[-1] - n[0]) / (len(n) - 1), 1.0)
    near = n[-1] + step * np.arange(1, _NEAR + 1)
    ahead = np.append(near, near[-1] * 1.1 ** np.arange(1, _FAR + 1))
    expected = floor + b * ahead**-c
    wobble = noise * np.sqrt(_variance(expected, test_size))
    seen = expected + wobble * random.standard_normal(expected.shape)
    is_there = seen <= 1 - target
    needed = np.where(is_there.any(1), ahead[is_there.argmax(1)], np.inf)
    low, median, high = np.quantile(
        needed, [LOW, 0.5, HIGH], method="inverted_cdf"
    )
    return Forecast(target, float(median), float(low), float(high))


def _variance(error: np.ndarray, test_size: int) -> np.ndarray:
    """Variance of a measured error: of the test set, and of the law."""
    error = np.clip(error, 1e-4, 1 - 1e-4)
    of_test = error * (1 - error) / max(test_size, 1)
    return of_test + (_MISFIT * error) ** 2


def _laws(n: np.ndarray, error: np.ndarray, test_size: int) -> np.ndarray:
    """`[laws, 6]`: a, c, b, its standard error, weight, noise of the rounds.

    The noise is a multiple of the square root of `_variance`.
    """
    weights = 1 / _variance(error, test_size)
    found = []
    for c in _EXPONENTS:
        power = n**-c
        square = (weights * power) @ power
        for share in _FLOORS:
            rest = error - share * error.min()
            b = max((weights * power) @ rest / square, 0.0)
            residual = rest - b * power
            misfit = (weights * residual) @ residual
            # The rounds share their test set and most of their labels, so
            # that they scatter less than independent measurements.
            noise = np.sqrt((misfit + 1) / (len(n) + 1))
            usual = (np.log(c / _USUAL_EXPONENT) / _SPREAD) ** 2 / 2
            usual += share / _USUAL_FLOOR
            fit = -len(n) / 2 * np.log(misfit + 1) - usual
            found.append(
                (share * error.min(), c, b, noise / np.sqrt(square), fit, noise)
            )
    laws = np.array(found)
    fits = np.exp(laws[:, 4] - laws[:, 4].max())
    laws[:, 4] = fits / fits.sum()
    return laws


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
