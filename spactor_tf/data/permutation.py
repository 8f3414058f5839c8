"""Pseudo-random permutations that are computed place by place.

The arithmetic is written once, for NumPy's arrays and for TensorFlow's tensors,
so that both give the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from runkit.hashing import GOLDEN_GAMMA, MULTIPLIERS

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
    passes, value = np.divmod(position.astype(np.uint64), np.uint64(size))
    half = max(1, -(-int(size - 1).bit_length() // 2))
    value = _feistel(value, passes, np.uint64(half), seed)
    outside = value >= np.uint64(size)
    while outside.any():
        value[outside] = _feistel(
            value[outside], passes[outside], np.uint64(half), seed
        )
        outside = value >= np.uint64(size)
    return value.astype(np.int64)


# Traced once a seed, not once for each data set of a run.
@tf.function(autograph=False)
def shuffled_in_graph(
    place: tf.Tensor, size: tf.Tensor, number: tf.Tensor, seed: int
) -> tf.Tensor:
    """`shuffled(number * size + place, size, seed)` in TensorFlow's operations.

    Args:
        place: [n] int64 in [0, size), places in one pass.
        size: [] int64, at least 1.
        number: [] int64, number of the pass.
        seed: not negative.

    Returns:
        [n] int64 in [0, size).
    """
    limit = tf.cast(size, tf.uint64)
    # 4**half is the smallest power of 4 that is not below the size.
    powers = tf.constant([4**half for half in range(1, 32)], tf.uint64)
    half = 1 + tf.reduce_sum(tf.cast(powers < limit, tf.uint64))
    passes = tf.cast(number, tf.uint64)

    def walk(value: tf.Tensor) -> tuple[tf.Tensor]:
        # Fewer every time; moving all would take ten times as long.
        outside = tf.where(value >= limit)
        moved = _feistel(tf.gather_nd(value, outside), passes, half, seed)
        return (tf.tensor_scatter_nd_update(value, outside, moved),)

    first = _feistel(tf.cast(place, tf.uint64), passes, half, seed)
    (value,) = tf.while_loop(
        lambda value: tf.reduce_any(value >= limit), walk, (first,)
    )
    return tf.cast(value, tf.int64)


def _feistel(value: Any, passes: Any, half: Any, seed: int) -> Any:
    """A bijection of [0, 4**half), one for each pass; all uint64."""
    one = half // half
    mask = _shift_left(one, half) - one
    start = _splitmix64(passes * np.uint64(0) + np.uint64(seed + 1))
    left, right = _shift_right(value, half), value & mask
    for number in range(_FEISTEL_ROUNDS):
        counter = passes * np.uint64(_FEISTEL_ROUNDS) + np.uint64(number)
        key = _splitmix64(counter + start)
        left, right = right, left ^ (_splitmix64(right + key) & mask)
    return _shift_left(left, half) | right


def _splitmix64(x: Any) -> Any:
    """`runkit.hashing.splitmix64`, for tensors too."""
    x = x + GOLDEN_GAMMA
    x = (x ^ _shift_right(x, np.uint64(30))) * MULTIPLIERS[0]
    x = (x ^ _shift_right(x, np.uint64(27))) * MULTIPLIERS[1]
    return x ^ _shift_right(x, np.uint64(31))


def _shift_right(x: Any, bits: Any) -> Any:
    return tf.bitwise.right_shift(x, bits) if tf.is_tensor(x) else x >> bits


def _shift_left(x: Any, bits: Any) -> Any:
    return tf.bitwise.left_shift(x, bits) if tf.is_tensor(x) else x << bits
