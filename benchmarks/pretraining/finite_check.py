"""What it costs to notice that a training diverges.

A run of an arm is the steps from one line of metrics.jsonl to the next, as the
run's loop takes them. The checked arm looks at the losses and the gradient's
norm of all these steps, and then at every weight and optimizer slot, which the
product does only before it writes a checkpoint.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.harness import Arm, compare, record, row
from spactor_tf.config.presets import get_preset

# The smallest preset: its steps cost the least, so a check shows the most.
PRESET, BATCH_SIZE = "tiny", 16
# Of a run; the preset's default are more steps a line.
STEPS = 10
ROUNDS = 15
UNCHECKED = "without checks"
CHECKED = {
    UNCHECKED: (False, False),
    "losses and gradient": (True, False),
    "and weights": (True, True),
}


def logged_steps(
    config: Mapping[str, Any], steps: int, losses: bool, weights: bool
) -> Callable[[], dict[str, float]]:
    """Builds model and log.

    Args:
        config: a PretrainConfig as a dictionary.
        steps: of a run.
        losses: whether losses and the gradient's norm are checked.
        weights: whether weights and slots are checked after the last step.

    Returns:
        Runs the steps and writes a line; `units` are tokens.
    """
    import tensorflow as tf

    from benchmarks.pretraining_step import trained_model
    from runkit.checks import require_finite
    from spactor_tf.training.checkpointing import to_numpy
    from spactor_tf.training.metrics_log import MetricsLog

    model, batches, tokens = trained_model(config)
    folder = tempfile.TemporaryDirectory()
    log = MetricsLog(folder.name)
    run_steps = model.make_steps_function()
    step = 0

    def run() -> dict[str, float]:
        nonlocal step
        for _ in range(steps):
            log.add(run_steps(batches, tf.constant(1)))
        step += steps
        if losses:
            log.check_finite(step, folder.name, "")
        line = log.write(step, model.stage.value)
        # A checkpoint copies them with and without the check.
        arrays = [
            (v.path, to_numpy(v))
            for v in (*model.variables, *model.optimizer.variables)
        ]
        if weights:
            require_finite(arrays, "the weights", folder.name, "")
        return {"units": steps * tokens, "loss": line["loss"]}

    return run


def main() -> None:
    config = dataclasses.replace(get_preset(PRESET), batch_size=BATCH_SIZE)
    arms = [
        Arm(
            name,
            "benchmarks.pretraining.finite_check:logged_steps",
            {
                "config": dataclasses.asdict(config),
                "steps": STEPS,
                "losses": losses,
                "weights": weights,
            },
        )
        for name, (losses, weights) in CHECKED.items()
    ]
    timings = compare(arms, ROUNDS, warm_up=2)
    rows = []
    for timing in timings.values():
        found: dict[str, Any] = row(timing, timings[UNCHECKED])
        cost = 1 / found[f"speed / {UNCHECKED} (CPU)"]
        rows.append(found | {"CPU cost ratio": cost})
    record(
        "finite_check",
        rows,
        timings=timings,
        notes=[
            f"Preset {PRESET}, {BATCH_SIZE} rows, {STEPS} steps a run. Units "
            "are tokens, encoder and decoder positions together.",
            f"Both checks come once a run. The preset writes a line every "
            f"{config.runtime.log_every} steps and a checkpoint every "
            f"{config.runtime.checkpoint_every}, so they cost less there.",
        ],
    )


if __name__ == "__main__":
    main()
