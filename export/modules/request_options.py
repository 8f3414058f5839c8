"""Inputs of `generate_with_options`, checked in the graph.

A signature's inputs are all required, so these have a signature of their own;
and they have one number for each text, because servers join requests along the
first dimension.
"""

from __future__ import annotations

import tensorflow as tf

from spactor_tf.config.search_options import SearchOptions
from spactor_tf.inference.token_search import RowOptions

MAX_TEMPERATURE = 100.0
MAX_SEED = 2**31 - 1
INPUTS = (
    tf.TensorSpec([None], tf.int32, name="max_length"),
    tf.TensorSpec([None], tf.float32, name="temperature"),
    tf.TensorSpec([None], tf.int64, name="seed"),
    tf.TensorSpec([None], tf.int32, name="num_beams"),
)


def checked_options(
    options: SearchOptions,
    rows: tf.Tensor,
    max_length: tf.Tensor,
    temperature: tf.Tensor,
    seed: tf.Tensor,
    num_beams: tf.Tensor,
) -> RowOptions:
    """Returns the options of `rows` rows.

    A row beyond the inputs (the filler of an empty batch) gets one token.

    The graph fails with INVALID_ARGUMENT and the input's name where a number
    is out of range, or where there are beams and a temperature.

    Args:
        options: the options whose lengths and beams are the largest.
        rows: int32 scalar, at least as many as the inputs have.
        max_length: [batch] int32, 1 to `max_output_length`.
        temperature: [batch] float32, 0 (greedy) to 100.
        seed: [batch] int64, 0 to 2**31 - 1.
        num_beams: [batch] int32, 1 to `num_beams`.
    """
    # Only one path is sampled.
    bad = (temperature > 0) & (num_beams > 1)
    message = "temperature: must be 0 where num_beams is above 1; got"
    checks = [
        _check_range("max_length", max_length, 1, options.max_output_length),
        _check_range("temperature", temperature, 0.0, MAX_TEMPERATURE),
        _check_range("seed", seed, 0, MAX_SEED),
        _check_range("num_beams", num_beams, 1, options.num_beams),
        tf.debugging.Assert(
            ~tf.reduce_any(bad), [message, tf.boolean_mask(temperature, bad)]
        ),
    ]
    with tf.control_dependencies(checks):
        return RowOptions(
            max_length=_filled(max_length, rows, 1),
            temperature=_filled(temperature, rows, 0),
            seed=_filled(seed, rows, 0),
            num_beams=_filled(num_beams, rows, 1),
        )


def _check_range(
    name: str, value: tf.Tensor, low: float, high: float
) -> tf.Operation:
    # NaN is neither.
    good = (value >= low) & (value <= high)
    message = f"{name}: is out of range; expected {low} to {high}; got"
    bad = tf.boolean_mask(value, ~good)
    return tf.debugging.Assert(tf.reduce_all(good), [message, bad])


def _filled(value: tf.Tensor, rows: tf.Tensor, filler: float) -> tf.Tensor:
    missing = rows - tf.shape(value)[0]
    return tf.pad(value, [[0, missing]], constant_values=filler)
