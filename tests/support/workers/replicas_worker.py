"""Trains a few steps under one strategy; run as a process by a test.

    python -m tests.support.workers.replicas_worker STRATEGY \
        OUTPUT.npz [UNEQUAL] [section.field=value ...]

Writes losses of every step and the final weights. STRATEGY is "none",
"mirrored" (two logical CPUs) or "multi_worker" (by TF_CONFIG). With UNEQUAL the
second half of every batch loses most of its targets, so that replicas hold
different numbers of tokens.
"""

import pathlib
import sys

import numpy as np
import tensorflow as tf

STEPS, TRANSITION = 4, 2


def main(strategy_name: str, output: str, *options: str) -> None:
    """Trains and writes the result."""
    unequal = "UNEQUAL" in options
    if strategy_name == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
    from spactor_tf.training import distribution

    strategy = distribution.make_strategy(strategy_name)

    from spactor_tf.data.pretraining import Pipeline, train_pipeline
    from spactor_tf.model.pretrainer import SpactorPretrainer
    from spactor_tf.training.optimizers import build_optimizer
    from tests.support import testing

    config = testing.tiny_config(
        **{
            "objective.transition_step": TRANSITION,
            "optimizer.clip_norm": 0.5,
            "train_steps": STEPS,
            **dict(o.split("=", 1) for o in options if "=" in o),
        }
    )
    with strategy.scope():
        model = SpactorPretrainer(config, testing.vocabulary())
        model.compile(optimizer=build_optimizer(config.optimizer, STEPS))
    folder = pathlib.Path(output).parent / f"tokens-{pathlib.Path(output).stem}"
    pipeline = train_pipeline(
        config,
        testing.token_stores(folder)["train"],
        testing.vocabulary(),
        True,
    )
    if unequal:
        examples = Pipeline.examples

        def shorter(self, index, *inputs):
            batch = examples(self, index, *inputs)
            half = index % config.batch_size >= config.batch_size // 2
            column = tf.range(self.lengths.target_length)[tf.newaxis]
            cut = half[:, tf.newaxis] & (column >= 3)
            batch["decoder_targets"] = tf.where(
                cut, 0, batch["decoder_targets"]
            )
            return batch

        Pipeline.examples = shorter
    batches = iter(distribution.distribute(pipeline, strategy, 0, STEPS))
    losses = []
    for steps in (TRANSITION, STEPS - TRANSITION):
        metrics = model.make_steps_function()(batches, tf.constant(steps))
        losses.append(
            [metrics["loss"].numpy(), metrics["gradient_norm"].numpy()]
        )
    arrays = {f"w{i}": v.value.numpy() for i, v in enumerate(model.variables)}
    np.savez(output, losses=np.concatenate(losses, axis=1), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
