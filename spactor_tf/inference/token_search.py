"""Greedy, sampled and beam search over a `CachedDecoder`.

Every function returns (tokens [batch, max_length] int32 padded with 0,
log-likelihood [batch] float32 of those tokens, EOS included). Pad and rows of
the embedding beyond the vocabulary are never generated.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from spactor_tf.config.search_options import SearchOptions
from spactor_tf.data import counter_random
from spactor_tf.data.vocabulary import EOS_ID, PAD_ID
from spactor_tf.inference.decoding import CachedDecoder

_NEVER = -1e9


def generate(
    decoder: CachedDecoder,
    options: SearchOptions,
    vocabulary_size: int,
    text_hash: tf.Tensor,
    states: tf.Tensor,
    mask: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Generates as `options.decoding` says.

    Args:
        decoder: of the model.
        options: decoding, lengths, temperature, beams.
        vocabulary_size: ids below it may be generated.
        text_hash: [batch] int64, seeds the samples of each text.
        states: [batch, input length, hidden_dim] from the encoder.
        mask: [batch, input length] int32.
    """
    cross = decoder.cross_caches(states)
    if options.decoding == "beam":
        return _beam(decoder, options, vocabulary_size, cross, mask)

    def choose(logits: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        if options.decoding == "temperature":
            place = text_hash + tf.cast(index, tf.int64) * 0x9E3779B97F4A7C1
            logits = logits / options.temperature + gumbel_noise(
                place, logits.shape[-1], options.seed
            )
        return tf.argmax(logits, axis=-1, output_type=tf.int32)

    return _one_path(decoder, options, vocabulary_size, cross, mask, choose)


def gumbel_noise(place: tf.Tensor, length: int, seed: int) -> tf.Tensor:
    """Returns Gumbel noise, a function of (place, column, seed) alone.

    The largest of logits plus noise is a sample of their softmax.

    Args:
        place: [batch] int64.
        length: columns.
        seed: not negative.

    Returns:
        [batch, length] float32, finite.
    """
    uniform = counter_random.uniforms(place, length, seed, stream=0)
    # Multiples of 2**-24: half a step keeps both logarithms finite.
    return -tf.math.log(-tf.math.log(uniform + 2.0**-25))


def _one_path(
    decoder: CachedDecoder,
    options: SearchOptions,
    vocabulary_size: int,
    cross: list[tf.Tensor],
    mask: tf.Tensor,
    choose: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    rows, length = tf.shape(mask)[0], options.max_output_length

    def unfinished(index, tokens, last, score, done, *past):
        return (index < length) & ~tf.reduce_all(done)

    def body(index, tokens, last, score, done, *past):
        logits, caches = decoder.step(last, index, list(past), cross, mask)
        logits = _allowed(logits, vocabulary_size)
        last = tf.where(done, PAD_ID, choose(logits, index))
        gain = tf.gather(tf.nn.log_softmax(logits), last, batch_dims=1)
        score += tf.where(done, 0.0, gain)
        tokens = _write(tokens, index, last)
        return (
            index + 1,
            tokens,
            last,
            score,
            done | (last == EOS_ID),
            *caches,
        )

    # The start token is padding, as in training.
    start = (
        tf.constant(0),
        tf.zeros([rows, length], tf.int32),
        tf.zeros([rows], tf.int32),
        tf.zeros([rows], tf.float32),
        tf.zeros([rows], tf.bool),
        *decoder.empty_caches(rows, length),
    )
    _, tokens, _, score, *_ = tf.while_loop(unfinished, body, start)
    return tokens, score


def _beam(
    decoder: CachedDecoder,
    options: SearchOptions,
    vocabulary_size: int,
    cross: list[tf.Tensor],
    mask: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Keeps the likeliest `num_beams` prefixes, finished ones included."""
    beams, length = options.num_beams, options.max_output_length
    batch = tf.shape(mask)[0]
    rows = batch * beams
    cross = [tf.repeat(memory, beams, axis=0) for memory in cross]
    mask = tf.repeat(mask, beams, axis=0)

    def unfinished(index, tokens, last, score, done, *past):
        return (index < length) & ~tf.reduce_all(done)

    def body(index, tokens, last, score, done, *past):
        logits, caches = decoder.step(last, index, list(past), cross, mask)
        gains = tf.nn.log_softmax(_allowed(logits, vocabulary_size))
        # A finished hypothesis is only padded, at no cost.
        only_pad = tf.one_hot(PAD_ID, gains.shape[-1], 0.0, _NEVER)
        gains = tf.where(done[:, tf.newaxis], only_pad, gains)
        width = gains.shape[-1]
        totals = tf.reshape(
            score[:, tf.newaxis] + gains, [batch, beams * width]
        )
        best, place = tf.math.top_k(totals, beams)
        parent = tf.range(batch)[:, tf.newaxis] * beams + place // width
        parent = tf.reshape(parent, [rows])
        last = tf.reshape(place % width, [rows])
        tokens = _write(tf.gather(tokens, parent), index, last)
        done = tf.gather(done, parent) | (last == EOS_ID)
        caches = [tf.gather(cache, parent) for cache in caches]
        return (
            index + 1,
            tokens,
            last,
            tf.reshape(best, [rows]),
            done,
            *caches,
        )

    # All beams start equal: only the first may branch in the first step.
    first = tf.one_hot(0, beams, 0.0, _NEVER)
    start = (
        tf.constant(0),
        tf.zeros([rows, length], tf.int32),
        tf.zeros([rows], tf.int32),
        tf.tile(first, [batch]),
        tf.zeros([rows], tf.bool),
        *decoder.empty_caches(rows, length),
    )
    _, tokens, _, score, *_ = tf.while_loop(unfinished, body, start)
    return _best_beam(tokens, score, batch, options)


def _best_beam(
    tokens: tf.Tensor,
    score: tf.Tensor,
    batch: tf.Tensor,
    options: SearchOptions,
) -> tuple[tf.Tensor, tf.Tensor]:
    shape = [batch, options.num_beams]
    tokens = tf.reshape(tokens, [*shape, options.max_output_length])
    score = tf.reshape(score, shape)
    lengths = tf.reduce_sum(tf.cast(tokens != PAD_ID, tf.float32), axis=-1)
    ranking = score / tf.maximum(lengths, 1.0) ** options.length_penalty
    best = tf.argmax(ranking, axis=-1)
    return (
        tf.gather(tokens, best, batch_dims=1),
        tf.gather(score, best, batch_dims=1),
    )


def _allowed(logits: tf.Tensor, vocabulary_size: int) -> tf.Tensor:
    ids = tf.range(logits.shape[-1])
    return tf.where((ids < vocabulary_size) & (ids != PAD_ID), logits, _NEVER)


def _write(tokens: tf.Tensor, index: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    here = tf.range(tokens.shape[1]) == index
    return tf.where(here, last[:, tf.newaxis], tokens)
