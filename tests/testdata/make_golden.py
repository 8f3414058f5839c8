"""Writes the golden files from the published PyTorch implementations.

`make -C benchmarks golden` runs this in the peers' environment. The outputs
are those of Hugging Face transformers: T5ForConditionalGeneration (float32)
and Adafactor (float64). Nothing is read but golden_weights.py.
"""

import pathlib

import golden_weights
import numpy as np
import torch
from transformers import T5Config, T5ForConditionalGeneration
from transformers.optimization import Adafactor

FOLDER = pathlib.Path(__file__).resolve().parent
PAD = 0
IGNORED = -100  # Hugging Face's label of positions outside the loss.
# rows, encoder length, decoder length, padding of the last row in both
CASES = {"short": (4, 24, 12, 9, 5), "long": (2, 150, 140, 60, 37)}
# Of a long row only every seventh position's logits are kept.
LOGITS_STRIDE = {"short": 1, "long": 7}


def hugging_face_t5(activation, tie_embeddings, key_value_dim):
    """The model with the weights of golden_weights.py."""
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=golden_weights.VOCABULARY_SIZE,
            d_model=golden_weights.HIDDEN_DIM,
            d_ff=golden_weights.INTERMEDIATE_DIM,
            d_kv=key_value_dim,
            num_heads=golden_weights.NUM_HEADS,
            num_layers=golden_weights.NUM_LAYERS,
            feed_forward_proj=activation.replace("_", "-"),
            tie_word_embeddings=tie_embeddings,
            dropout_rate=0.0,
            decoder_start_token_id=PAD,
            pad_token_id=PAD,
        )
    ).eval()
    if not tie_embeddings:
        # transformers 5 ties the head whatever the configuration says.
        head = torch.empty_like(model.shared.weight)
        model.lm_head.weight = torch.nn.Parameter(head)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            array = golden_weights.weight(name, tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(array))
    return model


def t5_inputs(case, random):
    """Random token ids; the last row is padded on both sides."""
    rows, encoder, decoder, encoder_pad, decoder_pad = CASES[case]

    def ids(length):
        high = golden_weights.VOCABULARY_SIZE
        return random.integers(2, high, (rows, length))

    encoder_mask = np.ones((rows, encoder), np.int32)
    decoder_mask = np.ones((rows, decoder), np.int32)
    encoder_mask[-1, encoder - encoder_pad :] = 0
    decoder_mask[-1, decoder - decoder_pad :] = 0
    decoder_ids = ids(decoder) * decoder_mask
    decoder_ids[:, 0] = PAD
    return {
        "encoder_token_ids": (ids(encoder) * encoder_mask).astype(np.int32),
        "encoder_padding_mask": encoder_mask,
        "decoder_token_ids": decoder_ids.astype(np.int32),
        "decoder_padding_mask": decoder_mask,
        "labels": np.where(decoder_mask > 0, ids(decoder), IGNORED).astype(
            np.int32
        ),
    }


def t5_outputs(model, inputs):
    """States, logits, loss and two gradients of one batch."""

    def tensor(name):
        return torch.from_numpy(inputs[name]).long()

    model.zero_grad()
    result = model(
        input_ids=tensor("encoder_token_ids"),
        attention_mask=tensor("encoder_padding_mask"),
        decoder_input_ids=tensor("decoder_token_ids"),
        decoder_attention_mask=tensor("decoder_padding_mask"),
        labels=tensor("labels"),
        output_hidden_states=True,
    )
    result.loss.backward()
    relative = model.decoder.block[0].layer[0].SelfAttention
    return {
        "encoder": result.encoder_last_hidden_state,
        "decoder": result.decoder_hidden_states[-1],
        "logits": result.logits,
        "loss": result.loss,
        "embedding_gradient": model.shared.weight.grad,
        "relative_bias_gradient": relative.relative_attention_bias.weight.grad,
    }


def write_t5(name):
    """Writes t5_NAME.npz with keys CASE/FIELD."""
    model = hugging_face_t5(**golden_weights.MODELS[name])
    random = np.random.default_rng(0)
    arrays = {}
    for case in CASES:
        inputs = t5_inputs(case, random)
        outputs = {
            field: value.detach().numpy().copy()
            for field, value in t5_outputs(model, inputs).items()
        }
        positions = np.arange(0, CASES[case][2], LOGITS_STRIDE[case])
        outputs["logits"] = outputs["logits"][:, positions]
        outputs["logits_positions"] = positions
        for field, value in (inputs | outputs).items():
            arrays[f"{case}/{field}"] = value
    np.savez_compressed(FOLDER / f"t5_{name}.npz", **arrays)


STEPS = 10
# Arguments of transformers' Adafactor; beta1 is the momentum.
ADAFACTOR_CONFIGS = {
    "default": {},
    "unscaled": {"scale_parameter": False},
    "relative_step": {"lr": None, "relative_step": True},
    "relative_step_unscaled": {
        "lr": None,
        "relative_step": True,
        "scale_parameter": False,
    },
    "momentum": {"beta1": 0.9},
    "momentum_unscaled": {"beta1": 0.9, "scale_parameter": False},
    "loose_clip": {"clip_threshold": 5.0, "decay_rate": -0.5},
}
SHAPES = {
    "matrix": (7, 5),
    "vector": (6,),
    "scalar": (),
    "zeros": (4, 3),
    "row": (1, 8),
    # Read by token id; "tied" is used as a matrix too.
    "lookup": (11, 4),
    "tied": (11, 4),
}
LOOKUPS = 30  # of 8 of 11 embedding rows: ids repeat, some rows stay unread.


def adafactor_inputs(random):
    """Start values and, for each step, gradients of very different sizes."""
    arrays = {}
    for name, shape in SHAPES.items():
        start = random.standard_normal(shape)
        arrays[f"start/{name}"] = start * (name != "zeros")
        # Sizes over four decades, so that the clip acts in some steps only.
        sizes = 10.0 ** random.uniform(-3, 1, (STEPS,) + (1,) * len(shape))
        arrays[f"gradient/{name}"] = sizes * random.standard_normal(
            (STEPS, *shape)
        )
    arrays["ids"] = random.integers(0, 8, (STEPS, LOOKUPS))
    arrays["cotangents"] = random.standard_normal((STEPS, LOOKUPS, 4))
    # What TensorFlow will see must be what PyTorch saw.
    return {
        name: value.astype(np.int32 if name == "ids" else np.float32)
        for name, value in arrays.items()
    }


def adafactor_loss(parameters, inputs, step):
    """One scalar whose gradients are the given ones."""
    ids = torch.from_numpy(inputs["ids"][step]).long()
    cotangents = torch.from_numpy(inputs["cotangents"][step]).double()
    loss = 0.0
    for name, parameter in parameters.items():
        if name in ("lookup", "tied"):
            read = torch.nn.functional.embedding(ids, parameter)
            loss += (cotangents * read).sum()
        if name != "lookup":
            gradient = torch.as_tensor(inputs[f"gradient/{name}"])[step]
            loss += (gradient.double() * parameter).sum()
    return loss


def adafactor_trajectory(config, inputs):
    """Every parameter after every step, [STEPS, *shape] float64."""
    parameters = {
        name: torch.nn.Parameter(
            torch.as_tensor(inputs[f"start/{name}"]).double()
        )
        for name in SHAPES
    }
    arguments = {"lr": 0.1, "relative_step": False} | config
    optimizer = Adafactor(list(parameters.values()), **arguments)
    trajectory = {name: [] for name in SHAPES}
    for step in range(STEPS):
        optimizer.zero_grad()
        adafactor_loss(parameters, inputs, step).backward()
        optimizer.step()
        for name, parameter in parameters.items():
            trajectory[name].append(parameter.detach().numpy().copy())
    return {name: np.stack(values) for name, values in trajectory.items()}


def write_adafactor():
    """Writes adafactor.npz: inputs, and CONFIG/PARAMETER trajectories."""
    arrays = adafactor_inputs(np.random.default_rng(1))
    for config, arguments in ADAFACTOR_CONFIGS.items():
        trajectory = adafactor_trajectory(arguments, dict(arrays))
        for name, values in trajectory.items():
            arrays[f"{config}/{name}"] = values
    np.savez_compressed(FOLDER / "adafactor.npz", **arrays)


def main():
    for name in golden_weights.MODELS:
        write_t5(name)
    write_adafactor()


if __name__ == "__main__":
    main()
