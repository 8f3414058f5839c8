"""The arm that trains: a step of `SpactorPretrainer` as the binary runs it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from spactor_tf.config.fields import from_dict
from spactor_tf.config.pretrain import JIT_COMPILE, PretrainConfig

# What runs: objective, and how many stage-1 steps come before.
STAGES: dict[str, dict[str, Any]] = {
    "span_corruption": {"name": "span_corruption"},
    "stage 1": {"name": "hybrid"},
    "stage 2": {"name": "spactor", "transition_step": 1},
}


def with_stage(config: PretrainConfig, stage: str) -> PretrainConfig:
    """The configuration whose steps (after the first) are of that stage."""
    objective = dataclasses.replace(config.objective, **STAGES[stage])
    return dataclasses.replace(config, objective=objective)


def trained_model(config: Mapping[str, Any]) -> tuple[Any, Any, int]:
    """Builds model, optimizer and an endless dataset of one batch.

    Args:
        config: a PretrainConfig as a dictionary.

    Returns:
        (compiled model, iterator of batches, tokens of a step: encoder and
        decoder together).
    """
    import tensorflow as tf

    from benchmarks.inputs import corrupted_batch, numbered_vocabulary
    from spactor_tf.model.pretrainer import SpactorPretrainer
    from spactor_tf.training.optimizers import build_optimizer

    parsed = from_dict(config)
    vocabulary = numbered_vocabulary(parsed.model.vocabulary_size)
    model = SpactorPretrainer(parsed, vocabulary)
    model.compile(
        optimizer=build_optimizer(parsed.optimizer, parsed.train_steps),
        jit_compile=JIT_COMPILE[parsed.runtime.jit_compile],
    )
    batch = corrupted_batch(parsed, vocabulary)
    if model.generator is None:
        batch = {k: v for k, v in batch.items() if not k.startswith("mlm")}
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    tokens = sum(
        int(tf.size(batch[name]))
        for name in ("encoder_tokens", "decoder_targets")
    )
    return model, batches, tokens


def pretraining_step(
    config: Mapping[str, Any],
) -> Callable[[], dict[str, float]]:
    """Builds what `trained_model` builds, and the function that runs use.

    Args:
        config: a PretrainConfig as a dictionary.

    Returns:
        Runs one optimizer step; `units` are encoder and decoder tokens.
    """
    import tensorflow as tf

    model, batches, tokens = trained_model(config)
    traced: Any = None
    run_steps: Any = None

    def run() -> dict[str, float]:
        nonlocal traced, run_steps
        if model.stage is not traced:  # As the loop of a run does.
            traced, run_steps = model.stage, model.make_steps_function()
        loss = float(run_steps(batches, tf.constant(1))["loss"][0])
        return {"units": tokens, "loss": loss}

    return run
