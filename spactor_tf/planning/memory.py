"""Memory of a step on one device, from the configuration alone.

A graph keeps what its backward pass needs. The peak is at one of two moments:

    forward end     all activations, the logits and their gradient
    backward end    all gradients, and the other of the two gradients whose sum
                    is that of a tied embedding

Weights and optimizer slots are held all the time; with accumulation, so is the
sum of the gradients. Both are upper bounds, because the order of a graph's
operations is free: the generator's backward pass need not wait for T5, nor,
without clipping, an update for the other gradients.

Counted are the tensors of TensorFlow's graph; the benchmark `planned_memory`
compares them with the allocator's count. XLA fuses elementwise work, so that a
compiled step takes rather less. What the program itself, a framework's
workspaces and batches on their way take is not counted.
"""

from __future__ import annotations

import dataclasses

from spactor_tf.config.model import GeneratorConfig, ModelConfig
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.corruption import CorruptionLengths, corruption_lengths
from spactor_tf.model.curriculum import Stage
from spactor_tf.planning.parameters import (
    num_parameters,
    parameter_shapes,
    slot_elements,
    stage_parts,
)

_FLOAT32 = 4


@dataclasses.dataclass(frozen=True)
class StageMemory:
    """Bytes on one device in a stage.

    Attributes:
        weights: all parameters that the run has, float32.
        slots: what the optimizer keeps, float32.
        gradients: of the parameters that the stage updates, float32.
        activations: {"encoder", "decoder", "logits", "replaced_token_head",
            "generator"}, as far as the stage has them, of one slice of the
            device's batch; in mixed precision also "cast_weights".
        workspace: beside the gradients at the end of the backward pass.
        accumulated: the sum of the gradients of earlier slices.
        peak: the largest sum that is held at one moment.
    """

    weights: int
    slots: int
    gradients: int
    activations: dict[str, int]
    workspace: int
    accumulated: int

    @property
    def peak(self) -> int:
        """Largest number of bytes at one moment."""
        forward_end = sum(self.activations.values())
        backward_end = self.gradients + self.workspace
        held = self.weights + self.slots + self.accumulated
        return held + max(forward_end, backward_end)


def stage_memory(
    config: PretrainConfig, stage: Stage, devices: int = 1
) -> StageMemory:
    """Returns the memory of a stage's step.

    Args:
        config: of the run; its batch is divided among devices and slices.
        stage: of the step.
        devices: the devices that the replicas run on; each holds all weights.
    """
    parts = parameter_shapes(config)
    updated = [s for name in stage_parts(stage) for s in parts[name]]
    gradients = _FLOAT32 * num_parameters(updated)
    rows = config.batch_size // (devices * config.accumulation_steps)
    model = config.model
    table = _FLOAT32 * model.vocabulary_size * model.hidden_dim
    return StageMemory(
        weights=_FLOAT32 * sum(map(num_parameters, parts.values())),
        slots=_FLOAT32 * slot_elements(config),
        gradients=gradients,
        activations=_activations(config, stage, rows),
        workspace=table if model.tie_embeddings else 0,
        accumulated=gradients if config.accumulation_steps > 1 else 0,
    )


def _activations(
    config: PretrainConfig, stage: Stage, rows: int
) -> dict[str, int]:
    """Bytes of the activations at the end of the forward pass."""
    lengths = corruption_lengths(config.corruption)
    model = config.model
    size = _FLOAT32 if config.dtype == "float32" else 2
    table = size * model.vocabulary_size * model.hidden_dim
    parts = {"encoder": rows * _encoder(model, lengths, size)}
    if size < _FLOAT32:
        # The weights in the type of the computation, for the backward pass.
        shapes = parameter_shapes(config)
        used = (shapes[part] for part in stage_parts(stage)[1:])
        parts["cast_weights"] = size * sum(map(num_parameters, used))
    if stage.has_decoder:
        parts["decoder"] = rows * _decoder(model, lengths, size)
        # The logits and the gradient that the loss computes beside itself.
        logits = 2 * _FLOAT32 * lengths.target_length * model.vocabulary_size
        transposed = table if model.tie_embeddings or size < _FLOAT32 else 0
        parts["logits"] = rows * logits + transposed
    if stage.has_generator:
        one = _generator(config.generator, model, lengths, size)
        parts["generator"] = rows * one + table
        # Four steps of the exact GELU.
        head = 4 * size * lengths.input_length * model.hidden_dim
        parts["replaced_token_head"] = rows * head
    return parts


def _attention(
    queries: int, keys: int, inner: int, heads: int, dropout: bool, size: int
) -> int:
    """Queries, keys, values and outputs by head; the softmax; its dropout."""
    scores = heads * queries * keys
    kept = size * (2 * queries * inner + 2 * keys * inner + scores)
    # What dropout leaves, and a mask of a byte for each number.
    return kept + dropout * (size + 1) * scores


def _feed_forward(
    length: int, width: int, gated: bool, dropout: bool, size: int
) -> int:
    # Gated: two projections, their product and four steps of the tanh form.
    kept = size * length * width * (7 if gated else 1)
    return kept + dropout * (size + 1) * length * width


def _stream(
    length: int, width: int, blocks: int, drops: bool, size: int
) -> int:
    """Each block's sum with its residual, and the norm's two products."""
    return blocks * length * width * (3 * size + drops)


def _encoder(model: ModelConfig, lengths: CorruptionLengths, size: int) -> int:
    n, width = lengths.input_length, model.hidden_dim
    inner, drops = model.num_heads * model.head_dim, model.dropout > 0
    gated = model.activation == "gated_gelu"
    layer = _stream(n, width, 2, drops, size)
    layer += _attention(n, n, inner, model.num_heads, drops, size)
    layer += _feed_forward(n, model.intermediate_dim, gated, drops, size)
    # The embedded tokens and the last norm; with dropout its output too.
    ends = n * width * (3 * size + drops * (size + 2))
    return model.num_layers * layer + ends


def _decoder(model: ModelConfig, lengths: CorruptionLengths, size: int) -> int:
    n, m, width = (
        lengths.input_length,
        lengths.target_length,
        model.hidden_dim,
    )
    inner, drops = model.num_heads * model.head_dim, model.dropout > 0
    gated = model.activation == "gated_gelu"
    layer = _stream(m, width, 3, drops, size)
    layer += _attention(m, m, inner, model.num_heads, drops, size)
    layer += _attention(m, n, inner, model.num_heads, drops, size)
    layer += _feed_forward(m, model.intermediate_dim, gated, drops, size)
    ends = m * width * (3 * size + drops * (size + 2))
    return model.num_layers * layer + ends


def _generator(
    generator: GeneratorConfig,
    model: ModelConfig,
    lengths: CorruptionLengths,
    size: int,
) -> int:
    """The generator's layers, and its logits' gradient."""
    n, width = lengths.input_length, generator.hidden_dim
    drops = model.dropout > 0
    layer = _stream(n, width, 2, drops, size)
    layer += _attention(n, n, width, generator.num_heads, drops, size)
    layer += _feed_forward(n, generator.intermediate_dim, False, drops, size)
    ends = size * n * (model.hidden_dim + 3 * width)
    logits = _FLOAT32 * lengths.mlm_tokens * model.vocabulary_size
    return generator.num_layers * layer + ends + logits
