"""What SpacTor's stages cost beside plain span corruption.

Stage 2 must cost what span corruption alone costs; stage 1 pays for generator
and replaced token detection. All arms take the same batch.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.harness import Arm, Timing, compare, in_words, record, row
from benchmarks.pretraining_step import STAGES, with_stage
from spactor_tf.config.presets import get_preset
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.model.curriculum import Stage
from spactor_tf.model.flops import step_flops

# Rows of a batch that two CPU cores take in a second or less.
BATCH_SIZES = {"tiny": 16, "small": 4}
ROUNDS = {"tiny": 25, "small": 9}
BASELINE = "span_corruption"


def arms(config: PretrainConfig) -> list[Arm]:
    return [
        Arm(
            stage,
            "benchmarks.pretraining_step:pretraining_step",
            {"config": dataclasses.asdict(with_stage(config, stage))},
        )
        for stage in STAGES
    ]


def line(preset: str, timing: Timing, baseline: Timing, flops: float) -> dict:
    """The usual row, the cost ratio and the FLOPs ratio."""
    found: dict[str, Any] = row(timing, baseline, preset=preset)
    cost = 1 / found[f"speed / {BASELINE} (CPU)"]
    return found | {"CPU cost ratio": cost, "FLOPs ratio": flops}


def main() -> None:
    rows = []
    timings: dict[str, Timing] = {}
    for preset, batch_size in BATCH_SIZES.items():
        config = dataclasses.replace(get_preset(preset), batch_size=batch_size)
        timings = compare(arms(config), ROUNDS[preset], warm_up=3)
        plain = step_flops(config, Stage.SPAN_CORRUPTION)
        hybrid = step_flops(config, Stage.HYBRID) / plain
        for name, timing in timings.items():
            flops = hybrid if name == "stage 1" else 1.0
            rows.append(line(preset, timing, timings[BASELINE], flops))
    record(
        "stage_step",
        rows,
        timings=timings,
        notes=[
            "Units are tokens, encoder and decoder positions together.",
            "Stage 2 runs in a model that did a stage-1 step before, so its "
            "optimizer holds the generator's slots too.",
            f"Rows of a batch: {in_words(BATCH_SIZES)}.",
        ],
    )


if __name__ == "__main__":
    main()
