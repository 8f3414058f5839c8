"""Random numbers that are a pure function of their position.

A number depends only on (seed, stream, example index, position), through a
32-bit hash. TensorFlow's stateless generators depend on a whole tensor's shape,
so with them a row would change with the batch size or the number of replicas.
"""

from __future__ import annotations

import tensorflow as tf

_POSITION_BITS = 12
MAX_KEYS = 1 << _POSITION_BITS  # Positions that a sorting key has room for.


def uniforms(
    example_index: tf.Tensor, length: int, seed: int | tf.Tensor, stream: int
) -> tf.Tensor:
    """Returns [batch, length] float32 in [0, 1), multiples of 2**-24.

    Args:
        example_index: [batch] int64.
        length: numbers of each example.
        seed: not negative; or one for each example, [batch] int64 below 2**31.
        stream: not negative.
    """
    bits = _random_bits(example_index, length, seed, stream)
    top = tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32))
    return tf.cast(top, tf.float32) * 2.0**-24


def sorting_keys(
    example_index: tf.Tensor, length: int, seed: int, stream: int
) -> tf.Tensor:
    """Returns [batch, length] int32 >= 0, distinct in each row, random order.

    The low bits are the position, so equal random bits do not make a tie, which
    would make a count inexact. `length` is below `MAX_KEYS`.
    """
    bits = _random_bits(example_index, length, seed, stream)
    high = tf.bitwise.bitwise_and(
        tf.bitwise.right_shift(bits, tf.constant(1, tf.uint32)),
        tf.constant(0x7FFFFFFF & ~((1 << _POSITION_BITS) - 1), tf.uint32),
    )
    return tf.cast(high, tf.int32) + tf.range(length)[tf.newaxis]


def _random_bits(
    example_index: tf.Tensor, length: int, seed: int | tf.Tensor, stream: int
) -> tf.Tensor:
    """[batch, length] uint32, a hash of (seed, stream, example, position)."""
    index = tf.cast(example_index, tf.int64)
    low = tf.cast(tf.bitwise.bitwise_and(index, 0xFFFFFFFF), tf.uint32)
    high = tf.cast(tf.bitwise.right_shift(index, 32), tf.uint32)
    # The seed is hashed alone first: (1, 2) and (2, 1) must differ.
    key = seed * 0x9E3779B1 + stream
    if isinstance(key, int):
        key = tf.constant(key % 2**32, tf.uint32)
    else:
        key = tf.cast(tf.bitwise.bitwise_and(key, 0xFFFFFFFF), tf.uint32)
    key = _mix(key)
    row = _mix(_mix(low ^ key) + high)[:, tf.newaxis]
    place = tf.cast(tf.range(length), tf.uint32) * tf.constant(
        0x9E3779B9, tf.uint32
    )
    return _mix(_mix(place[tf.newaxis] + row) ^ row)


def _mix(x: tf.Tensor) -> tf.Tensor:
    """A bijection of uint32; each output bit depends on all input bits."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= tf.bitwise.right_shift(x, tf.constant(shift, tf.uint32))
        x *= tf.constant(factor, tf.uint32)
    return x ^ tf.bitwise.right_shift(x, tf.constant(16, tf.uint32))
