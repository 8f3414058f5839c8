"""Presets as data: the sizes of T5 and what each is trained with.

`base` and `large` carry SpacTor's published settings (arXiv 2401.13160:
weights 10 and 10, transition at 12 % of the steps) on top of T5's (1910.10683);
`tiny` trains in minutes on two CPU cores, with the weights that measured best
there. `*_v1_1` are T5 v1.1: gated GELU, untied output. The generators of `base`
and `large` follow ELECTRA's ratios (a third and a quarter of the width).
"""

from __future__ import annotations

import dataclasses

from runkit.errors import check_choice
from spactor_tf.config.pretrain import (
    CorruptionConfig,
    DataConfig,
    GeneratorConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimizerConfig,
    PretrainConfig,
    RuntimeConfig,
)

_TINY = PretrainConfig(
    preset="tiny",
    model=ModelConfig(
        vocabulary_size=4096,
        num_layers=2,
        num_heads=4,
        hidden_dim=128,
        intermediate_dim=512,
    ),
    generator=GeneratorConfig(
        num_layers=2, hidden_dim=64, num_heads=2, intermediate_dim=256
    ),
    corruption=CorruptionConfig(input_length=128),
    objective=ObjectiveConfig(
        transition_step=0.25, rtd_weight=3.0, span_corruption_weight=1.0
    ),
    # 0.02 up to step 1,000, then falling with the square root of the step.
    optimizer=OptimizerConfig(
        learning_rate=0.02 * 1000**0.5, decay_start_step=1000, warmup_steps=100
    ),
    runtime=RuntimeConfig(
        checkpoint_every=500, eval_every=250, eval_batches=32, log_every=25
    ),
    data=DataConfig(vocabulary_sample_characters=6_000_000),
    train_steps=2000,
    batch_size=16,
)
_SMALL = PretrainConfig(
    preset="small",
    model=ModelConfig(),
    generator=GeneratorConfig(),
    train_steps=100_000,
    batch_size=128,
)
_BASE = PretrainConfig(
    preset="base",
    model=ModelConfig(
        num_layers=12, num_heads=12, hidden_dim=768, intermediate_dim=3072
    ),
    generator=GeneratorConfig(
        num_layers=12, hidden_dim=256, num_heads=4, intermediate_dim=1024
    ),
    train_steps=1_000_000,
    batch_size=2048,
)
_LARGE = PretrainConfig(
    preset="large",
    model=ModelConfig(
        num_layers=24, num_heads=16, hidden_dim=1024, intermediate_dim=4096
    ),
    generator=GeneratorConfig(
        num_layers=24, hidden_dim=256, num_heads=4, intermediate_dim=1024
    ),
    train_steps=1_000_000,
    batch_size=2048,
)
# Feed-forward widths and heads of T5 v1.1: the gate adds a third matrix, so the
# width shrinks by about a third.
_V1_1 = {
    "tiny": {"intermediate_dim": 344},
    "small": {"num_layers": 8, "num_heads": 6, "intermediate_dim": 1024},
    "base": {"intermediate_dim": 2048},
    "large": {"intermediate_dim": 2816},
}


def _v1_1(config: PretrainConfig) -> PretrainConfig:
    model = dataclasses.replace(
        config.model,
        activation="gated_gelu",
        tie_embeddings=False,
        key_value_dim=config.model.head_dim,
        **_V1_1[config.preset],
    )
    return dataclasses.replace(
        config, preset=f"{config.preset}_v1_1", model=model
    )


PRESETS: dict[str, PretrainConfig] = {
    config.preset: config
    for v1_0 in (_TINY, _SMALL, _BASE, _LARGE)
    for config in (v1_0, _v1_1(v1_0))
}


def get_preset(name: str) -> PretrainConfig:
    """Returns the preset of that name.

    Raises:
        InputError: an unknown name; the message suggests the closest.
    """
    return PRESETS[check_choice(name, PRESETS, where="--preset")]
