"""A forward pass and a gradient under one of Keras's backends; for a test.

    KERAS_BACKEND=jax python -m tests.support.workers.backend_worker \
        OUTPUT.npz [section.field=value ...]

Weights and batch are functions of their position, so that no file passes
between the backends. Writes the loss terms of both stages and the gradient of
their weighted sum for every variable.
"""

import sys
from typing import Any

import keras
import numpy as np

from benchmarks.inputs import numbered_vocabulary
from spactor_tf.config.fields import override
from spactor_tf.config.presets import get_preset
from spactor_tf.data.corruption import corruption_lengths
from spactor_tf.model.curriculum import Stage
from spactor_tf.model.pretrainer import SpactorPretrainer

ROWS = 512
FIELDS = {
    "model.vocabulary_size": ROWS,
    "model.num_layers": 2,
    "model.num_heads": 2,
    "model.hidden_dim": 32,
    "model.intermediate_dim": 64,
    "generator.num_layers": 1,
    "generator.hidden_dim": 16,
    "generator.num_heads": 2,
    "generator.intermediate_dim": 32,
    "corruption.input_length": 32,
}


def batch_of(config: Any) -> dict[str, np.ndarray]:
    """Two rows of random tokens; the last ones are padding."""
    lengths = corruption_lengths(config.corruption)
    random = np.random.default_rng(0)

    def tokens(length: int) -> np.ndarray:
        values = random.integers(3, ROWS - 128, (2, length))
        values[1, -length // 4 :] = 0
        return values.astype(np.int32)

    count = lengths.mlm_tokens
    positions = [
        random.permutation(lengths.input_length)[:count] for _ in range(2)
    ]
    return {
        "encoder_tokens": tokens(lengths.input_length),
        "decoder_targets": tokens(lengths.target_length),
        "mlm_positions": np.sort(positions).astype(np.int32),
        "mlm_uniforms": random.random((2, count), np.float32),
    }


def gradients(variables: list, loss: Any) -> list[np.ndarray]:
    """Returns the gradient of `loss()` with the backend's own means."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        found = tape.gradient(value, [v.value for v in variables])
        return [np.asarray(tf.convert_to_tensor(g)) for g in found]
    if backend == "torch":
        import torch

        parameters = [v.value for v in variables]
        found = torch.autograd.grad(loss(), parameters)
        return [g.detach().numpy() for g in found]
    import jax

    def of_values(values: list) -> Any:
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return loss()

    found = jax.grad(of_values)([v.value for v in variables])
    return [np.asarray(g) for g in found]


def main(output: str, *assignments: str) -> None:
    """Computes and writes everything."""
    fields = dict(a.split("=", 1) for a in assignments)
    config = override(get_preset("tiny"), {**FIELDS, **fields})
    model = SpactorPretrainer(config, numbered_vocabulary(ROWS))
    batch = {
        name: keras.ops.convert_to_tensor(value)
        for name, value in batch_of(config).items()
    }
    arrays: dict[str, np.ndarray] = {}
    for stage in (Stage.HYBRID, Stage.SPAN_CORRUPTION):
        variables = model.stage_variables(stage)
        shares = model.objective_weights(stage)

        def terms(stage: Stage = stage) -> dict[str, Any]:
            return model.loss_terms(batch, stage, training=True)[0]

        def loss(shares: dict = shares, terms: Any = terms) -> Any:
            found = terms()
            return sum(w * found[n].total for n, w in shares.items())

        for name, term in terms().items():
            total = keras.ops.convert_to_numpy(term.total)
            arrays[f"{stage.value}/{name}"] = total
            arrays[f"{stage.value}/{name}_weight"] = keras.ops.convert_to_numpy(
                term.weight
            )
        for index, value in enumerate(gradients(variables, loss)):
            arrays[f"{stage.value}/gradient/{index:03d}"] = value
    np.savez(output, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
