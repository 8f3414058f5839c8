"""Order and rate of a short training: pure functions of seed and step."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np


def positions(
    count: int, batch_size: int, steps: int, seed: int
) -> Iterator[np.ndarray]:
    """Yields batches: every example once, in a new order, then again.

    Args:
        count: number of examples, at least 1.
        batch_size: of every batch; one may span two passes.
        steps: number of batches.
        seed: of the orders, not negative.

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


def rate_factor(step: int, steps: int) -> float:
    """Factor of the learning rate: linear for a tenth, then half a cosine."""
    warm_up = max(1, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return 0.5 * (1 + math.cos(math.pi * done))
