"""Pseudo-random permutations that are computed place by place."""

from __future__ import annotations

import numpy as np

from runkit.hashing import splitmix64

# Four rounds leave the orders of a few dozen windows visibly uneven.
_FEISTEL_ROUNDS = 8


def shuffled(position: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Maps places in the endless order of examples to examples.

    Each pass is a pseudo-random permutation of range(size): Feistel rounds on
    the next even number of bits, repeated until the value falls below `size`.
    It needs no memory, however large `size` is.

    Args:
        position: [n] int64 >= 0; `position // size` is the pass.
        size: examples in a pass.
        seed: of the run; not negative.

    Returns:
        [n] int64 in [0, size).
    """
    position = np.asarray(position, np.int64)
    passes, value = np.divmod(position, size)
    half = max(1, -(-int(size - 1).bit_length() // 2))
    # One set of keys per pass: [rounds, n] uint64.
    rounds = np.arange(_FEISTEL_ROUNDS, dtype=np.uint64)[:, np.newaxis]
    base = passes.astype(np.uint64) * np.uint64(_FEISTEL_ROUNDS) + rounds
    keys = splitmix64(
        base + splitmix64(np.uint64(seed + 1) + np.zeros_like(base))
    )
    value = _feistel(value.astype(np.uint64), keys, half)
    outside = value >= size
    while outside.any():
        value[outside] = _feistel(value[outside], keys[:, outside], half)
        outside = value >= size
    return value.astype(np.int64)


def _feistel(value: np.ndarray, keys: np.ndarray, half: int) -> np.ndarray:
    """A bijection of [0, 4**half), chosen by the keys."""
    mask = np.uint64((1 << half) - 1)
    left, right = value >> np.uint64(half), value & mask
    for key in keys:
        left, right = right, left ^ (splitmix64(right + key) & mask)
    return (left << np.uint64(half)) | right
