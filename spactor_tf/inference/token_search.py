"""Greedy, sampled and beam search over a `CachedDecoder`.

Every function returns (tokens [batch, max_length] int32 padded with 0,
log-likelihood [batch] float32 of those tokens, EOS included). Pad and rows of
the embedding beyond the vocabulary are never generated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from spactor_tf.config.search_options import SearchOptions
from spactor_tf.data import counter_random
from spactor_tf.data.vocabulary import EOS_ID, PAD_ID
from spactor_tf.inference.decoder_steps import CHUNK, DecoderSteps
from spactor_tf.inference.decoding import CachedDecoder

_NEVER = -1e9
_State = tuple[tf.Tensor, ...]


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
    beam = options.decoding == "beam"
    length, beams = options.max_output_length, options.num_beams
    steps = decoder.steps(
        states, mask, length, beams if beam else 1, vocabulary_size
    )
    if beam:
        return _beam(steps, options)

    def choose(logits: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        if options.decoding == "temperature":
            logits = logits / options.temperature + gumbel_noise(
                _at(text_hash, index), logits.shape[-1], options.seed
            )
        return tf.argmax(logits, axis=-1, output_type=tf.int32)

    return _one_path(steps, length, choose)


@dataclasses.dataclass(frozen=True)
class RowOptions:
    """What each row of a batch asks for, all [batch], in range.

    Attributes:
        max_length: int32, most tokens, at most `max_output_length`.
        temperature: float32; 0 is greedy. It must be 0 where there are beams.
        seed: int64, below 2**31.
        num_beams: int32, at most `SearchOptions.num_beams`.
    """

    max_length: tf.Tensor
    temperature: tf.Tensor
    seed: tf.Tensor
    num_beams: tf.Tensor


def generate_each(
    decoder: CachedDecoder,
    options: SearchOptions,
    rows: RowOptions,
    vocabulary_size: int,
    text_hash: tf.Tensor,
    states: tf.Tensor,
    mask: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Generates as each row asks; its answer does not depend on the others.

    Rows with several beams are searched apart from the others.

    Args:
        decoder: of the model.
        options: largest length and number of beams; the length penalty.
        rows: what each row asks for.
        vocabulary_size: ids below it may be generated.
        text_hash: [batch] int64, seeds the samples of each text.
        states: [batch, input length, hidden_dim] from the encoder.
        mask: [batch, input length] int32.
    """
    length = options.max_output_length
    single = tf.where(rows.num_beams == 1)[:, 0]
    several = tf.where(rows.num_beams > 1)[:, 0]
    limits, temperature, seed, place = (
        tf.gather(value, single)
        for value in (rows.max_length, rows.temperature, rows.seed, text_hash)
    )

    def noisy(logits: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        noise = gumbel_noise(_at(place, index), logits.shape[-1], seed)
        scale = temperature[:, tf.newaxis]
        # Divided as at a fixed temperature, so that samples are the same.
        sampled = logits / tf.where(scale > 0, scale, 1.0) + noise
        return tf.where(scale > 0, sampled, logits)

    is_sampled = tf.reduce_any(temperature > 0)

    def choose(logits: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        logits = tf.cond(
            is_sampled, lambda: noisy(logits, index), lambda: logits
        )
        return tf.argmax(logits, axis=-1, output_type=tf.int32)

    def steps(chosen: tf.Tensor, beams: int) -> DecoderSteps:
        parts = tf.gather(states, chosen), tf.gather(mask, chosen)
        return decoder.steps(*parts, length, beams, vocabulary_size)

    found = _one_path(steps(single, 1), length, choose, limits)
    if options.num_beams == 1:
        return found
    others = _beam(
        steps(several, options.num_beams),
        options,
        tf.gather(rows.max_length, several),
        tf.gather(rows.num_beams, several),
    )
    order = [tf.cast(chosen, tf.int32) for chosen in (single, several)]
    tokens, score = (
        tf.dynamic_stitch(order, pair)
        for pair in zip(found, others, strict=True)
    )
    return tf.ensure_shape(tokens, [None, length]), score


def _at(text_hash: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """The places of the random numbers of a step, [batch] int64."""
    return text_hash + tf.cast(index, tf.int64) * 0x9E3779B97F4A7C1


def gumbel_noise(
    place: tf.Tensor, length: int, seed: int | tf.Tensor
) -> tf.Tensor:
    """Returns Gumbel noise, a function of (place, column, seed) alone.

    The largest of logits plus noise is a sample of their softmax.

    Args:
        place: [batch] int64.
        length: columns.
        seed: not negative; or one for each row, [batch] int64.

    Returns:
        [batch, length] float32, finite.
    """
    uniform = counter_random.uniforms(place, length, seed, stream=0)
    # Multiples of 2**-24: half a step keeps both logarithms finite.
    return -tf.math.log(-tf.math.log(uniform + 2.0**-25))


def _one_path(
    steps: DecoderSteps,
    length: int,
    choose: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    limits: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One token after the other; `limits` [rows] are the rows' own lengths."""

    def body(index, done, caches, tokens, last, score):
        logits, caches = steps.step(last, index, caches)
        last = tf.where(done, PAD_ID, choose(logits, index))
        # TensorFlow's sparse cross-entropy is one op, and two to five times
        # slower: it computes the gradient, too.
        gain = tf.gather(logits, last, batch_dims=1)
        gain -= tf.reduce_logsumexp(logits, axis=-1)
        score += tf.where(done, 0.0, gain)
        done |= last == EOS_ID
        if limits is not None:
            done |= index + 1 >= limits
        return done, caches, (_write(tokens, index, last), last, score)

    state = (
        tf.zeros([length, steps.rows], tf.int32),
        tf.zeros([steps.rows], tf.int32),  # Padding starts, as in training.
        tf.zeros([steps.rows], tf.float32),
    )
    done = tf.zeros([steps.rows], tf.bool)
    _, (tokens, _, score) = _loop(steps, length, body, done, state)
    return tf.transpose(tokens), score


def _beam(
    steps: DecoderSteps,
    options: SearchOptions,
    limits: tf.Tensor | None = None,
    own_beams: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Keeps the likeliest `num_beams` prefixes, finished ones included.

    `limits` and `own_beams` [batch] are the inputs' own lengths and numbers of
    beams, where they differ.
    """
    beams, length = options.num_beams, options.max_output_length
    rows, batch = steps.rows, steps.rows // beams
    first_row = tf.range(batch)[:, tf.newaxis] * beams

    def body(index, done, caches, tokens, parents, last, score, sizes):
        logits, caches = steps.step(last, index, caches)
        # No more than `beams` children of one row can be kept.
        children = min(beams, logits.shape[-1])
        gains, words = tf.math.top_k(logits, children)
        gains -= tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        # A finished hypothesis is only padded, at no cost.
        ended = done[:, tf.newaxis]
        only = tf.one_hot(0, children, 0.0, _NEVER)
        gains = score[:, tf.newaxis] + tf.where(ended, only, gains)
        words = tf.where(ended, PAD_ID, words)
        width = beams * children
        best, place = tf.math.top_k(tf.reshape(gains, [batch, width]), beams)
        if own_beams is not None:
            kept = tf.range(beams) < own_beams[:, tf.newaxis]
            best = tf.where(kept, best, _NEVER)
        last = tf.gather(tf.reshape(words, [batch, width]), place, batch_dims=1)
        last = tf.reshape(last, [rows])
        parent = tf.reshape(first_row + place // children, [rows])
        done = tf.gather(done, parent)
        sizes = tf.gather(sizes, parent) + tf.where(done, 0.0, 1.0)
        done |= last == EOS_ID
        if limits is not None:
            done |= index + 1 >= tf.repeat(limits, beams)
        state = (
            _write(tokens, index, last),
            _write(parents, index, parent),
            last,
            tf.reshape(best, [rows]),
            sizes,
        )
        return done, steps.chosen(caches, parent), state

    # All beams start equal: only the first may branch in the first step.
    first = tf.one_hot(0, beams, 0.0, _NEVER)
    state = (
        tf.zeros([length, rows], tf.int32),
        tf.zeros([length, rows], tf.int32),
        tf.zeros([rows], tf.int32),
        tf.tile(first, [batch]),
        tf.zeros([rows], tf.float32),
    )
    done = tf.zeros([rows], tf.bool)
    index, state = _loop(steps, length, body, done, state)
    tokens, parents, _, score, sizes = state
    ranking = score / tf.maximum(sizes, 1.0) ** options.length_penalty
    best = tf.argmax(tf.reshape(ranking, [batch, beams]), axis=-1)
    best = tf.cast(best, tf.int32) + first_row[:, 0]
    return _walk_back(tokens, parents, index, best), tf.gather(score, best)


def _walk_back(
    tokens: tf.Tensor, parents: tf.Tensor, index: tf.Tensor, row: tf.Tensor
) -> tf.Tensor:
    """The tokens [batch, length] that led to the rows [batch] at `index`.

    `tokens` and `parents` are [length, rows].
    """

    def body(index, row, path):
        index -= 1
        path = _write(path, index, tf.gather(tokens[index], row))
        return index, tf.gather(parents[index], row), path

    path = tf.zeros([tokens.shape[0], tf.shape(row)[0]], tf.int32)
    *_, path = tf.while_loop(
        lambda index, *_: index > 0, body, (index, row, path)
    )
    return tf.transpose(path)


def _loop(
    steps: DecoderSteps,
    length: int,
    body: Callable[..., tuple[tf.Tensor, list[tf.Tensor], _State]],
    done: tf.Tensor,
    state: _State,
) -> tuple[tf.Tensor, _State]:
    """Steps until every row is done, or `length` times.

    A loop in a loop: inside, shapes stay, so that caches are written in place;
    outside, the caches grow.

    Args:
        steps: the decoder.
        length: most steps.
        body: (index, done, caches, *state) to the new (done, caches, state).
        done: [rows] bool at the start.
        state: tensors at the start.

    Returns:
        (steps that were taken, state).
    """
    count = len(steps.cache_shapes)

    def step(end, index, done, *more):
        done, caches, state = body(
            index, done, list(more[:count]), *more[count:]
        )
        return end, index + 1, done, *caches, *state

    def unfinished(end, index, done, *more):
        return (index < end) & ~tf.reduce_all(done)

    def chunk(end, index, done, *more):
        caches = steps.grow(list(more[:count]))
        stop = tf.minimum(index + CHUNK, end)
        inner = (stop, index, done, *caches, *more[count:])
        return end, *tf.while_loop(unfinished, step, inner)[1:]

    start = (
        tf.constant(length),
        tf.constant(0),
        done,
        *steps.no_caches(),
        *state,
    )
    shapes = [tensor.shape for tensor in start]
    shapes[3 : 3 + count] = steps.cache_shapes
    _, index, _, *more = tf.while_loop(
        unfinished, chunk, start, shape_invariants=tuple(shapes)
    )
    return index, tuple(more[count:])


def _write(tokens: tf.Tensor, index: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """Writes [rows] at `index` of [length, rows], in place."""
    where = tf.reshape(index, [1, 1])
    return tf.tensor_scatter_nd_update(tokens, where, last[tf.newaxis])
