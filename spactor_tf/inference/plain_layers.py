"""T5's layers in TensorFlow's ops, over weights of any floating-point type.

Matrix products run in the type of the weights. What bfloat16 is too coarse for
and float16 too narrow stays float32: the stream of sums that the layers add to,
the statistics of the norms, the scores of the attention and their softmax.
KerasHub's layers compute all of it in one type; in float16 their mask becomes
0 times infinity. In float32 the numbers are KerasHub's, in fewer ops: a server
optimizes the graph when it loads it, which takes as long as there are ops. So
the stream is [rows, hidden_dim], rows being batch x length, and only the
attention sees the shape of the batch, which is asked for once.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from spactor_tf.model import t5

MASKED = -1e9


def encode(
    backbone: t5.Backbone, tokens: tf.Tensor, mask: tf.Tensor
) -> tf.Tensor:
    """Returns the encoder's states [batch, length, hidden_dim] float32.

    Args:
        backbone: the backbone whose weights are read.
        tokens: [batch, length] int32.
        mask: [batch, length] int32, 1 at tokens and 0 at padding.
    """
    layers = backbone.encoder_transformer_layers
    batch, length = tf.unstack(tf.shape(tokens))
    bias = layers[0].self_attention.compute_bias(length, length)
    bias = tf.cast(bias, tf.float32) + _padding_bias(mask)
    x = _embedded(backbone, tokens)
    for layer in layers:
        x = _run(layer, x, batch, bias)
    norm = backbone.encoder_layer_norm
    x = normalized(x, norm.weight, norm.epsilon)
    return tf.reshape(x, [batch, length, backbone.hidden_dim])


def decode(
    backbone: t5.Backbone,
    tokens: tf.Tensor,
    bias: tf.Tensor,
    states: tf.Tensor,
    mask: tf.Tensor,
) -> tf.Tensor:
    """Returns the decoder's states [batch, length, hidden_dim] float32.

    Args:
        backbone: the backbone whose weights are read.
        tokens: [batch, length] int32.
        bias: [1 or batch, heads, length, length] float32: position bias, -1e9
            where a token does not see another.
        states: [batch, input length, hidden_dim] from the encoder.
        mask: [batch, input length] int32.
    """
    batch, memory_bias = tf.shape(tokens)[0], _padding_bias(mask)
    x = _embedded(backbone, tokens)
    for layer in backbone.decoder_transformer_layers:
        x = _run(layer, x, batch, bias, states, memory_bias)
    norm = backbone.decoder_layer_norm
    x = normalized(x, norm.weight, norm.epsilon)
    length = tokens.shape[1] or tf.shape(tokens)[1]
    return tf.reshape(x, [batch, length, backbone.hidden_dim])


def _embedded(backbone: t5.Backbone, tokens: tf.Tensor) -> tf.Tensor:
    """[rows, hidden_dim] float32."""
    table = tf.convert_to_tensor(backbone.token_embedding.embeddings)
    return tf.cast(tf.gather(table, tf.reshape(tokens, [-1])), tf.float32)


def _padding_bias(mask: tf.Tensor) -> tf.Tensor:
    """[batch, 1, 1, length] float32."""
    bias = tf.cast(1 - mask, tf.float32) * MASKED
    return bias[:, tf.newaxis, tf.newaxis]


def _run(
    layer: Any,
    x: tf.Tensor,
    batch: tf.Tensor,
    bias: tf.Tensor,
    memory: tf.Tensor | None = None,
    memory_bias: tf.Tensor | None = None,
) -> tf.Tensor:
    """One layer, without dropout: [rows, hidden_dim] float32."""

    def before(norm: t5.T5LayerNorm) -> tf.Tensor:
        h = normalized(x, norm.weight, norm.epsilon)
        return tf.cast(h, layer.compute_dtype)

    h = before(layer.self_attention_layer_norm)
    x += _attention(layer.self_attention, h, h, batch, bias)
    if memory is not None:
        h = before(layer.cross_attention_layer_norm)
        memory = tf.cast(memory, h.dtype)
        x += _cross_attention(
            layer.cross_attention,
            h,
            memory,
            batch,
            memory_bias,
            queries=bias.shape[-2],
        )
    h = before(layer.layer_norm)
    inner = activated(layer, product(h, layer.input_projector))
    if layer.use_gated_activation:
        inner *= product(h, layer.gate_projector)
    return x + tf.cast(product(inner, layer.output_projector), tf.float32)


def normalized(x: tf.Tensor, scale: Any, epsilon: float) -> tf.Tensor:
    """Returns T5's norm of x [..., width] float32, computed in float32."""
    square = tf.reduce_mean(tf.square(x), axis=-1, keepdims=True)
    scale = tf.cast(tf.convert_to_tensor(scale), tf.float32)
    return x * tf.math.rsqrt(square + epsilon) * scale


def attend(
    query: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, bias: tf.Tensor
) -> tf.Tensor:
    """Returns T5's attention, which does not scale its scores.

    Args:
        query: [..., queries, head_dim].
        keys: [..., length, head_dim].
        values: [..., length, head_dim].
        bias: float32, broadcast to [..., queries, length].

    Returns:
        [..., queries, head_dim] in the type of the values.
    """
    scores = tf.matmul(query, keys, transpose_b=True)
    weights = tf.nn.softmax(tf.cast(scores, tf.float32) + bias)
    return tf.matmul(tf.cast(weights, values.dtype), values)


def activated(layer: Any, x: tf.Tensor) -> tf.Tensor:
    """Returns the activation of a layer's inner states, in their type."""
    activation = layer.input_projector.activation
    if not layer.use_gated_activation:  # ReLU is exact in any type.
        return activation(x)
    return tf.cast(activation(tf.cast(x, tf.float32)), x.dtype)


def _attention(
    attention: Any,
    h: tf.Tensor,
    memory: tf.Tensor,
    batch: tf.Tensor,
    bias: tf.Tensor | None,
) -> tf.Tensor:
    """[rows, hidden_dim] float32; `h` and `memory` are rows, too."""
    shape = tf.stack([batch, -1, attention.num_heads, attention.key_value_dim])
    query, keys, values = (
        tf.transpose(tf.reshape(product(x, projector), shape), [0, 2, 1, 3])
        for x, projector in (
            (h, attention.query_projector),
            (memory, attention.key_projector),
            (memory, attention.value_projector),
        )
    )
    h = tf.transpose(attend(query, keys, values, bias), [0, 2, 1, 3])
    h = tf.reshape(h, [-1, attention.inner_dim])
    return tf.cast(product(h, attention.output_projector), tf.float32)


def _cross_attention(
    attention: Any,
    h: tf.Tensor,
    memory: tf.Tensor,
    batch: tf.Tensor,
    bias: tf.Tensor,
    queries: int | None,
) -> tf.Tensor:
    """[rows, hidden_dim] float32; memory is [batch, length, hidden_dim].

    q (W s) = (q W) s: few queries are cheaper to project than the keys and
    values of every state of a long input.
    """
    heads, width = attention.num_heads, attention.key_value_dim
    hidden = memory.shape[-1]
    if queries is None or heads * queries >= attention.inner_dim:
        memory = tf.reshape(memory, [-1, hidden])
        return _attention(attention, h, memory, batch, bias)
    query_kernel, key_kernel, value_kernel = (
        tf.transpose(
            tf.reshape(
                tf.cast(tf.convert_to_tensor(projector.kernel), h.dtype),
                [-1, heads, width],
            ),
            [1, 0, 2],
        )
        for projector in (
            attention.query_projector,
            attention.key_projector,
            attention.value_projector,
        )
    )
    rows = tf.expand_dims(h, 0)
    query = tf.matmul(tf.matmul(rows, query_kernel), key_kernel, False, True)
    query = tf.reshape(query, [heads, batch, queries, hidden])
    query = tf.reshape(
        tf.transpose(query, [1, 0, 2, 3]), [batch, heads * queries, hidden]
    )
    # One key and one value, the state itself, for all heads.
    context = attend(query, memory, memory, bias[:, 0])
    context = tf.reshape(context, [batch, heads, queries, hidden])
    context = tf.reshape(
        tf.transpose(context, [1, 0, 2, 3]), [heads, -1, hidden]
    )
    answer = tf.reshape(
        tf.matmul(context, value_kernel), [heads, batch, queries, width]
    )
    answer = tf.reshape(
        tf.transpose(answer, [1, 2, 0, 3]), [-1, attention.inner_dim]
    )
    return tf.cast(product(answer, attention.output_projector), tf.float32)


def product(rows: tf.Tensor, projector: Any) -> tf.Tensor:
    """Returns rows [rows, in] times the kernel [in, out] of a Dense layer.

    A product of two matrices is the fastest that TensorFlow has.
    """
    kernel = tf.convert_to_tensor(projector.kernel)
    return tf.matmul(rows, tf.cast(kernel, rows.dtype))
