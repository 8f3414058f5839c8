"""Shapes of all parameters and of the optimizer's slots, without a model."""

from __future__ import annotations

import math
from collections.abc import Iterable

from spactor_tf.config.model import GeneratorConfig, ModelConfig
from spactor_tf.config.pretrain import OptimizerConfig, PretrainConfig
from spactor_tf.model.curriculum import Stage, stage_at

Shapes = list[tuple[int, ...]]
_BUCKETS = 32  # Of the relative positions, in every T5.
EMBEDDINGS, ENCODER, DECODER = "embeddings", "encoder", "decoder"
GENERATOR, HEAD = "generator", "replaced_token_head"


def parameter_shapes(config: PretrainConfig) -> dict[str, Shapes]:
    """Returns {part: shapes of its parameters} of a run.

    The parts are "embeddings" (with an untied output), "encoder", "decoder"
    and, if a stage has them, "generator" and "replaced_token_head".

    Args:
        config: of the run.
    """
    model = config.model
    width, rows = model.hidden_dim, model.vocabulary_size
    embeddings: Shapes = [(rows, width)]
    if not model.tie_embeddings:
        embeddings.append((width, rows))
    parts = {
        EMBEDDINGS: embeddings,
        ENCODER: _stack(model, attentions=1),
        DECODER: _stack(model, attentions=2),
    }
    if first_stage(config).has_generator:
        parts[GENERATOR] = _generator(config.generator, model)
        parts[HEAD] = [(width, width), (width,), (width, 1), (1,)]
    return parts


def first_stage(config: PretrainConfig) -> Stage:
    """Returns the stage of a run's first step."""
    return stage_at(0, config.objective, config.transition_step)


def num_parameters(shapes: Iterable[tuple[int, ...]]) -> int:
    """Returns the number of parameters of these shapes."""
    return sum(map(math.prod, shapes))


def stage_parts(stage: Stage) -> list[str]:
    """Returns the parts that the stage updates."""
    parts = [EMBEDDINGS, ENCODER]
    if stage.has_decoder:
        parts.append(DECODER)
    return parts + [GENERATOR, HEAD] * stage.has_generator


def slot_elements(config: PretrainConfig) -> int:
    """Returns how many float32 numbers the optimizer of a run keeps.

    It keeps them for what the first stage updates, to the run's end.

    Args:
        config: of the run.
    """
    shapes = parameter_shapes(config)
    return sum(
        _slots(part, shape, config.optimizer)
        for part in stage_parts(first_stage(config))
        for shape in shapes[part]
    )


def _slots(
    part: str, shape: tuple[int, ...], optimizer: OptimizerConfig
) -> int:
    size = math.prod(shape)
    if optimizer.name == "muon":
        # A momentum for matrices; two moments for what AdamW takes. The few
        # numbers of the relative position bias are counted as a matrix's.
        by_adam = part == EMBEDDINGS or len(shape) < 2 or shape[-1] == 1
        return 2 * size if by_adam else size
    if optimizer.name != "adafactor":
        return 2 * size
    first = size if optimizer.momentum is not None else 0
    factored = len(shape) >= 2
    return first + (sum(shape) if factored else size)


def _stack(model: ModelConfig, attentions: int) -> Shapes:
    """The layers of the encoder (one attention each) or the decoder (two)."""
    inner = model.num_heads * model.head_dim
    layer = _layer(
        model.hidden_dim,
        inner,
        model.intermediate_dim,
        attentions,
        gated=model.activation == "gated_gelu",
    )
    shared: Shapes = [(_BUCKETS, model.num_heads), (model.hidden_dim,)]
    return [*layer * model.num_layers, *shared]


def _layer(
    width: int, inner: int, intermediate: int, attentions: int, gated: bool
) -> Shapes:
    attention: Shapes = [*[(width, inner)] * 3, (inner, width)]
    norms: Shapes = [(width,)] * (attentions + 1)
    inputs: Shapes = [(width, intermediate)] * (2 if gated else 1)
    return [*attention * attentions, *norms, *inputs, (intermediate, width)]


def _generator(generator: GeneratorConfig, model: ModelConfig) -> Shapes:
    width = generator.hidden_dim
    layer = _layer(width, width, generator.intermediate_dim, 1, gated=False)
    shapes: Shapes = [*layer * generator.num_layers, (width,)]
    shapes.append((_BUCKETS, generator.num_heads))
    if width != model.hidden_dim:
        shapes.append((model.hidden_dim, width))
    return [*shapes, (width, model.hidden_dim), (model.vocabulary_size,)]
