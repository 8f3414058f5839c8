"""Peak memory of a step as planned, against what TensorFlow's allocator says.

The allocator of the CPU counts the bytes of all tensors, as that of a GPU does:
weights, optimizer slots, gradients, activations and temporary values, without
the program itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.harness import Arm, Timing, compare, record
from benchmarks.pretraining_step import with_stage
from spactor_tf.config.presets import get_preset
from spactor_tf.config.pretrain import PretrainConfig

DEVICE = "CPU:0"
# Rows of a batch that two CPU cores take in seconds.
BATCH_SIZES = {"tiny": 64, "small": 4, "base": 1}
STAGES = ("span_corruption", "stage 1")


def step_memory(config: Mapping[str, Any]) -> Callable[[], dict[str, float]]:
    """Builds a model whose steps tell their memory in bytes.

    Args:
        config: a PretrainConfig as a dictionary.

    Returns:
        Runs a step: "held_bytes" before it, "peak_bytes" inside of it.
    """
    import tensorflow as tf

    from benchmarks.pretraining_step import pretraining_step

    memory = tf.config.experimental
    step = pretraining_step(config)

    def run() -> dict[str, float]:
        memory.reset_memory_stats(DEVICE)
        held = memory.get_memory_info(DEVICE)["current"]
        facts = step()
        peak = memory.get_memory_info(DEVICE)["peak"]
        return facts | {"held_bytes": held, "peak_bytes": peak}

    return run


def arms() -> dict[str, PretrainConfig]:
    """Returns {name: configuration} of all arms."""
    found = {}
    for preset, batch_size in BATCH_SIZES.items():
        config = dataclasses.replace(get_preset(preset), batch_size=batch_size)
        for stage in STAGES:
            name = f"{preset}, {stage}, {batch_size} rows"
            found[name] = with_stage(config, stage)
    return found


def line(name: str, config: PretrainConfig, timing: Timing) -> dict[str, Any]:
    """One line of the table.

    What is held is taken from the plan, which a test compares with the model:
    NumPy, not the allocator, holds some weights that were assigned from it.
    """
    from spactor_tf.planning.memory import stage_memory
    from spactor_tf.planning.parameters import first_stage

    plan = stage_memory(config, first_stage(config))
    held = plan.weights + plan.slots
    inside = timing.facts["peak_bytes"] - timing.facts["held_bytes"]
    measured = max(held + inside, timing.facts["peak_bytes"])
    return {
        "arm": name,
        "planned MiB": plan.peak / 2**20,
        "measured MiB": measured / 2**20,
        "planned / measured": plan.peak / measured,
        "weights and slots MiB": held / 2**20,
        "gradients MiB": plan.gradients / 2**20,
        "activations MiB": sum(plan.activations.values()) / 2**20,
        "resident MiB": timing.peak_mib,
    }


def main() -> None:
    rows = []
    timings: dict[str, Timing] = {}
    for name, config in arms().items():
        factory = f"{__spec__.name}:step_memory"
        arm = Arm(name, factory, {"config": dataclasses.asdict(config)})
        # One after the other: the larger ones fill the memory.
        timings |= compare([arm], rounds=1, warm_up=2)
        rows.append(line(name, config, timings[name]))
        print(rows[-1], flush=True)
    record(
        "planned_memory",
        rows,
        timings=timings,
        notes=[
            "Measured: the largest number of bytes of tensors at one moment of "
            "the third step. Resident: the largest resident memory of the "
            "process, with program, graph and allocator.",
        ],
    )


if __name__ == "__main__":
    main()
