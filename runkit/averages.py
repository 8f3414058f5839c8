"""Mean and standard error of repeated runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Returns the mean and its standard error, s / sqrt(n).

    Args:
        values: one per run, at least one.

    Returns:
        (mean, standard error); None is the unknown error of one value.
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    return mean, statistics.stdev(values) / len(values) ** 0.5


def in_words(values: Sequence[float], decimals: int = 4) -> str:
    """Returns "0.8125 +- 0.0125", or the mean alone if the error is unknown."""
    mean, error = mean_and_error(values)
    shown = f"{mean:.{decimals}f}"
    return shown if error is None else f"{shown} +- {error:.{decimals}f}"
