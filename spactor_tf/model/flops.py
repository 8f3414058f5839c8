"""Floating-point operations of a step, from the configuration alone.

Counts matrix products, two operations per multiply-add; the backward pass costs
twice the forward pass (a product for the inputs, a product for the weights).
Norms, softmaxes and the optimizer are elementwise and not counted, as is usual
in plots of quality against FLOPs.
"""

from __future__ import annotations

from spactor_tf.config.model import GeneratorConfig, ModelConfig
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.corruption import CorruptionLengths, corruption_lengths
from spactor_tf.model.curriculum import Stage, stage_at

_TRAINING = 3  # Forward once, backward twice.


def _dense(length: int, inputs: int, outputs: int) -> int:
    return 2 * length * inputs * outputs


def _attention(queries: int, keys: int, width: int, inner: int) -> int:
    """Projections of queries and keys, scores, weighted sum, output."""
    projections = 2 * _dense(queries, width, inner)
    projections += 2 * _dense(keys, width, inner)
    return projections + 2 * _dense(queries, inner, keys)


def _feed_forward(length: int, model: ModelConfig) -> int:
    matrices = 3 if model.activation == "gated_gelu" else 2
    return matrices * _dense(length, model.hidden_dim, model.intermediate_dim)


def forward_flops(
    config: PretrainConfig,
    stage: Stage,
    lengths: CorruptionLengths | None = None,
) -> dict[str, int]:
    """Returns the forward FLOPs of one example by part.

    Args:
        config: of the run.
        stage: only parts in its graph are listed.
        lengths: static sizes; derived from the configuration by default.

    Returns:
        {"encoder": ..., "decoder": ..., "lm_head": ..., "generator": ...,
        "generator_head": ..., "rtd_head": ...}.
    """
    lengths = lengths or corruption_lengths(config.corruption)
    model = config.model
    inputs, targets = lengths.input_length, lengths.target_length
    width, inner = model.hidden_dim, model.num_heads * model.head_dim
    encoder = _attention(inputs, inputs, width, inner)
    encoder += _feed_forward(inputs, model)
    parts = {"encoder": model.num_layers * encoder}
    if stage.has_decoder:
        decoder = _attention(targets, targets, width, inner)
        decoder += _attention(targets, inputs, width, inner)
        decoder += _feed_forward(targets, model)
        parts["decoder"] = model.num_layers * decoder
        parts["lm_head"] = _dense(targets, width, model.vocabulary_size)
    if stage.has_generator:
        parts |= _generator_flops(config.generator, model, lengths)
        parts["rtd_head"] = _dense(inputs, width, width + 1)
    return parts


def _generator_flops(
    generator: GeneratorConfig, model: ModelConfig, lengths: CorruptionLengths
) -> dict[str, int]:
    width, length = generator.hidden_dim, lengths.input_length
    layer = _attention(length, length, width, width)
    layer += 2 * _dense(length, width, generator.intermediate_dim)
    body = generator.num_layers * layer
    if width != model.hidden_dim:
        body += _dense(length, model.hidden_dim, width)
    head = _dense(lengths.mlm_tokens, width, model.hidden_dim)
    head += _dense(lengths.mlm_tokens, model.hidden_dim, model.vocabulary_size)
    return {"generator": body, "generator_head": head}


def step_flops(config: PretrainConfig, stage: Stage) -> int:
    """Returns the FLOPs of one optimizer step of the whole batch."""
    forward = sum(forward_flops(config, stage).values())
    return _TRAINING * forward * config.batch_size


def flops_until(config: PretrainConfig, step: int) -> int:
    """Returns the FLOPs of the first `step` steps of a run."""
    transition = config.transition_step
    first = stage_at(0, config.objective, transition)
    if first is Stage.SPAN_CORRUPTION or config.objective.name == "rtd":
        return step * step_flops(config, first)
    early = min(step, transition)
    late = step - early
    return early * step_flops(config, Stage.HYBRID) + late * step_flops(
        config, Stage.SPAN_CORRUPTION
    )
