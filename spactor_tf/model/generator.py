"""The generator: a small masked language model that proposes replacements.

SpacTor (arXiv 2401.13160, section 2) takes ELECTRA's idea (2003.10555): mask
some tokens of the corrupted input, let a small encoder predict them, and put
*samples* of its predictions in their place. The T5 encoder then has to tell
which tokens were replaced.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from spactor_tf.config.model import GeneratorConfig
from spactor_tf.model.t5 import (
    T5LayerNorm,
    T5TransformerLayer,
    mask_warning_ignored,
)

_SAMPLING_BLOCK = 128


@keras.saving.register_keras_serializable("spactor_tf")
class Generator(keras.layers.Layer):
    """Bidirectional T5 encoder layers over the shared token embedding.

    Args:
        config: sizes.
        model_dim: width of the shared embedding; a projection joins the two
            widths where they differ (ELECTRA, section 3.2).
        vocabulary_size: rows of the shared embedding.
        dropout: rate inside the layers, in [0, 1).
        **kwargs: of `keras.layers.Layer`, such as `dtype` and `name`.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        model_dim: int,
        vocabulary_size: int,
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.config = config
        self.model_dim = model_dim
        self.vocabulary_size = vocabulary_size
        self.dropout = dropout
        self.layers = [
            T5TransformerLayer(
                is_decoder=False,
                hidden_dim=config.hidden_dim,
                intermediate_dim=config.intermediate_dim,
                key_value_dim=config.hidden_dim // config.num_heads,
                dropout=dropout,
                activation="relu",
                layer_norm_epsilon=1e-6,
                num_heads=config.num_heads,
                use_relative_attention_bias=i == 0,
                dtype=self.dtype_policy,
                name=f"generator_layer_{i}",
            )
            for i in range(config.num_layers)
        ]
        self.final_norm = T5LayerNorm(dtype=self.dtype_policy)
        projected = config.hidden_dim != model_dim
        self.input_projection = (
            self._projection(config.hidden_dim, "input") if projected else None
        )
        self.output_projection = self._projection(model_dim, "output")

    def _projection(self, units: int, name: str) -> keras.layers.Dense:
        return keras.layers.Dense(
            units,
            use_bias=False,
            dtype=self.dtype_policy,
            name=f"generator_{name}_projection",
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as plain values."""
        return {
            **super().get_config(),
            "config": dataclasses.asdict(self.config),
            "model_dim": self.model_dim,
            "vocabulary_size": self.vocabulary_size,
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Generator:
        """Returns a generator from the result of `get_config`."""
        sizes = GeneratorConfig(**config["config"])
        return cls(**{**config, "config": sizes})

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights; `input_shape` is that of the embeddings."""
        width = self.config.hidden_dim
        if self.input_projection is not None:
            self.input_projection.build((None, None, self.model_dim))
        for layer in self.layers:
            # The layer has no build of its own: one symbolic call builds it.
            layer(keras.KerasTensor((1, 8, width), dtype=self.compute_dtype))
        self.final_norm.build((None, None, width))
        self.output_projection.build((None, None, width))
        self.output_bias = self.add_weight(
            shape=(self.vocabulary_size,), initializer="zeros", name="bias"
        )
        self.built = True

    def call(
        self,
        embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        positions: tf.Tensor,
        embedding_matrix: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """Predicts the masked tokens.

        Args:
            embeddings: [batch, length, model_dim], token embeddings of the
                masked input.
            padding_mask: [batch, length] int32, 1 for a token and 0 for
                padding.
            positions: [batch, masked] int32, positions to predict.
            embedding_matrix: [vocabulary_size, model_dim], shared with T5.
            training: whether dropout acts.

        Returns:
            [batch, masked, vocabulary_size] float32 logits.
        """
        x = embeddings
        if self.input_projection is not None:
            x = self.input_projection(x)
        bias = None
        with mask_warning_ignored():
            for layer in self.layers:
                x, bias = layer(
                    x,
                    attention_mask=padding_mask[:, None, :],
                    position_bias=bias,
                    training=training,
                )
        x = take_positions(self.final_norm(x), positions)
        x = self.output_projection(x) * self.model_dim**-0.5
        matrix = ops.cast(embedding_matrix, x.dtype)
        logits = ops.matmul(x, ops.transpose(matrix))
        # In mixed precision Keras hands out the bias in bfloat16.
        bias = ops.cast(self.output_bias, "float32")
        return ops.cast(logits, "float32") + bias


@keras.saving.register_keras_serializable("spactor_tf")
class ReplacedTokenHead(keras.layers.Layer):
    """Replaced or original? Dense, GELU, Dense(1) on the encoder's output.

    Args:
        hidden_dim: width of the encoder and of the hidden layer.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, hidden_dim: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(
            hidden_dim,
            activation="gelu",
            dtype=self.dtype_policy,
            name="hidden",
        )
        self.logit = keras.layers.Dense(1, dtype=self.dtype_policy, name="out")
        self.hidden_dim = hidden_dim

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "hidden_dim": self.hidden_dim}

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        self.hidden.build((None, None, self.hidden_dim))
        self.logit.build((None, None, self.hidden_dim))
        self.built = True

    def call(self, encoded: tf.Tensor) -> tf.Tensor:
        """Predicts which tokens were replaced.

        Args:
            encoded: [batch, length, hidden_dim], the encoder's output.

        Returns:
            [batch, length] float32 logits, positive for "replaced".
        """
        return ops.cast(self.logit(self.hidden(encoded))[..., 0], "float32")


def take_positions(values: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Gathers positions of each row.

    Args:
        values: [batch, length] or [batch, length, width].
        positions: [batch, n] int32.

    Returns:
        [batch, n] or [batch, n, width].
    """
    batch, length = ops.shape(values)[0], values.shape[1]
    flat_positions = positions + ops.arange(batch)[:, None] * length
    flat = ops.reshape(values, (-1, *values.shape[2:]))
    return ops.take(flat, flat_positions, axis=0)


def put_positions(
    values: tf.Tensor, positions: tf.Tensor, updates: tf.Tensor
) -> tf.Tensor:
    """Replaces values at positions of each row.

    Args:
        values: [batch, length].
        positions: [batch, n] int32, distinct in each row.
        updates: [batch, n], of the dtype of `values`.

    Returns:
        [batch, length], of the dtype of `values`.
    """
    batch = ops.shape(values)[0]
    rows = ops.broadcast_to(ops.arange(batch)[:, None], ops.shape(positions))
    places = ops.reshape(ops.stack([rows, positions], axis=-1), (-1, 2))
    return ops.scatter_update(values, places, ops.reshape(updates, (-1,)))


def sample_replacements(
    logits: tf.Tensor, uniforms: tf.Tensor, forbidden: tf.Tensor
) -> tf.Tensor:
    """Samples one token per masked position from the generator's softmax.

    Inverts the cumulative distribution at a uniform number, which needs one
    random number per position where the Gumbel trick needs one per vocabulary
    entry; both give the same distribution. The cumulative sum is computed first
    over blocks of the vocabulary, then inside the chosen block, which is both
    cheaper and more accurate than one long cumulative sum in float32.

    Args:
        logits: [batch, masked, vocabulary_size] float32.
        uniforms: [batch, masked] float32 in [0, 1).
        forbidden: [vocabulary_size] bool, tokens that are never sampled
            (sentinels, padding, EOS, mask).

    Returns:
        [batch, masked] int32; no gradient flows through it.
    """
    logits = ops.stop_gradient(logits)
    weights = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
    weights = weights * ops.cast(ops.logical_not(forbidden), weights.dtype)
    missing = -logits.shape[-1] % _SAMPLING_BLOCK
    if missing:
        weights = ops.pad(weights, [[0, 0], [0, 0], [0, missing]])
    blocks = weights.shape[-1] // _SAMPLING_BLOCK
    shape = (-1, blocks, _SAMPLING_BLOCK)
    weights = ops.reshape(weights, shape)

    block_ends = ops.cumsum(ops.sum(weights, axis=-1), axis=-1)
    target = ops.reshape(uniforms, (-1, 1)) * block_ends[:, -1:]
    block = _first_above(block_ends, target)
    rows = ops.arange(ops.shape(weights)[0])
    inside = ops.take(
        ops.reshape(weights, (-1, _SAMPLING_BLOCK)),
        rows * blocks + block,
        axis=0,
    )
    flat_ends = ops.reshape(block_ends, (-1,))
    end = ops.take(flat_ends, rows * blocks + block)[:, None]
    ends = ops.cumsum(inside, axis=-1)
    # Counted from the end of the block, so that both sums agree there.
    token = _first_above(ends, target - (end - ends[:, -1:]))
    sample = block * _SAMPLING_BLOCK + token
    return ops.reshape(sample, ops.shape(uniforms))


def _first_above(ends: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Index of the first entry of ascending `ends` [n, m] above `target`.

    Rounding can move the target just outside [0, last end), where only entries
    without weight are, so it is clipped to a little below the last end.
    """
    highest = ends[:, -1:] * (1.0 - 2.0**-22)
    target = ops.clip(target, 0.0, highest)
    return ops.sum(ops.cast(ends <= target, "int32"), axis=-1)
