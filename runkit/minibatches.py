"""Example order and learning rate of short trainings; scoring in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np


def positions(
    count: int, batch_size: int, steps: int, seed: int
) -> Iterator[np.ndarray]:
    """Yields batches: every example once, in a new order, then again.

    Args:
        count: number of examples, at least 1.
        batch_size: of every batch; one may span two passes.
        steps: number of batches.
        seed: random seed of the orders, not negative.

    Yields:
        `[batch_size]` int64 in [0, count).
    """
    random = np.random.default_rng(seed)
    waiting = np.zeros(0, np.int64)
    for _ in range(steps):
        while len(waiting) < batch_size:
            waiting = np.concatenate([waiting, random.permutation(count)])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def steps_for(
    count: int, batch_size: int, least: int, passes: float = 0.0
) -> int:
    """Steps of a training that sees every example a number of times.

    Args:
        count: number of examples.
        batch_size: of every step.
        least: steps even if they are more passes than asked for.
        passes: over all the examples, not negative.

    Returns:
        The larger of `least` and the steps of that many passes.
    """
    return max(least, math.ceil(passes * count / batch_size))


def rate_factor(step: int, steps: int) -> float:
    """Factor of the learning rate: linear for a tenth, then half a cosine."""
    warm_up = max(1, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return 0.5 * (1 + math.cos(math.pi * done))


def in_batches(
    function: Callable[[np.ndarray], Sequence[Any]],
    rows: np.ndarray,
    batch_size: int,
    filler: int = 0,
) -> tuple[np.ndarray, ...]:
    """Applies a function of one batch to any number of rows.

    Every batch has the same shape, so that a traced function is traced once:
    the last is padded, and without rows there is one batch of padding.

    Args:
        function: takes `[batch_size, ...]`, returns tensors of `batch_size`
            rows.
        rows: `[n, ...]`.
        batch_size: rows per call.
        filler: value of the padding.

    Returns:
        One array of n rows for each of the function's results.
    """
    parts = []
    for start in range(0, max(1, len(rows)), batch_size):
        batch = rows[start : start + batch_size]
        short = batch_size - len(batch)
        widths = [(0, short)] + [(0, 0)] * (batch.ndim - 1)
        full = np.pad(batch, widths, constant_values=filler)
        answers = function(full)
        parts.append([np.asarray(a)[: batch_size - short] for a in answers])
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))
