"""T5's decoder one token at a time, laid out for a loop.

Everything that a step could repeat is done once before the loop: weights are
read and cast, the output projection is transposed, the encoder's keys and
values are laid out head by head, the position bias is looked up. A step then
costs as much as the tokens so far ask for, not as the longest answer would:
caches have room for a chunk of tokens, are written in place, and grow by a
chunk when they are full.

Only TensorFlow's own ops are used, none of XLA's. Which numbers stay float32
when the weights do not, `plain_layers` says.

Shapes: `rows` is batch x beams, `places` is rows x heads. A layer's cache is
[2 * places * room, head_dim], the keys of all places and then the values:
`InplaceUpdate` writes along the first dimension. It is the one op that writes
without a copy; `tensor_scatter_nd_update` copies the whole cache every time.
So a cache may not be read again after the step that it was given to.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from spactor_tf.inference.plain_layers import (
    MASKED,
    activated,
    attend,
    normalized,
    product,
)
from spactor_tf.model import t5

# Tokens that a cache grows by. A longer chunk is copied less often and read
# with more unused room.
CHUNK = 32


@dataclasses.dataclass(frozen=True)
class _Layer:
    """Weights of a decoder layer, and the keys and values of the input."""

    self_norm: tf.Tensor
    query_key_value: tf.Tensor
    output: tf.Tensor
    cross_norm: tf.Tensor
    cross_query: tf.Tensor
    cross_keys: tf.Tensor
    cross_values: tf.Tensor
    cross_output: tf.Tensor
    norm: tf.Tensor
    inner: tf.Tensor
    gate: tf.Tensor | None
    outer: tf.Tensor
    activate: Callable[[tf.Tensor], tf.Tensor]


class DecoderSteps:
    """The decoder over the states of a batch of inputs.

    Args:
        backbone: the model.
        states: [batch, input length, hidden_dim] from the encoder.
        mask: [batch, input length] int32, 1 at the tokens of the input.
        length: most tokens that are decoded.
        beams: rows for each input, next to each other.
        vocabulary_size: pad and ids from here on get a logit of -1e9; None
            leaves all as they are.
    """

    def __init__(
        self,
        backbone: t5.Backbone,
        states: tf.Tensor,
        mask: tf.Tensor,
        length: int,
        beams: int = 1,
        vocabulary_size: int | None = None,
    ):
        first = backbone.decoder_transformer_layers[0].self_attention
        self._dtype = tf.as_dtype(first.compute_dtype)
        self._heads, self._head_dim = first.num_heads, first.key_value_dim
        self._length, self._beams = length, beams
        self._batch = tf.shape(mask)[0]
        self.rows = self._batch * beams
        self._places = self.rows * self._heads
        self._width = self._heads * self._head_dim
        # A row's projection holds the keys of its heads, then the values.
        places = tf.reshape(tf.range(self._places), [-1, 1, self._heads])
        both = tf.concat([places, places + self._places], axis=1)
        self._written_places = tf.reshape(both, [-1])
        self._epsilon = backbone.layer_norm_epsilon
        input_rows = tf.reshape(states, [-1, backbone.hidden_dim])
        input_rows = tf.cast(input_rows, self._dtype)
        self._by_head_shape = tf.stack(
            [self._batch, -1, self._heads, self._head_dim]
        )
        self._laid_out = tf.stack(
            [self._batch * self._heads, tf.shape(mask)[1], self._head_dim]
        )
        self._layers = [
            self._read_layer(layer, input_rows)
            for layer in backbone.decoder_transformer_layers
        ]
        # One for each place: equal shapes are added without broadcasting.
        hidden = tf.cast(1 - mask, tf.float32) * MASKED
        hidden = tf.repeat(hidden, self._heads, axis=0)
        self._input_bias = hidden[:, tf.newaxis]
        self._position_bias = self._read_position_bias(first)
        self._read_vocabulary(backbone, vocabulary_size)

    def _cast(self, value: Any) -> tf.Tensor:
        """What is multiplied, in the type of the products."""
        return tf.cast(tf.convert_to_tensor(value), self._dtype)

    def _read_layer(self, layer: Any, rows: tf.Tensor) -> _Layer:
        own, cross = layer.self_attention, layer.cross_attention
        gate = layer.gate_projector if layer.use_gated_activation else None
        return _Layer(
            self_norm=_wide(layer.self_attention_layer_norm.weight),
            query_key_value=self._cast(
                tf.concat(
                    [
                        own.query_projector.kernel,
                        own.key_projector.kernel,
                        own.value_projector.kernel,
                    ],
                    axis=1,
                )
            ),
            output=self._cast(own.output_projector.kernel),
            cross_norm=_wide(layer.cross_attention_layer_norm.weight),
            cross_query=self._cast(cross.query_projector.kernel),
            cross_keys=self._by_head(product(rows, cross.key_projector)),
            cross_values=self._by_head(product(rows, cross.value_projector)),
            cross_output=self._cast(cross.output_projector.kernel),
            norm=_wide(layer.layer_norm.weight),
            inner=self._cast(layer.input_projector.kernel),
            gate=None if gate is None else self._cast(gate.kernel),
            outer=self._cast(layer.output_projector.kernel),
            activate=functools.partial(activated, layer),
        )

    def _by_head(self, x: tf.Tensor) -> tf.Tensor:
        """[batch * length, heads * dim] to [batch * heads, length, dim]."""
        x = tf.transpose(tf.reshape(x, self._by_head_shape), [0, 2, 1, 3])
        return tf.reshape(x, self._laid_out)

    def _read_position_bias(self, attention: Any) -> tf.Tensor:
        """The bias by distance: a step cuts its own out of one vector.

        For the last token the bias of keys 0, 1, ... is that of distances
        length - 1, length - 2, ..., 0; behind it nothing is visible. For a
        token n places before, the same numbers begin n places later.
        """
        last = attention.compute_bias(1, self._length, self._length - 1)
        last = _wide(last)[0, :, 0]
        unseen = tf.fill([self._heads, CHUNK], MASKED)
        bias = tf.concat([last, unseen], axis=1)
        return tf.tile(bias, [self.rows, 1])[:, tf.newaxis]

    def _read_vocabulary(
        self, backbone: t5.Backbone, vocabulary_size: int | None
    ) -> None:
        embedding = backbone.token_embedding
        self._embeddings = tf.convert_to_tensor(embedding.embeddings)
        scale = _wide(backbone.decoder_layer_norm.weight)
        if backbone.tie_embedding_weights:
            # The product with a transposed matrix is up to 14 times slower.
            self._output = self._cast(tf.transpose(self._embeddings))
            scale *= backbone.hidden_dim**-0.5
        else:
            self._output = self._cast(embedding.reverse_embeddings)
        self._final_norm = scale
        self._forbidden: tf.Tensor | None = None
        if vocabulary_size is not None:
            ids = tf.range(backbone.vocabulary_size)
            is_word = (ids < vocabulary_size) & (ids != 0)
            self._forbidden = tf.where(is_word, 0.0, MASKED)

    def no_caches(self) -> list[tf.Tensor]:
        """Caches without room; `grow` gives them some."""
        return [
            tf.zeros([0, self._head_dim], self._dtype) for _ in self._layers
        ]

    @property
    def cache_shapes(self) -> list[tf.TensorShape]:
        """What stays the same of the caches' shapes while they grow."""
        return [tf.TensorShape([None, self._head_dim])] * len(self._layers)

    def _shape_by_place(self, caches: list[tf.Tensor]) -> tf.Tensor:
        """[2 * places, room, head_dim], another view of a cache's memory."""
        room = tf.shape(caches[0])[0] // (2 * self._places)
        return tf.stack([2 * self._places, room, self._head_dim])

    def grow(self, caches: list[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the caches with room for `CHUNK` more tokens."""
        chunk = min(CHUNK, self._length)
        more = tf.zeros([2 * self._places, chunk, self._head_dim], self._dtype)
        shape = self._shape_by_place(caches)
        return [
            self._in_rows(tf.concat([tf.reshape(cache, shape), more], axis=1))
            for cache in caches
        ]

    def chosen(
        self, caches: list[tf.Tensor], parents: tf.Tensor
    ) -> list[tf.Tensor]:
        """Returns the caches of other rows, `parents` [rows] int32."""
        heads = tf.range(self._heads)
        keys = parents[:, tf.newaxis] * self._heads + heads
        keys = tf.reshape(keys, [self._places])
        both = tf.concat([keys, keys + self._places], axis=0)
        shape = self._shape_by_place(caches)
        return [
            self._in_rows(tf.gather(tf.reshape(cache, shape), both))
            for cache in caches
        ]

    def step(
        self, tokens: tf.Tensor, index: tf.Tensor, caches: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Reads one token per row.

        Args:
            tokens: [rows] int32, at place `index`.
            index: int32 scalar, below `length`.
            caches: of the tokens so far, with room for one more.

        Returns:
            ([rows, vocabulary] float32 logits of the next token, new caches).
        """
        by_place = self._shape_by_place(caches)
        room = by_place[1]
        start = tf.stack([0, 0, self._length - 1 - index])
        bias = tf.slice(
            self._position_bias, start, tf.stack([self._places, 1, room])
        )
        here = self._written_places * room + index
        x = _wide(tf.gather(self._embeddings, tokens))
        updated: list[tf.Tensor] = []
        for layer, cache in zip(self._layers, caches, strict=True):
            h = self._norm(x, layer.self_norm)
            query, new = tf.split(
                tf.matmul(h, layer.query_key_value),
                [self._width, 2 * self._width],
                axis=1,
            )
            cache = tf.raw_ops.InplaceUpdate(
                x=cache, i=here, v=self._in_rows(new)
            )
            updated.append(cache)
            keys, values = tf.split(tf.reshape(cache, by_place), 2)
            query = tf.reshape(query, [-1, 1, self._head_dim])
            h = self._together(attend(query, keys, values, bias))
            x += _wide(tf.matmul(h, layer.output))
            x += self._cross(self._norm(x, layer.cross_norm), layer)
            x += _feed_forward(self._norm(x, layer.norm), layer)
        return self._logits(x), updated

    def _norm(self, x: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        return self._cast(normalized(x, scale, self._epsilon))

    def _in_rows(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, [-1, self._head_dim])

    def _together(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, [-1, self._width])

    def _cross(self, x: tf.Tensor, layer: _Layer) -> tf.Tensor:
        """Attends to the input, whose keys all beams of an input share."""
        query = tf.matmul(x, layer.cross_query)
        if self._beams == 1:
            query = tf.reshape(query, [-1, 1, self._head_dim])
        else:
            shape = [-1, self._beams, self._heads, self._head_dim]
            query = tf.transpose(tf.reshape(query, shape), [0, 2, 1, 3])
            query = tf.reshape(query, [-1, self._beams, self._head_dim])
        h = attend(
            query, layer.cross_keys, layer.cross_values, self._input_bias
        )
        if self._beams > 1:
            shape = [-1, self._heads, self._beams, self._head_dim]
            h = tf.transpose(tf.reshape(h, shape), [0, 2, 1, 3])
        return _wide(tf.matmul(self._together(h), layer.cross_output))

    def _logits(self, x: tf.Tensor) -> tf.Tensor:
        logits = tf.matmul(self._norm(x, self._final_norm), self._output)
        logits = tf.cast(logits, tf.float32)
        if self._forbidden is None:
            return logits
        return tf.nn.bias_add(logits, self._forbidden)


def _wide(value: Any) -> tf.Tensor:
    return tf.cast(tf.convert_to_tensor(value), tf.float32)


def _feed_forward(x: tf.Tensor, layer: _Layer) -> tf.Tensor:
    inner = layer.activate(tf.matmul(x, layer.inner))
    if layer.gate is not None:
        inner *= tf.matmul(x, layer.gate)
    return _wide(tf.matmul(inner, layer.outer))
