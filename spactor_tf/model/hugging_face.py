"""T5 of Hugging Face transformers: weights, both ways.

Read and written are `model_type` t5 and mt5: v1.0 (ReLU), v1.1 and mT5 (gated
GELU in its tanh form), tied and untied, whole or encoder alone. Every weight is
one variable here; a kernel `[in, out]` is stored there as `[out, in]`.
"""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import keras
import numpy as np

from runkit import InputError
from runkit.checks import require_finite
from spactor_tf.config.model import ModelConfig, least_weights
from spactor_tf.model import t5
from spactor_tf.model.hugging_face_config import ForeignConfig, read_config
from spactor_tf.model.tensor_files import TensorFolder

SHARED, HEAD = "shared.weight", "lm_head.weight"
# Copies of the embedding that some files hold beside it.
_COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
# Old files hold a bias that T5 never reads; transformers passes over it too.
_UNREAD = (
    "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
)

# (Hugging Face's name, variable, whether the stored matrix is transposed)
Weight: TypeAlias = tuple[str, keras.Variable, bool]


def weights_of(backbone: t5.Backbone, encoder_only: bool) -> Iterator[Weight]:
    """Yields the weights of a backbone under the names of Hugging Face.

    Args:
        backbone: KerasHub's T5.
        encoder_only: the decoder and the output projection are left out.
    """
    embedding = backbone.token_embedding
    yield SHARED, embedding.embeddings, False
    if not (encoder_only or backbone.tie_embedding_weights):
        yield HEAD, embedding.reverse_embeddings, True
    for side in ("encoder", "decoder")[: 1 if encoder_only else 2]:
        layers = getattr(backbone, f"{side}_transformer_layers")
        for index, layer in enumerate(layers):
            yield from _layer(layer, f"{side}.block.{index}.layer")
        bias = layers[0].self_attention.relative_attention_bias
        first = f"{side}.block.0.layer.0.SelfAttention"
        yield f"{first}.relative_attention_bias.weight", bias, False
        norm = getattr(backbone, f"{side}_layer_norm").weight
        yield f"{side}.final_layer_norm.weight", norm, False


def _layer(layer: Any, prefix: str) -> Iterator[Weight]:
    parts = [("SelfAttention", layer.self_attention)]
    norms = [layer.self_attention_layer_norm]
    if layer.is_decoder:
        parts.append(("EncDecAttention", layer.cross_attention))
        norms.append(layer.cross_attention_layer_norm)
    for place, (name, attention) in enumerate(parts):
        for ours in ("query", "key", "value", "output"):
            kernel = getattr(attention, f"{ours}_projector").kernel
            yield f"{prefix}.{place}.{name}.{ours[0]}.weight", kernel, True
    for place, norm in enumerate([*norms, layer.layer_norm]):
        yield f"{prefix}.{place}.layer_norm.weight", norm.weight, False
    dense = f"{prefix}.{len(parts)}.DenseReluDense"
    gated = layer.use_gated_activation
    names = {("wi_0" if gated else "wi"): layer.input_projector}
    if gated:
        names["wi_1"] = layer.gate_projector
    names["wo"] = layer.output_projector
    for name, projector in names.items():
        yield f"{dense}.{name}.weight", projector.kernel, True


def tensors_of(
    backbone: t5.Backbone, encoder_only: bool = False
) -> dict[str, np.ndarray]:
    """Returns {Hugging Face's name: float32 array} of a backbone."""
    tensors = {}
    for name, variable, transposed in weights_of(backbone, encoder_only):
        value = np.asarray(variable.value).astype(np.float32)
        tensors[name] = value.T if transposed else value
    return tensors


def _check_sizes(model: ModelConfig, files: TensorFolder, where: str) -> None:
    """Refuses sizes that the weights are too few for, before memory is taken.

    Raises:
        InputError: a configuration of a larger model.
    """
    held = sum(math.prod(shape) for shape in files.shapes.values())
    least = least_weights(
        model.vocabulary_size,
        model.hidden_dim,
        model.num_layers,
        model.intermediate_dim,
        inner_dim=model.num_heads * model.head_dim,
    )
    if least > held:
        raise InputError(
            "the weights are too few for the sizes of config.json",
            where=where,
            got=f"{held:,} weights",
            expected=f"more than {least:,}",
        )


def read_backbone(
    folder: str | os.PathLike, dtype: t5.DType = None
) -> t5.Backbone:
    """Reads the model of a folder with `config.json` and safetensors.

    Args:
        folder: as transformers' `save_pretrained` writes it.
        dtype: Keras dtype policy of the backbone; None is Keras's default.

    Returns:
        The backbone. The decoder has T5's initial values where the folder
        holds an encoder alone.

    Raises:
        InputError: what `read_config` and `TensorFolder` raise; weights that
            are too few, missing, unknown, of a wrong shape or not finite.
    """
    folder = pathlib.Path(folder)
    config, files = read_config(folder), TensorFolder(folder)
    _check_sizes(config.model, files, str(folder))
    source = {name: name for name in files.shapes}
    _join_copies(source, files, str(folder))
    model = config.model
    if not config.encoder_only:
        _settle_head(source, files, config, str(folder))
    backbone = t5.build_backbone(model, dtype)
    if config.encoder_only:
        t5.reinitialize(
            backbone.variables,
            0,
            head_dim=model.head_dim,
            hidden_dim=model.hidden_dim,
        )
    weights = list(weights_of(backbone, config.encoder_only))
    _check_names({name for name, _, _ in weights}, set(source), str(folder))
    for name, variable, transposed in weights:
        value = files.read(source[name])
        wanted = tuple(variable.shape)[:: -1 if transposed else 1]
        if value.shape != wanted:
            raise InputError(
                "has another shape than config.json says",
                where=f"{folder}, {name}",
                got=value.shape,
                expected=str(wanted),
            )
        require_finite(
            [(name, value)],
            "the weights",
            str(folder),
            "Take an earlier checkpoint",
        )
        variable.assign(value.T if transposed else value)
    return backbone


def _join_copies(
    source: dict[str, str], files: TensorFolder, where: str
) -> None:
    """Drops copies of the embedding, and what T5 never reads."""
    for name in _UNREAD:
        source.pop(name, None)
    for copy in _COPIES:
        if source.pop(copy, None) is None:
            continue
        source.setdefault(SHARED, copy)
        if not _same(files, source[SHARED], copy):
            raise InputError(
                f"differs from {SHARED}; T5 has one input embedding",
                where=f"{where}, {copy}",
            )


def _settle_head(
    source: dict[str, str],
    files: TensorFolder,
    config: ForeignConfig,
    where: str,
) -> None:
    """Decides what projects the output, from configuration and weights.

    Untied here means: a matrix of its own, without T5's scale. transformers 5
    may drop an unscaled output that equals the embedding from the file.
    """
    if config.model.tie_embeddings:
        if source.pop(HEAD, None) is None:
            return
        source.setdefault(SHARED, HEAD)
        if not _same(files, source[SHARED], HEAD):
            raise InputError(
                f"differs from {SHARED}, although tie_word_embeddings is true",
                where=f"{where}, {HEAD}",
                remedy='Say "tie_word_embeddings": false in config.json if '
                "the model was trained so",
            )
    elif config.may_share_head and SHARED in source:
        source.setdefault(HEAD, source[SHARED])


def _same(files: TensorFolder, first: str, second: str) -> bool:
    if first == second:
        return True
    return files.shapes[first] == files.shapes[second] and np.array_equal(
        files.read(first), files.read(second), equal_nan=True
    )


def _check_names(wanted: set[str], found: set[str], where: str) -> None:
    for what, names in (
        ("weights are missing", wanted - found),
        ("holds weights that this model does not have", found - wanted),
    ):
        if names:
            raise InputError(
                what,
                where=where,
                got=f"{len(names)}, the first is {min(names)}",
            )
