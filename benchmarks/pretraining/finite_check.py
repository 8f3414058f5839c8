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

# Steps of a run; the product's default are more steps a line.
STEPS = {"tiny": 20, "small": 3}
BATCH_SIZES = {"tiny": 16, "small": 4}
ROUNDS = {"tiny": 25, "small": 9}
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
    from benchmarks.pretraining.pretraining_step import trained_model
    from runkit.checks import require_finite
    from spactor_tf.training.checkpointing import to_numpy
    from spactor_tf.training.metrics_log import MetricsLog

    model, batches, tokens = trained_model(config)
    folder = tempfile.TemporaryDirectory()
    log = MetricsLog(folder.name)
    step = 0

    def run() -> dict[str, float]:
        nonlocal step
        model.make_train_function()
        for _ in range(steps):
            log.add(model.train_function(batches))
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
    rows, timings = [], {}
    for preset, batch_size in BATCH_SIZES.items():
        config = dataclasses.replace(get_preset(preset), batch_size=batch_size)
        arms = [
            Arm(
                name,
                "benchmarks.pretraining.finite_check:logged_steps",
                {
                    "config": dataclasses.asdict(config),
                    "steps": STEPS[preset],
                    "losses": losses,
                    "weights": weights,
                },
            )
            for name, (losses, weights) in CHECKED.items()
        ]
        timings = compare(arms, ROUNDS[preset], warm_up=2)
        for timing in timings.values():
            found: dict[str, Any] = row(
                timing,
                timings[UNCHECKED],
                preset=preset,
                **{"steps": STEPS[preset]},
            )
            cost = 1 / found[f"speed / {UNCHECKED} (CPU)"]
            rows.append(found | {"CPU cost ratio": cost})
    runtime = get_preset("tiny").runtime
    record(
        "finite_check",
        rows,
        timings=timings,
        notes=[
            "Units are tokens, encoder and decoder positions together.",
            f"The product writes a line every {runtime.log_every} steps and a "
            f"checkpoint every {runtime.checkpoint_every}; here both checks "
            "come once in the steps of a run, so they cost less there.",
            f"Rows of a batch: {BATCH_SIZES}.",
        ],
    )


if __name__ == "__main__":
    main()
