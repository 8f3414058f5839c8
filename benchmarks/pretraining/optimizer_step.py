"""What each optimizer adds to a step of span corruption.

All arms take the same batch and the baseline is the default, Adafactor. The
FLOPs of an optimizer are those of its matrix products (Muon's
Newton-Schulz iterations); elementwise work is not counted, as elsewhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from benchmarks.harness import Arm, compare, in_words, record, row
from benchmarks.pretraining_step import with_stage
from spactor_tf.config.presets import get_preset
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.model.curriculum import Stage
from spactor_tf.model.flops import step_flops

ROUNDS = {"tiny": 25, "small": 5}
BATCH_SIZES = {"tiny": 16, "small": 4}
BASELINE = "adafactor"
# Optimizer and what else its usual configuration sets.
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adafactor": {},
    "adafactor, momentum": {"name": "adafactor", "momentum": 0.9},
    "adamw": {"clip_norm": 1.0},
    "adamw_scaled": {"clip_norm": 1.0},
    "muon": {"clip_norm": 1.0},
    "schedule_free": {"clip_norm": 1.0},
}
NEWTON_SCHULZ_STEPS = 5


def matrices(config: PretrainConfig) -> Iterable[tuple[int, int]]:
    """Shapes of the body's matrices other than embeddings."""
    model = config.model
    inner = model.num_heads * model.head_dim
    attention = [(model.hidden_dim, inner)] * 4
    feed_forward = [(model.hidden_dim, model.intermediate_dim)] * (
        3 if model.activation == "gated_gelu" else 2
    )
    encoder = [*attention, *feed_forward]
    decoder = [*attention, *attention, *feed_forward]
    return [*encoder, *decoder] * model.num_layers


def muon_flops(shapes: Iterable[tuple[int, int]]) -> int:
    """FLOPs of the orthogonalizations of one step.

    Each iteration on [m, n], m <= n, is X X^T (2 m^2 n), its square (2 m^3)
    and a product with X (2 m^2 n).
    """
    total = 0
    for shape in shapes:
        m, n = min(shape), max(shape)
        total += NEWTON_SCHULZ_STEPS * (4 * m * m * n + 2 * m**3)
    return total


def with_optimizer(config: PretrainConfig, name: str) -> PretrainConfig:
    """The configuration of span corruption with that optimizer."""
    changes = {"name": name, "learning_rate": 0.01} | OPTIMIZERS[name]
    optimizer = dataclasses.replace(config.optimizer, **changes)
    config = dataclasses.replace(config, optimizer=optimizer)
    return with_stage(config, "span_corruption")


def main() -> None:
    rows: list[dict[str, Any]] = []
    timings = {}
    for preset, batch_size in BATCH_SIZES.items():
        config = dataclasses.replace(get_preset(preset), batch_size=batch_size)
        arms = [
            Arm(
                name,
                "benchmarks.pretraining_step:pretraining_step",
                {"config": dataclasses.asdict(with_optimizer(config, name))},
            )
            for name in OPTIMIZERS
        ]
        timings = compare(arms, ROUNDS[preset], warm_up=3)
        model = step_flops(config, Stage.SPAN_CORRUPTION)
        for name, timing in timings.items():
            found = row(timing, timings[BASELINE], preset=preset)
            cost = 1 / found[f"speed / {BASELINE} (CPU)"]
            extra = muon_flops(matrices(config)) if name == "muon" else 0
            rows.append(
                found
                | {"CPU cost ratio": cost, "FLOPs ratio": 1 + extra / model}
            )
    record(
        "optimizer_step",
        rows,
        timings=timings,
        notes=[
            f"Rows of a batch: {in_words(BATCH_SIZES)}; the smaller "
            "the batch, the more an optimizer weighs.",
            "AdamW, Muon and schedule-free AdamW clip by the global norm.",
        ],
    )


if __name__ == "__main__":
    main()
