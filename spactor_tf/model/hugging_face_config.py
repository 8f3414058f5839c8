"""The `config.json` of Hugging Face's T5 and mT5, both ways.

Only what KerasHub's `T5Backbone` represents is read; all else is refused.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from runkit import InputError, read_json
from runkit.errors import check_choice
from spactor_tf.config.model import ModelConfig

CONFIG = "config.json"
_ENCODER_MODELS = ("T5EncoderModel", "MT5EncoderModel")
_WHOLE_MODELS = (
    "T5ForConditionalGeneration",
    "MT5ForConditionalGeneration",
    "T5WithLMHeadModel",
)
_ACTIVATIONS = {"relu": "relu", "gated-gelu": "gated_gelu"}
# {feed_forward_proj: what else of it transformers writes and goes by}.
_DENSE: dict[str, dict[str, tuple[str | bool, ...]]] = {
    "relu": {"dense_act_fn": ("relu",), "is_gated_act": (False,)},
    "gated-gelu": {
        "dense_act_fn": ("gelu_new", "gelu_pytorch_tanh"),
        "is_gated_act": (True,),
    },
}
# Theirs -> ours.
_SIZES = {
    "vocab_size": "vocabulary_size",
    "num_layers": "num_layers",
    "num_heads": "num_heads",
    "d_model": "hidden_dim",
    "d_ff": "intermediate_dim",
    "d_kv": "key_value_dim",
}
# What is fixed in this project or in KerasHub's layers; absent means this.
_FIXED = {
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}


@dataclasses.dataclass(frozen=True)
class ForeignConfig:
    """What a `config.json` says.

    Attributes:
        model: sizes; `tie_embeddings` is whether the decoder's output is
            scaled, as T5 does where the embeddings are tied.
        encoder_only: there is no decoder.
        may_share_head: an absent `lm_head.weight` is the embedding.
    """

    model: ModelConfig
    encoder_only: bool
    may_share_head: bool


def read_config(folder: str | os.PathLike) -> ForeignConfig:
    """Reads the `config.json` of a T5 or mT5.

    Raises:
        InputError: malformed, another architecture, or one of these that
            cannot be represented.
    """
    path = pathlib.Path(folder) / CONFIG
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(
            "is not the configuration of a model",
            where=str(path),
            expected="a JSON object",
        )
    encoder_only = _is_encoder_only(content, str(path))
    for name, value in _FIXED.items():
        if (found := content.get(name, value)) not in (value, None):
            raise InputError(
                "cannot be represented",
                where=f"{path}, {name}",
                got=found,
                expected=str(value),
            )
    scaled, may_share_head = _output(content, str(path))
    model = _sizes(content, scaled, str(path))
    decoder_layers = content.get("num_decoder_layers")
    layers = model.num_layers
    if not encoder_only and decoder_layers not in (None, layers):
        raise InputError(
            "differs from num_layers; KerasHub's T5 has as many decoder as "
            "encoder layers",
            where=f"{path}, num_decoder_layers",
            got=decoder_layers,
            expected=str(layers),
        )
    return ForeignConfig(model, encoder_only, may_share_head)


def _output(content: dict[str, Any], where: str) -> tuple[bool, bool]:
    """Returns whether the output is scaled, and may be the embedding.

    transformers scaled the output of a tied mT5 up to its version 4; since
    then it never scales one, whatever the file says of ties.
    """
    is_mt5 = content["model_type"] == "mt5"
    tied = _switch(content, "tie_word_embeddings", not is_mt5, where)
    if is_mt5:
        version = str(content.get("transformers_version"))
        return tied and version.startswith(("3.", "4.")), tied
    scaled = _switch(content, "scale_decoder_outputs", tied, where)
    if scaled and not tied:
        raise InputError(
            "cannot be represented: T5 scales the output of tied embeddings "
            "only",
            where=f"{where}, scale_decoder_outputs",
            got=True,
            expected="what tie_word_embeddings says",
        )
    return scaled, tied


def _switch(
    content: dict[str, Any], name: str, default: bool, where: str
) -> bool:
    value = content.get(name, default)
    if not isinstance(value, bool):
        raise InputError(
            "is neither true nor false", where=f"{where}, {name}", got=value
        )
    return value


def _is_encoder_only(content: dict[str, Any], where: str) -> bool:
    """Checks the architecture; returns whether it has no decoder."""
    architectures = content.get("architectures") or _WHOLE_MODELS[:1]
    kind = content.get("model_type")
    if kind not in ("t5", "mt5"):
        raise InputError(
            "is another architecture",
            where=f"{where}, model_type",
            got=kind,
            expected="t5 or mt5",
        )
    known = _WHOLE_MODELS + _ENCODER_MODELS
    listed = isinstance(architectures, list | tuple)
    found = [name for name in known if listed and name in architectures]
    if not found:
        raise InputError(
            "is another architecture",
            where=f"{where}, architectures",
            got=architectures,
            expected=f"one of {', '.join(known)}",
        )
    return found[0] in _ENCODER_MODELS


def _sizes(content: dict[str, Any], scaled: bool, where: str) -> ModelConfig:
    sizes: dict[str, int] = {}
    for theirs, ours in _SIZES.items():
        value = content.get(theirs)
        if type(value) is not int or value < 1:
            raise InputError(
                "is missing" if value is None else "is not a size",
                where=f"{where}, {theirs}",
                got=value,
                expected="a whole number above 0",
            )
        sizes[ours] = value
    rates = {}
    for name, default in (("dropout_rate", 0.1), ("layer_norm_epsilon", 1e-6)):
        rates[name] = content.get(name, default)
        if type(rates[name]) not in (int, float) or not 0 <= rates[name] < 1:
            raise InputError(
                "is not a number from 0 up to 1",
                where=f"{where}, {name}",
                got=rates[name],
            )
    activation = str(content.get("feed_forward_proj", "relu"))
    check_choice(activation, _ACTIVATIONS, where=f"{where}, feed_forward_proj")
    for name, values in _DENSE[activation].items():
        if (found := content.get(name, values[0])) not in values:
            raise InputError(
                f"is not that of feed_forward_proj {activation!r}",
                where=f"{where}, {name}",
                got=found,
                expected=str(values[0]),
            )
    return ModelConfig(
        **sizes,
        activation=_ACTIVATIONS[activation],
        tie_embeddings=scaled,
        dropout=float(rates["dropout_rate"]),
        layer_norm_epsilon=float(rates["layer_norm_epsilon"]),
    )


def config_content(config: ModelConfig, encoder_only: bool) -> dict[str, Any]:
    """Returns the content of the `config.json` of a model of ours."""
    names = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}
    sizes = {theirs: getattr(config, ours) for theirs, ours in _SIZES.items()}
    models = _ENCODER_MODELS if encoder_only else _WHOLE_MODELS
    return {
        **sizes,
        **_FIXED,
        "architectures": [models[0]],
        "d_kv": config.head_dim,
        "dropout_rate": config.dropout,
        "feed_forward_proj": names[config.activation],
        "is_encoder_decoder": not encoder_only,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "model_type": "t5",
        "num_decoder_layers": config.num_layers,
        "tie_word_embeddings": config.tie_embeddings,
        "torch_dtype": "float32",
        "use_cache": not encoder_only,
    }
