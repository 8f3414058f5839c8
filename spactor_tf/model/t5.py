"""The T5 body: KerasHub's backbone, initialized and projected as T5 is.

`keras_hub.models.T5Backbone` computes T5 exactly (`t5_test.py` compares it
with Hugging Face's outputs). This module adds what it lacks: initial values,
the output projection with T5's scale for tied embeddings, the tanh form of GELU
that v1.1 was trained with, and an encoder without the decoder.

It is the only module that imports private parts of KerasHub.
"""

from __future__ import annotations

import contextlib
import functools
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import keras
import keras_hub
import numpy as np
import tensorflow as tf
from keras import ops

# KerasHub has no public names for T5's layers; the generator is made of them.
from keras_hub.src.models.t5.t5_layer_norm import T5LayerNorm as T5LayerNorm
from keras_hub.src.models.t5.t5_transformer_layer import (
    T5TransformerLayer as T5TransformerLayer,
)

from runkit import InputError
from spactor_tf.config.model import ModelConfig

Backbone: TypeAlias = keras_hub.models.T5Backbone
# A Keras dtype policy or its name; None is Keras's default.
DType: TypeAlias = keras.DTypePolicy | str | None


@contextlib.contextmanager
def mask_warning_ignored() -> Iterator[None]:
    """Silences Keras's warning that T5's attention takes no Keras mask.

    KerasHub adds the padding mask to the position bias itself, and Keras warns
    at every call or trace of a layer on embeddings that carry a mask.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", ".*(T5MultiHeadAttention).*mask attached.*"
        )
        yield


def build_backbone(config: ModelConfig, dtype: DType = None) -> Backbone:
    """Returns a backbone with KerasHub's initial values.

    Call `reinitialize` on its variables before training.

    Args:
        config: sizes; "relu" is T5 v1.0, "gated_gelu" v1.1.
        dtype: of weights and computation.

    Raises:
        InputError: the sizes do not make a model.
    """
    config.validate()
    activation: Any = config.activation
    gated = activation == "gated_gelu"
    if gated:
        # The tanh approximation under the name that KerasHub registers, so
        # that a preset opens without this package. "gelu" is the erf form.
        name = "keras_hub>gelu_approximate"
        activation = keras.saving.get_registered_object(name)
    with mask_warning_ignored():
        return keras_hub.models.T5Backbone(
            vocabulary_size=config.vocabulary_size,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            hidden_dim=config.hidden_dim,
            intermediate_dim=config.intermediate_dim,
            key_value_dim=config.head_dim,
            dropout=config.dropout,
            activation=activation,
            use_gated_activation=gated,
            layer_norm_epsilon=config.layer_norm_epsilon,
            tie_embedding_weights=config.tie_embeddings,
            dtype=dtype,
        )


def backbone_config(backbone: Backbone) -> ModelConfig:
    """Returns the ModelConfig of an existing backbone."""
    return ModelConfig(
        vocabulary_size=backbone.vocabulary_size,
        num_layers=backbone.num_layers,
        num_heads=backbone.num_heads,
        hidden_dim=backbone.hidden_dim,
        intermediate_dim=backbone.intermediate_dim,
        key_value_dim=backbone.key_value_dim,
        activation="gated_gelu" if backbone.use_gated_activation else "relu",
        tie_embeddings=backbone.tie_embedding_weights,
        dropout=backbone.dropout,
        layer_norm_epsilon=backbone.layer_norm_epsilon,
    )


def check_activation(backbone: Backbone, where: str) -> None:
    """Refuses feed-forward layers that `ModelConfig` cannot say.

    The function itself is compared: its name differs between writers.

    Raises:
        InputError: neither plain ReLU nor gated GELU in its tanh form.
    """
    gated = backbone.use_gated_activation
    known = functools.partial(ops.gelu, approximate=True) if gated else ops.relu
    inputs = np.linspace(-4, 4, 65, dtype=np.float32)
    outputs = np.asarray(backbone.activation(ops.convert_to_tensor(inputs)))
    difference = np.abs(outputs - np.asarray(known(inputs))).max()
    if not difference < 1e-5:  # The forms of GELU differ by 5e-4.
        name = keras.activations.serialize(backbone.activation)
        raise InputError(
            "has an activation that cannot be represented",
            where=where,
            got=f"{'gated ' * gated}{name}",
            expected="relu without a gate, or gated GELU in its tanh form",
        )


def copy_backbone(
    backbone: Backbone, config: ModelConfig, dtype: DType = None
) -> Backbone:
    """Returns a new backbone with the weights of an existing one.

    Args:
        backbone: the backbone whose weights are copied.
        config: of the new one, of the same sizes; dropout may differ.
        dtype: of the new one.
    """
    copy = build_backbone(config, dtype)
    copy.set_weights(backbone.get_weights())
    return copy


class T5Encoder(keras.Model):
    """The encoder alone, sharing the backbone's weights.

    Its inputs are `encoder_token_ids` and `encoder_padding_mask`, both
    [batch, length] int32; its output is [batch, length, hidden_dim].

    Args:
        backbone: the backbone that it is a part of.
    """

    def __init__(self, backbone: Backbone):
        names = ("encoder_token_ids", "encoder_padding_mask")
        super().__init__(
            inputs={name: backbone.input[name] for name in names},
            outputs=backbone.output["encoder_sequence_output"],
            name="t5_encoder",
        )

    def call(
        self,
        inputs: dict[str, tf.Tensor],
        training: bool | None = None,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Encodes tokens; KerasHub ignores `mask`."""
        with mask_warning_ignored():
            return super().call(inputs, training=training, mask=mask)


def build_encoder(backbone: Backbone) -> T5Encoder:
    """Returns the encoder of a backbone."""
    return T5Encoder(backbone)


def mean_pool(states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns the mean of each row's states over its tokens.

    Args:
        states: [batch, length, hidden_dim], of any floating-point type.
        mask: [batch, length], 1 for a token and 0 for padding.

    Returns:
        [batch, hidden_dim] float32; zeros for a row without tokens.
    """
    weights = ops.expand_dims(ops.cast(mask, "float32"), -1)
    total = ops.sum(ops.cast(states, "float32") * weights, axis=1)
    return total / ops.maximum(ops.sum(weights, axis=1), 1.0)


def decoder_inputs(targets: tf.Tensor, pad_id: int = 0) -> tf.Tensor:
    """Shifts targets right; the first decoder input is padding, as in T5.

    Args:
        targets: [batch, length] int32.
        pad_id: of the vocabulary.

    Returns:
        [batch, length] int32.
    """
    start = ops.full_like(targets[:, :1], pad_id)
    return ops.concatenate([start, targets[:, :-1]], axis=1)


def lm_logits(backbone: Backbone, hidden: tf.Tensor) -> tf.Tensor:
    """Projects decoder states to float32 logits over the vocabulary.

    With tied embeddings the states are scaled by hidden_dim ** -0.5 first (T5,
    mesh-tensorflow's `shared_embedding_and_softmax_weights`).

    Args:
        backbone: from `build_backbone`.
        hidden: [..., hidden_dim].

    Returns:
        [..., vocabulary_size] float32.
    """
    if backbone.tie_embedding_weights:
        hidden = hidden * backbone.hidden_dim**-0.5
    logits = backbone.token_embedding(hidden, reverse=True)
    return ops.cast(logits, "float32")


# (pattern of the variable's path, standard deviation as a function of fan-in,
# head_dim and hidden_dim); the first match counts. Mesh TensorFlow's T5 and
# Hugging Face agree on these. KerasHub's own initializer sets the *mean* of the
# embedding to 1.
_INITIAL_DEVIATIONS = (
    (r"reverse_embeddings$", lambda fan_in, head, hidden: fan_in**-0.5),
    (r"token_embedding/embeddings$", lambda fan_in, head, hidden: 1.0),
    # The relative position bias.
    (r"attention/embeddings$", lambda fan_in, head, hidden: hidden**-0.5),
    (r"query_projector", lambda fan_in, head, hidden: (fan_in * head) ** -0.5),
    (r"kernel$", lambda fan_in, head, hidden: fan_in**-0.5),
)


def reinitialize(
    variables: Iterable[keras.Variable],
    seed: int,
    *,
    head_dim: int,
    hidden_dim: int,
) -> None:
    """Draws initial weights as T5 does, a pure function of seed and position.

    Embeddings N(0, 1); untied output N(0, 1/d); queries N(0, 1/(d d_kv));
    every other matrix N(0, 1/fan-in); relative bias N(0, 1/d); scales 1;
    biases 0 (arXiv 1910.10683, mesh-tensorflow's initializers).

    Args:
        variables: Keras variables of a backbone or of a stack of its layers.
        seed: of the run.
        head_dim: width of an attention head.
        hidden_dim: width of the stream.
    """
    for index, variable in enumerate(variables):
        if not variable.trainable or not re.search("float", variable.dtype):
            continue
        shape = tuple(variable.shape)
        if len(shape) < 2:
            value = np.full(shape, 0.0 if variable.name == "bias" else 1.0)
        else:
            deviations = [
                deviation(shape[0], head_dim, hidden_dim)
                for pattern, deviation in _INITIAL_DEVIATIONS
                if re.search(pattern, variable.path)
            ]
            random = np.random.default_rng((seed, index))
            value = random.standard_normal(shape, np.float32) * deviations[0]
        variable.assign(value.astype(np.float32))


def seed_dropout(variables: Iterable[keras.Variable], seed: int) -> None:
    """Sets the state of every dropout, a pure function of seed and position.

    Keras seeds its dropout layers from the process's global generator.

    Args:
        variables: of a model; only states of dropout are set.
        seed: not negative.
    """
    states = [v for v in variables if "seed_generator" in v.path]
    for index, state in enumerate(states):
        words = np.random.SeedSequence((seed, index)).generate_state(1)
        state.assign(np.array([words[0], 0], np.uint32))
