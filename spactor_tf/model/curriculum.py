"""Which objective is minimized at which step: SpacTor's two stages.

Stage 1 (step < transition): generator, replaced token detection and span
corruption. Stage 2: span corruption alone, on inputs without replacements and
without the generator and the head in the graph, so that it costs exactly what
plain T5 costs (arXiv 2401.13160, section 3).
"""

from __future__ import annotations

import enum

from spactor_tf.config.pretrain import ObjectiveConfig


class Stage(enum.Enum):
    """What one compiled train step computes."""

    HYBRID = "hybrid"
    SPAN_CORRUPTION = "span_corruption"
    REPLACED_TOKENS = "replaced_tokens"

    @property
    def has_generator(self) -> bool:
        """Whether the generator replaces tokens of the inputs."""
        return self is not Stage.SPAN_CORRUPTION

    @property
    def has_decoder(self) -> bool:
        """Whether the decoder is trained."""
        return self is not Stage.REPLACED_TOKENS


def stage_at(
    step: int, objective: ObjectiveConfig, transition_step: int
) -> Stage:
    """Returns the stage of a step.

    Args:
        step: optimizer steps done before it.
        objective: names the objective.
        transition_step: first step of stage 2 (resolved, an absolute step).
    """
    if objective.name == "rtd":
        return Stage.REPLACED_TOKENS
    if objective.name == "hybrid":
        return Stage.HYBRID
    return Stage.HYBRID if step < transition_step else Stage.SPAN_CORRUPTION


def loss_weights(stage: Stage, objective: ObjectiveConfig) -> dict[str, float]:
    """Returns the weight of each loss in the sum that the stage minimizes.

    Stage 1: mlm + rtd_weight * rtd + span_corruption_weight * sc (SpacTor,
    section 2); stage 2: sc.
    """
    if stage is Stage.SPAN_CORRUPTION:
        return {"sc": 1.0}
    weights = {"mlm": objective.mlm_weight, "rtd": objective.rtd_weight}
    if stage is Stage.HYBRID:
        weights["sc"] = objective.span_corruption_weight
    return weights
