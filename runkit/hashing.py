"""SplitMix64's hash of 64-bit integers (Steele, Lea and Flood 2014).

Counter-based random numbers are hashes of a counter: no state and no order of
evaluation, hence the same on every machine and in every process.
"""

from __future__ import annotations

from typing import Any

import numpy as np

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def finalize(x: Any) -> Any:
    """Scrambles uint64 numbers; every output bit depends on every input bit.

    A bijection that keeps 0. It is written so that `numba.njit(finalize)`
    gives the same bits inside compiled kernels.

    Args:
        x: uint64 array of any shape; inside a kernel a uint64 number.

    Returns:
        uint64 of the same shape.
    """
    x = (x ^ (x >> np.uint64(30))) * MULTIPLIERS[0]
    x = (x ^ (x >> np.uint64(27))) * MULTIPLIERS[1]
    return x ^ (x >> np.uint64(31))


def splitmix64(x: Any) -> np.ndarray:
    """Returns the output of SplitMix64 at state `x`: `finalize(x + gamma)`.

    Args:
        x: uint64 array of any shape, or one uint64 number.

    Returns:
        `[...]` uint64, distinct for distinct `x`.
    """
    with np.errstate(over="ignore"):  # Numbers wrap around by design.
        return finalize(np.asarray(x, np.uint64) + GOLDEN_GAMMA)
