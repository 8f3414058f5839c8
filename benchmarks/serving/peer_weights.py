"""One set of T5 weights for us, for `transformers` and for CTranslate2.

`python -m benchmarks.serving.peer_weights FOLDER SIZES` writes the weights of a
folder once for both, in the peers' environment, so that what an arm needs to
start, in time and memory, holds no conversion.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np


def weights_by_name(backbone: Any) -> dict[str, np.ndarray]:
    """Returns all weights under Hugging Face's names."""
    plain = {"shared.weight": backbone.token_embedding.embeddings}
    kernels: dict[str, Any] = {}
    for stack in ("encoder", "decoder"):
        norm = getattr(backbone, f"{stack}_layer_norm").weight
        plain[f"{stack}.final_layer_norm.weight"] = norm
        layers = getattr(backbone, f"{stack}_transformer_layers")
        for index, layer in enumerate(layers):
            prefix = f"{stack}.block.{index}.layer"
            own = f"{prefix}.0.SelfAttention"
            parts = [(own, layer.self_attention)]
            plain[f"{prefix}.0.layer_norm.weight"] = (
                layer.self_attention_layer_norm.weight
            )
            last = 1
            if stack == "decoder":
                last = 2
                cross = f"{prefix}.1.EncDecAttention"
                parts.append((cross, layer.cross_attention))
                plain[f"{prefix}.1.layer_norm.weight"] = (
                    layer.cross_attention_layer_norm.weight
                )
            for part, attention in parts:
                for name in ("query", "key", "value", "output"):
                    projector = getattr(attention, f"{name}_projector")
                    kernels[f"{part}.{name[0]}.weight"] = projector.kernel
            dense = f"{prefix}.{last}.DenseReluDense"
            kernels[f"{dense}.wi.weight"] = layer.input_projector.kernel
            kernels[f"{dense}.wo.weight"] = layer.output_projector.kernel
            plain[f"{prefix}.{last}.layer_norm.weight"] = (
                layer.layer_norm.weight
            )
            if index == 0:
                plain[f"{own}.relative_attention_bias.weight"] = (
                    layer.self_attention.relative_attention_bias
                )
    # PyTorch stores the kernel of a dense layer transposed.
    return {name: np.array(v) for name, v in plain.items()} | {
        name: np.array(kernel).T for name, kernel in kernels.items()
    }


def torch_model(folder: str, sizes: Mapping[str, int]) -> Any:
    """Returns the model of `transformers` with `weights.npz` of a folder."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.set_num_threads(1)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=sizes["vocabulary_size"],
            d_model=sizes["hidden_dim"],
            d_ff=sizes["intermediate_dim"],
            d_kv=sizes["hidden_dim"] // sizes["num_heads"],
            num_heads=sizes["num_heads"],
            num_layers=sizes["num_layers"],
            dropout_rate=0.0,
            decoder_start_token_id=0,
        )
    ).eval()
    weights = np.load(pathlib.Path(folder) / "weights.npz")
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            array = weights[parameter_name].copy()
            parameter.copy_(torch.from_numpy(array))
    return model


def write_ctranslate2(
    model: Any, pieces: Any, target: pathlib.Path, quantization: str
) -> None:
    """Writes a model of `transformers` for CTranslate2."""
    from ctranslate2.converters import converter, transformers

    names = [pieces.id_to_piece(i) for i in range(pieces.get_piece_size())]

    class FromMemory(converter.Converter):
        def _load(self) -> Any:
            loader = transformers.T5Loader()
            spec = loader.get_model_spec(model)
            spec.config.bos_token = spec.config.decoder_start_token = names[0]
            spec.config.eos_token, spec.config.unk_token = names[1:3]
            loader.set_vocabulary(spec, names)
            return spec

    import torch

    with torch.no_grad():
        FromMemory().convert(str(target), quantization=quantization, force=True)


def pieces_of(folder: str) -> Any:
    """Returns the SentencePiece processor of the preset of a folder."""
    import sentencepiece

    path = pathlib.Path(folder) / "preset/assets/tokenizer/vocabulary.spm"
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


def main() -> None:
    folder, sizes = sys.argv[1:]
    model = torch_model(folder, json.loads(sizes))
    model.save_pretrained(pathlib.Path(folder) / "hugging_face")
    for quantization in ("float32", "int8"):
        target = pathlib.Path(folder) / f"ctranslate2_{quantization}"
        write_ctranslate2(model, pieces_of(folder), target, quantization)


if __name__ == "__main__":
    main()
