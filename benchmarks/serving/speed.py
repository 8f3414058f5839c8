"""Served decoding with a cache and served embedding, against peers.

    python -m benchmarks.serving.speed [--rounds=9] [--only=embed]

1. `generate` of 64 tokens through the session loader, against the whole model
   run again for each token.
2. `embed` through the session loader, against the same weights in Hugging
   Face's PyTorch T5 encoder, batch 64.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import Arm, compare, in_words, record, row

TEXTS = [
    "The quick brown fox jumps over the lazy dog. " * (1 + i % 4)
    for i in range(64)
]
LENGTH, GENERATED = 128, 64
SIZES = {
    "vocabulary_size": 4096,
    "num_layers": 4,
    "num_heads": 4,
    "hidden_dim": 256,
    "intermediate_dim": 1024,
}


def prepare(folder: pathlib.Path) -> None:
    """Writes a random T5 as a SavedModel, as a preset and as plain arrays."""
    from export.modules.options import ServingOptions
    from export.saved_model.write import export_saved_model
    from runkit.datasets import docstrings
    from spactor_tf.config.model import ModelConfig
    from spactor_tf.data.encoding import encode_texts
    from spactor_tf.data.vocabulary import train_vocabulary
    from spactor_tf.inference.pretrained import Pretrained, save_pretrained
    from spactor_tf.model import t5

    documents = itertools.islice(docstrings.iter_docstrings(), 3000)
    texts = [text for _, text in documents]
    vocabulary = train_vocabulary(texts, SIZES["vocabulary_size"])
    config = ModelConfig(**SIZES)
    backbone = t5.build_backbone(config)
    t5.reinitialize(
        backbone.variables,
        0,
        head_dim=config.head_dim,
        hidden_dim=config.hidden_dim,
    )
    save_pretrained(folder / "preset", backbone, vocabulary)
    export_saved_model(
        Pretrained(backbone, vocabulary, None),
        folder / "served",
        1,
        options=ServingOptions(
            input_length=LENGTH, max_output_length=GENERATED
        ),
    )
    rows = encode_texts(vocabulary, TEXTS, LENGTH)
    tokens = rows.padded(int(rows.lengths().max()))
    mask = (tokens != vocabulary.pad_id).astype(np.int32)
    np.savez(folder / "inputs.npz", tokens=tokens, mask=mask)
    np.savez(folder / "encoder.npz", **_encoder_weights(backbone))


def _encoder_weights(backbone: Any) -> dict[str, np.ndarray]:
    """Returns the encoder's weights under Hugging Face's names."""
    plain = {"shared.weight": backbone.token_embedding.embeddings}
    plain["encoder.final_layer_norm.weight"] = (
        backbone.encoder_layer_norm.weight
    )
    kernels = {}
    for index, layer in enumerate(backbone.encoder_transformer_layers):
        prefix = f"encoder.block.{index}.layer"
        attention = f"{prefix}.0.SelfAttention"
        for name in ("query", "key", "value", "output"):
            projector = getattr(layer.self_attention, f"{name}_projector")
            kernels[f"{attention}.{name[0]}.weight"] = projector.kernel
        dense = f"{prefix}.1.DenseReluDense"
        kernels[f"{dense}.wi.weight"] = layer.input_projector.kernel
        kernels[f"{dense}.wo.weight"] = layer.output_projector.kernel
        plain[f"{prefix}.0.layer_norm.weight"] = (
            layer.self_attention_layer_norm.weight
        )
        plain[f"{prefix}.1.layer_norm.weight"] = layer.layer_norm.weight
        if index == 0:
            plain[f"{attention}.relative_attention_bias.weight"] = (
                layer.self_attention.relative_attention_bias
            )
    # PyTorch stores the kernel of a dense layer transposed.
    return {name: np.array(v) for name, v in plain.items()} | {
        name: np.array(kernel).T for name, kernel in kernels.items()
    }


def served(folder: str, signature: str) -> Callable[[], dict[str, float]]:
    """Returns the arm that runs a signature through the session loader."""
    from export.saved_model.session import SessionModel

    model = SessionModel(pathlib.Path(folder) / "served" / "1")
    texts = TEXTS if signature == "embed" else TEXTS[:8]

    def run() -> dict[str, float]:
        model.run(signature, {"text": texts})
        return {"units": len(texts)}

    return run


def whole_model_per_token(folder: str) -> Callable[[], dict[str, float]]:
    """Returns the arm that decodes greedily, the whole model per token."""
    import tensorflow as tf

    from spactor_tf import load_pretrained
    from spactor_tf.model import t5

    backbone = load_pretrained(pathlib.Path(folder) / "preset").backbone

    ids = tf.TensorSpec([None, None], tf.int32)  # Traced once for all lengths.

    @tf.function(input_signature=[ids, ids, ids])
    def logits(tokens: Any, mask: Any, targets: Any) -> Any:
        inputs = {
            "encoder_token_ids": tokens,
            "encoder_padding_mask": mask,
            "decoder_token_ids": targets,
            "decoder_padding_mask": tf.ones_like(targets),
        }
        hidden = backbone(inputs)["decoder_sequence_output"]
        return t5.lm_logits(backbone, hidden[:, -1])

    arrays = np.load(pathlib.Path(folder) / "inputs.npz")
    tokens, mask = arrays["tokens"][:8], arrays["mask"][:8]

    def run() -> dict[str, float]:
        targets = np.zeros((len(tokens), GENERATED), np.int32)
        for step in range(GENERATED):
            row_logits = logits(tokens, mask, targets[:, : step + 1])
            if step + 1 < GENERATED:
                targets[:, step + 1] = np.argmax(row_logits, -1)
        return {"units": len(tokens)}

    return run


def hugging_face_embed(folder: str) -> Callable[[], dict[str, float]]:
    """Returns the arm of the same encoder in PyTorch, from token ids on."""
    import torch
    from transformers import T5Config, T5EncoderModel

    model = T5EncoderModel(
        T5Config(
            vocab_size=SIZES["vocabulary_size"],
            d_model=SIZES["hidden_dim"],
            d_ff=SIZES["intermediate_dim"],
            d_kv=SIZES["hidden_dim"] // SIZES["num_heads"],
            num_heads=SIZES["num_heads"],
            num_layers=SIZES["num_layers"],
            dropout_rate=0.0,
        )
    ).eval()
    weights = np.load(pathlib.Path(folder) / "encoder.npz")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in weights:
                parameter.copy_(torch.from_numpy(weights[name].copy()))
    arrays = np.load(pathlib.Path(folder) / "inputs.npz")
    tokens = torch.from_numpy(arrays["tokens"]).long()
    mask = torch.from_numpy(arrays["mask"]).long()

    @torch.inference_mode()
    def run() -> dict[str, float]:
        states = model(input_ids=tokens, attention_mask=mask)[0]
        weight = mask[..., None].float()
        pooled = (states * weight).sum(1) / weight.sum(1)
        return {"units": len(tokens), "first": float(pooled[0, 0])}

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=("generate", "embed"))
    options = parser.parse_args()
    module = "benchmarks.serving.speed"
    with tempfile.TemporaryDirectory() as name:
        folder = {"folder": name}
        prepare(pathlib.Path(name))
        if options.only != "embed":
            whole = Arm(
                "whole model per token",
                f"{module}:whole_model_per_token",
                folder,
            )
            cached = Arm(
                "served, cached",
                f"{module}:served",
                {**folder, "signature": "generate"},
            )
            timings = compare([cached, whole], options.rounds)
            peer = timings[whole.name]
            rows = [row(t, peer) for t in timings.values()]
            record(
                "serving_generate",
                rows,
                timings=timings,
                notes=[
                    f"8 texts, {GENERATED} tokens, random weights, "
                    f"{in_words(SIZES)}; "
                    "ours reads and writes text, the other arm token ids."
                ],
            )
        if options.only != "generate":
            ours = Arm(
                "served", f"{module}:served", {**folder, "signature": "embed"}
            )
            torch = Arm(
                "Hugging Face",
                f"{module}:hugging_face_embed",
                folder,
                peer=True,
            )
            timings = compare([ours, torch], options.rounds)
            peer = timings[torch.name]
            rows = [row(t, peer) for t in timings.values()]
            record(
                "serving_embed",
                rows,
                timings=timings,
                notes=[
                    f"Batch 64, the same random weights, {in_words(SIZES)}; "
                    "ours tokenizes, the other arm starts from token ids."
                ],
            )


if __name__ == "__main__":
    main()
