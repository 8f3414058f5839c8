"""CPU time of a step by how many steps one call does.

The baseline is Keras's own train function, one step a call. All arms do ten
steps of span corruption a round and read the last loss, as a line of metrics
does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.harness import Arm, compare, record, row
from benchmarks.pretraining_step import with_stage
from spactor_tf.config.presets import get_preset

ROUND_STEPS = 10
BASELINE = "Keras, 1 step a call"
PRESET = "tiny"
BATCH_SIZES = (16, 1)


def ten_steps(
    config: Mapping[str, Any], steps_a_call: int
) -> Callable[[], dict[str, float]]:
    """Builds a model; each run does ten steps.

    Args:
        config: a PretrainConfig as a dictionary.
        steps_a_call: 1 to 10, a divisor of 10; 0 is Keras's train function.

    Returns:
        The run; `units` are its steps.
    """
    import tensorflow as tf

    from benchmarks.pretraining_step import trained_model

    model, batches, _ = trained_model(config)
    run_steps = model.make_steps_function()

    def keras_steps() -> Any:
        for _ in range(ROUND_STEPS):
            model.make_train_function()
            loss = model.train_function(batches)["loss"]
        return loss

    def own_steps() -> Any:
        for _ in range(ROUND_STEPS // steps_a_call):
            loss = run_steps(batches, tf.constant(steps_a_call))["loss"][-1]
        return loss

    def run() -> dict[str, float]:
        loss = own_steps() if steps_a_call else keras_steps()
        return {"units": ROUND_STEPS, "loss": float(loss)}

    return run


def main() -> None:
    rows = []
    timings: dict[str, Any] = {}
    for batch_size in BATCH_SIZES:
        config = with_stage(
            dataclasses.replace(get_preset(PRESET), batch_size=batch_size),
            "span_corruption",
        )
        arms = [
            Arm(
                name,
                f"{__spec__.name}:ten_steps",
                {
                    "config": dataclasses.asdict(config),
                    "steps_a_call": steps,
                },
            )
            for name, steps in (
                (BASELINE, 0),
                ("1 step a call", 1),
                ("10 steps a call", 10),
            )
        ]
        timings = compare(arms, rounds=15, warm_up=2)
        for timing in timings.values():
            found = row(timing, timings[BASELINE], preset=PRESET)
            found["rows"] = batch_size
            found["CPU cost ratio"] = 1 / found[f"speed / {BASELINE} (CPU)"]
            rows.append(found)
    record(
        "steps_per_execution",
        rows,
        timings=timings,
        notes=["Units are steps. The step is the same in all arms."],
    )


if __name__ == "__main__":
    main()
