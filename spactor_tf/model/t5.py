"""The T5 body: KerasHub's backbone, initialized and projected as T5 is.

`keras_hub.models.T5Backbone` computes T5 exactly (`t5_test.py` holds it to
Hugging Face's numbers). What it leaves to us: initial values, the output
projection with T5's scale for tied embeddings, the tanh form of GELU that v1.1
was trained with, and an encoder without the decoder.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import keras
import keras_hub
import numpy as np
from keras import ops

from spactor_tf.config.model import ModelConfig

# KerasHub folds the mask into the position bias by itself; Keras warns at every
# trace that the layer does not take one.
warnings.filterwarnings("ignore", ".*(T5MultiHeadAttention).*mask attached.*")


def _gelu() -> Any:
    # The tanh approximation under the name that KerasHub registers, so that a
    # preset opens without this package. `"gelu"` would be the erf form.
    name = "keras_hub>gelu_approximate"
    return keras.saving.get_registered_object(name)


def build_backbone(config: ModelConfig, dtype: Any = None) -> Any:
    """Returns a `keras_hub.models.T5Backbone`; `reinitialize` it for training.

    Args:
        config: sizes; "relu" is T5 v1.0, "gated_gelu" v1.1.
        dtype: Keras dtype policy or its name; None is Keras's default.
    """
    config.validate()
    gated = config.activation == "gated_gelu"
    return keras_hub.models.T5Backbone(
        vocabulary_size=config.vocabulary_size,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        hidden_dim=config.hidden_dim,
        intermediate_dim=config.intermediate_dim,
        key_value_dim=config.head_dim,
        dropout=config.dropout,
        activation=_gelu() if gated else "relu",
        use_gated_activation=gated,
        layer_norm_epsilon=config.layer_norm_epsilon,
        tie_embedding_weights=config.tie_embeddings,
        dtype=dtype,
    )


def backbone_config(backbone: Any) -> ModelConfig:
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


def copy_backbone(backbone: Any, config: ModelConfig, dtype: Any = None) -> Any:
    """Returns a new backbone with the weights of an existing one.

    Args:
        backbone: whose weights are taken.
        config: of the new one, of the same sizes; dropout may differ.
        dtype: Keras dtype policy or its name.
    """
    copy = build_backbone(config, dtype)
    copy.set_weights(backbone.get_weights())
    return copy


def build_encoder(backbone: Any) -> keras.Model:
    """Returns the encoder alone, sharing the backbone's weights.

    Its inputs are `encoder_token_ids` and `encoder_padding_mask`, both
    [batch, length] int32; its output is [batch, length, hidden_dim].
    """
    names = ("encoder_token_ids", "encoder_padding_mask")
    inputs = {name: backbone.input[name] for name in names}
    outputs = backbone.output["encoder_sequence_output"]
    return keras.Model(inputs, outputs, name="t5_encoder")


def mean_pool(states: Any, mask: Any) -> Any:
    """Returns the mean of each row's states over its tokens.

    Args:
        states: [batch, length, hidden_dim], of any floating-point type.
        mask: [batch, length], 1 for a token and 0 for padding.

    Returns:
        [batch, hidden_dim] float32; zeros for a row of nothing but padding.
    """
    weights = ops.expand_dims(ops.cast(mask, "float32"), -1)
    total = ops.sum(ops.cast(states, "float32") * weights, axis=1)
    return total / ops.maximum(ops.sum(weights, axis=1), 1.0)


def decoder_inputs(targets: Any, pad_id: int = 0) -> Any:
    """Shifts targets right; the first decoder input is padding, as in T5."""
    start = ops.full_like(targets[:, :1], pad_id)
    return ops.concatenate([start, targets[:, :-1]], axis=1)


def lm_logits(backbone: Any, hidden: Any) -> Any:
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


# (pattern of the variable's path, standard deviation from its shape and sizes);
# the first match counts. Mesh TensorFlow's T5 and Hugging Face agree on these.
# KerasHub's own initializer puts the *mean* of the embedding at 1.
_INITIAL_DEVIATIONS = (
    (r"reverse_embeddings$", lambda shape, head_dim: shape[0] ** -0.5),
    (r"token_embedding/embeddings$", lambda shape, head_dim: 1.0),
    (r"attention/embeddings$", None),  # Relative bias: width of the stream.
    (r"query_projector", lambda shape, head_dim: (shape[0] * head_dim) ** -0.5),
    (r"kernel$", lambda shape, head_dim: shape[0] ** -0.5),
)


def reinitialize(
    variables: Any, seed: int, *, head_dim: int, hidden_dim: int
) -> None:
    """Draws initial weights as T5 does, a pure function of seed and place.

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
            deviation = _deviation(variable.path, shape, head_dim, hidden_dim)
            random = np.random.default_rng((seed, index))
            value = random.standard_normal(shape, np.float32) * deviation
        variable.assign(value.astype(np.float32))


def seed_dropout(variables: Any, seed: int) -> None:
    """Sets the state of every dropout, a pure function of seed and place.

    Keras seeds its dropout from the process's global generator.

    Args:
        variables: of a model; those that are no such state stay as they are.
        seed: not negative.
    """
    states = [v for v in variables if "seed_generator" in v.path]
    for index, state in enumerate(states):
        words = np.random.SeedSequence((seed, index)).generate_state(1)
        state.assign(np.array([words[0], 0], np.uint32))


def _deviation(
    path: str, shape: tuple[int, ...], head_dim: int, hidden_dim: int
) -> float:
    for pattern, deviation in _INITIAL_DEVIATIONS:
        if re.search(pattern, path):
            if deviation is None:
                return hidden_dim**-0.5
            return deviation(shape, head_dim)
    raise AssertionError(f"no initial value is defined for {path}")
