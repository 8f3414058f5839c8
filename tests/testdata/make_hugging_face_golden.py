"""Writes hugging_face/ARCHITECTURE: folders and outputs of transformers.

`make -C benchmarks golden` runs this in the peers' environment. Each folder is
what `save_pretrained` writes, with golden.npz beside it: inputs, encoder
states, logits and greedy ids. Weights are those of golden_weights.py.
"""

import json
import pathlib
import shutil

import golden_weights
import numpy as np
import torch
from transformers import (
    MT5Config,
    MT5ForConditionalGeneration,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)

FOLDER = pathlib.Path(__file__).resolve().parent / "hugging_face"
SIZES = {
    "vocab_size": 160,
    "d_model": 24,
    "d_ff": 32,
    "d_kv": 8,
    "num_heads": 3,
    "num_layers": 2,
    "dropout_rate": 0.0,
    "decoder_start_token_id": 0,
}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
# Class, configuration, fields of it, most bytes of a shard.
WHOLE = T5ForConditionalGeneration
MODELS = {
    "v1_0": (WHOLE, T5Config, {}, None),
    "v1_1": (WHOLE, T5Config, GATED, None),
    # heads * d_kv != d_model, as in mT5-small; in shards.
    "mt5": (
        MT5ForConditionalGeneration,
        MT5Config,
        GATED | {"d_kv": 12},
        30_000,
    ),
    "gated_tied": (
        WHOLE,
        T5Config,
        GATED | {"tie_word_embeddings": True},
        None,
    ),
    "relu_untied": (WHOLE, T5Config, {"tie_word_embeddings": False}, None),
    "encoder_only": (T5EncoderModel, T5Config, {}, None),
}
GREEDY_TOKENS = 12


def build(kind, config_class, fields):
    """A model with the weights of golden_weights.py, by name."""
    model = kind(config_class(**(SIZES | fields))).eval()
    if kind is not T5EncoderModel and not fields.get(
        "tie_word_embeddings", True
    ):
        # transformers 5 ties the head whatever the configuration says.
        head = torch.empty_like(model.shared.weight)
        model.lm_head.weight = torch.nn.Parameter(head)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            array = golden_weights.weight(name, tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(array))
    return model


def outputs(model, encoder_only):
    """Inputs of two rows, one of them padded, and what comes of them."""
    random = np.random.default_rng(3)
    ids = random.integers(2, SIZES["vocab_size"], (2, 40))
    mask = np.ones((2, 40), np.int64)
    mask[1, 23:] = 0
    decoder = random.integers(2, SIZES["vocab_size"], (2, 9))
    decoder[:, 0] = 0
    given = {
        "input_ids": torch.from_numpy(ids * mask),
        "attention_mask": torch.from_numpy(mask),
    }
    arrays = {"ids": ids * mask, "mask": mask, "decoder_ids": decoder}
    with torch.no_grad():
        if encoder_only:
            states = model(**given).last_hidden_state
            return arrays | {"encoder": states.numpy()}
        result = model(**given, decoder_input_ids=torch.from_numpy(decoder))
        greedy = torch.zeros((2, 1), dtype=torch.long)
        for _ in range(GREEDY_TOKENS):
            logits = model(**given, decoder_input_ids=greedy).logits
            best = logits[:, -1].argmax(-1, keepdim=True)
            greedy = torch.cat([greedy, best], 1)
    return arrays | {
        "encoder": result.encoder_last_hidden_state.numpy(),
        "logits": result.logits.numpy(),
        "greedy": greedy.numpy()[:, 1:],
    }


def write(name):
    """Writes one architecture."""
    kind, config_class, fields, shard = MODELS[name]
    model = build(kind, config_class, fields)
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    size = {} if shard is None else {"max_shard_size": shard}
    model.save_pretrained(folder, **size)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = folder / "config.json"
    content = json.loads(config.read_text())
    if fields.get("tie_word_embeddings") is False:
        # As the published v1.1 and mT5 say it; transformers 5 says it as
        # scale_decoder_outputs, which the tests put back.
        content["tie_word_embeddings"] = False
    config.write_text(json.dumps(content, indent=2) + "\n")
    arrays = outputs(model, kind is T5EncoderModel)
    np.savez_compressed(folder / "golden.npz", **arrays)
    print(name, sorted(path.name for path in folder.iterdir()))


if __name__ == "__main__":
    for architecture in MODELS:
        write(architecture)
