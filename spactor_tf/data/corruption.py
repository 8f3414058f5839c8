"""Span corruption and generator masking: pure, batched, static shapes.

Terms (T5, arXiv 1910.10683, section 3.1.4; ELECTRA, arXiv 2003.10555):

    raw tokens        [batch, raw_length], a packed window of the corpus
    noise span        consecutive raw tokens that are removed
    sentinel          the id that replaces a noise span; the i-th span of a row
                      gets sentinel i
    encoder tokens    raw tokens with every noise span replaced by its sentinel,
                      then EOS: [batch, input_length]
    decoder targets   for every span its sentinel and its tokens, then EOS (then
                      padding, if a longer target is asked for):
                      [batch, target_length]

With a fixed raw length the numbers of noise tokens and of noise spans are fixed
too, so every shape is static and no row is padded because of too few tokens.

All randomness is counter-based (`counter_random`): an example is the same on
one device or on eight, in any batch size, and after a restart.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from runkit import InputError
from spactor_tf.config.model import NUM_SENTINELS, CorruptionConfig
from spactor_tf.data.counter_random import MAX_KEYS, sorting_keys, uniforms

# Streams of random numbers, one per use.
_NOISE_SPANS, _KEPT_SPANS, _MASKING, _REPLACEMENT = range(4)


@dataclasses.dataclass(frozen=True)
class CorruptionLengths:
    """Static sizes of corrupted examples, derived from a CorruptionConfig.

    Attributes:
        raw_length: tokens of a packed window.
        noise_tokens: noise tokens of a window.
        noise_spans: noise spans of a window.
        input_length: encoder tokens, EOS included.
        target_length: decoder targets, EOS and padding included.
        mlm_tokens: positions that the generator predicts.
    """

    raw_length: int
    noise_tokens: int
    noise_spans: int
    input_length: int
    target_length: int
    mlm_tokens: int


def corruption_lengths(config: CorruptionConfig) -> CorruptionLengths:
    """Solves for the raw length that fills `input_length` exactly.

    Raises:
        InputError: no raw length gives that input length; the target does not
            fit; or there are more spans than sentinels.
    """
    config.validate()
    target = config.input_length
    # The input length never decreases when the raw length grows by one, so
    # counting up finds the raw lengths that reach it; T5 takes the longest.
    raw = 2
    while _sizes(config, raw)[2] < target and raw < MAX_KEYS:
        raw += 1
    while _sizes(config, raw + 1)[2] == target and raw < MAX_KEYS:
        raw += 1
    noise, spans, inputs, targets = _sizes(config, raw)
    _check_lengths(config, raw, noise, spans, inputs, targets)
    kept = raw - noise
    return CorruptionLengths(
        raw_length=raw,
        noise_tokens=noise,
        noise_spans=spans,
        input_length=inputs,
        target_length=config.target_length or targets,
        mlm_tokens=max(1, round(config.mlm_mask_rate * kept)),
    )


def _sizes(config: CorruptionConfig, raw: int) -> tuple[int, int, int, int]:
    noise = min(max(round(raw * config.noise_density), 1), raw - 1)
    spans = max(1, round(noise / config.mean_noise_span_length))
    spans = min(spans, noise, raw - noise)
    return noise, spans, raw - noise + spans + 1, noise + spans + 1


def _check_lengths(
    config: CorruptionConfig,
    raw: int,
    noise: int,
    spans: int,
    inputs: int,
    targets: int,
) -> None:
    where = "corruption.input_length"
    if raw >= MAX_KEYS:
        raise InputError(
            "is too long",
            where=where,
            got=config.input_length,
            expected=f"at most {MAX_KEYS - 1} raw tokens",
            remedy="Shorten it or lower corruption.noise_density",
        )
    if inputs != config.input_length:
        raise InputError(
            "cannot be filled exactly",
            where=where,
            got=config.input_length,
            remedy=f"The nearest length above is {inputs}",
        )
    if spans > NUM_SENTINELS:
        raise InputError(
            f"needs {spans} sentinels, one per noise span",
            where=where,
            got=config.input_length,
            expected=f"at most {NUM_SENTINELS} noise spans",
            remedy="Shorten it or raise corruption.mean_noise_span_length",
        )
    if config.target_length is not None and config.target_length < targets:
        raise InputError(
            "the targets do not fit",
            where="corruption.target_length",
            got=config.target_length,
            expected=f"at least {targets}",
        )


class CorruptedBatch(NamedTuple):
    """The result of `span_corrupt`; shapes as in the module docstring."""

    encoder_tokens: tf.Tensor
    decoder_targets: tf.Tensor


def span_corrupt(
    tokens: tf.Tensor,
    example_index: tf.Tensor,
    *,
    lengths: CorruptionLengths,
    sentinel_ids: tf.Tensor,
    seed: int = 0,
    eos_id: int = 1,
    pad_id: int = 0,
) -> CorruptedBatch:
    """Corrupts a batch of packed windows.

    Args:
        tokens: [batch, raw_length] int32.
        example_index: [batch] int64, number of each example in the run.
        lengths: from `corruption_lengths`.
        sentinel_ids: [>= noise_spans] int32, in order of use.
        seed: of the run.
        eos_id: ends inputs and targets.
        pad_id: pads targets to the target length.

    Returns:
        CorruptedBatch of [batch, input_length] and [batch, target_length]
        int32. A row begins with kept tokens and ends with a noise span, as in
        T5.
    """
    noise, starts = random_noise_mask(example_index, lengths, seed)
    sentinel_ids = tf.cast(sentinel_ids[: lengths.noise_spans], tf.int32)
    # Number of the noise span that a position belongs to or comes after.
    span = tf.cumsum(tf.cast(starts, tf.int32), axis=1) - 1
    sentinels = tf.gather(sentinel_ids, tf.maximum(span, 0))
    # An input keeps what is not noise and the first position of each span.
    inputs = tf.boolean_mask(
        tf.where(starts, sentinels, tokens), starts | ~noise
    )
    batch = tf.shape(tokens)[0]
    inputs = tf.reshape(inputs, [batch, lengths.input_length - 1])
    targets = _targets(tokens, noise, span, sentinel_ids, lengths)
    return CorruptedBatch(
        _end(inputs, lengths.input_length, eos_id, pad_id),
        _end(targets, lengths.target_length, eos_id, pad_id),
    )


def _targets(
    tokens: tf.Tensor,
    noise: tf.Tensor,
    span: tf.Tensor,
    sentinel_ids: tf.Tensor,
    lengths: CorruptionLengths,
) -> tf.Tensor:
    """[batch, noise_tokens + noise_spans] int32: sentinel, tokens, ..."""
    batch = tf.shape(tokens)[0]
    noise_tokens = tf.reshape(
        tf.boolean_mask(tokens, noise), [batch, lengths.noise_tokens]
    )
    span_of = tf.reshape(
        tf.boolean_mask(span, noise), [batch, lengths.noise_tokens]
    )
    # The j-th noise token comes after the sentinels of spans 0 .. span_of[j].
    width = lengths.noise_tokens + lengths.noise_spans
    columns = tf.range(lengths.noise_tokens)[tf.newaxis] + span_of + 1
    rows = tf.broadcast_to(tf.range(batch)[:, tf.newaxis], tf.shape(columns))
    places = tf.stack([rows, columns], axis=-1)
    filled = tf.scatter_nd(places, noise_tokens, [batch, width])
    is_token = tf.scatter_nd(places, tf.ones_like(noise_tokens), [batch, width])
    sentinel = tf.cumsum(1 - is_token, axis=1) - 1
    return tf.where(
        is_token > 0, filled, tf.gather(sentinel_ids, tf.maximum(sentinel, 0))
    )


def _end(rows: tf.Tensor, length: int, eos_id: int, pad_id: int) -> tf.Tensor:
    """Appends EOS and pads to `length`."""
    rows = tf.pad(rows, [[0, 0], [0, 1]], constant_values=eos_id)
    missing = length - rows.shape[1]
    return tf.pad(rows, [[0, 0], [0, missing]], constant_values=pad_id)


def random_noise_mask(
    example_index: tf.Tensor, lengths: CorruptionLengths, seed: int = 0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws noise spans, uniformly from all ways to split the row.

    Noise and kept tokens are each split into `noise_spans` pieces of at least
    one token, and the pieces alternate, kept tokens first.

    Args:
        example_index: [batch] int64.
        lengths: from `corruption_lengths`.
        seed: of the run.

    Returns:
        (noise, starts): [batch, raw_length] bool; noise tokens, and those that
        begin a noise span. Every row has exactly `noise_tokens` and
        `noise_spans` of them.
    """
    spans = lengths.noise_spans
    noise = _random_lengths(
        example_index, lengths.noise_tokens, spans, seed, _NOISE_SPANS
    )
    kept = _random_lengths(
        example_index,
        lengths.raw_length - lengths.noise_tokens,
        spans,
        seed,
        _KEPT_SPANS,
    )
    # Ends of the pieces along the row, in the order kept, noise, kept, ...
    begin = tf.cumsum(kept, axis=1) + tf.cumsum(noise, axis=1, exclusive=True)
    batch = tf.shape(begin)[0]
    shape = [batch, lengths.raw_length + 1]  # One position after the row.
    rows = tf.broadcast_to(tf.range(batch)[:, tf.newaxis], tf.shape(begin))
    ones = tf.ones_like(begin)
    starts = tf.scatter_nd(tf.stack([rows, begin], -1), ones, shape)
    stops = tf.scatter_nd(tf.stack([rows, begin + noise], -1), ones, shape)
    inside = tf.cumsum(starts - stops, axis=1)[:, :-1]
    return inside > 0, starts[:, :-1] > 0


def _random_lengths(
    example_index: tf.Tensor, items: int, pieces: int, seed: int, stream: int
) -> tf.Tensor:
    """[batch, pieces] int32, at least 1 each, sum `items`, uniform."""
    if pieces == 1:
        return tf.fill([tf.shape(example_index)[0], 1], items)
    # The pieces end after `pieces - 1` distinct items out of `items - 1`.
    keys = sorting_keys(example_index, items - 1, seed, stream)
    _, cuts = tf.math.top_k(keys, pieces - 1, sorted=False)
    cuts = tf.sort(cuts, axis=1) + 1
    edges = tf.pad(cuts, [[0, 0], [1, 0]])
    ends = tf.pad(cuts, [[0, 0], [0, 1]], constant_values=items)
    return ends - edges


def masked_lm_positions(
    encoder_tokens: tf.Tensor,
    example_index: tf.Tensor,
    *,
    num_positions: int,
    ineligible_ids: tf.Tensor,
    seed: int = 0,
) -> tf.Tensor:
    """Draws the positions that the generator must predict.

    Without replacement, and exactly `num_positions` of them, so that the
    projection to the vocabulary runs on a static number of positions.
    Sentinels, EOS and padding are not eligible; only a row with too few
    eligible tokens gets ineligible positions, which have no weight in the loss.

    Args:
        encoder_tokens: [batch, input_length] int32.
        example_index: [batch] int64.
        num_positions: positions per example.
        ineligible_ids: [n] int32, ids that are never masked.
        seed: of the run.

    Returns:
        [batch, num_positions] int32, ascending in each row.
    """
    length = encoder_tokens.shape[1]
    keys = sorting_keys(example_index, length, seed, _MASKING)
    eligible = eligible_tokens(encoder_tokens, ineligible_ids)
    keys = tf.where(eligible, keys, keys - tf.int32.max)
    _, positions = tf.math.top_k(keys, num_positions, sorted=False)
    return tf.sort(positions, axis=1)


def eligible_tokens(tokens: tf.Tensor, ineligible_ids: tf.Tensor) -> tf.Tensor:
    """Returns [batch, length] bool: the token is none of `ineligible_ids`.

    Sentinels and the mask are consecutive ids, so this takes a few comparisons
    instead of one per id.
    """
    runs: list[tuple[int, int]] = []  # (first, last) of consecutive ids.
    for i in sorted(int(i) for i in tf.get_static_value(ineligible_ids)):
        if runs and i <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], i)
        else:
            runs.append((i, i))
    # Operators alone: the model calls it with tensors of any Keras backend.
    eligible = tokens == tokens
    for low, high in runs:
        eligible = eligible & ((tokens < low) | (tokens > high))
    return eligible


def replacement_uniforms(
    example_index: tf.Tensor, num_positions: int, seed: int = 0
) -> tf.Tensor:
    """Returns [batch, num_positions] float32 in [0, 1), one per masked token.

    The generator turns each into a sample by inverting its distribution, so
    replacements are as reproducible as the data.
    """
    return uniforms(example_index, num_positions, seed, _REPLACEMENT)
