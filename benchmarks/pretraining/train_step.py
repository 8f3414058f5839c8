"""A training step against Hugging Face T5 in PyTorch.

Same shapes, no dropout, Adafactor on both sides (AdamW beside it). The units
are tokens: encoder and decoder positions of the batch. Beside the ratio stands
the share of the CPU's measured matrix-product rate that the step reaches.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Arm, Timing, compare, record, row, speed
from benchmarks.pretraining_step import with_stage
from spactor_tf.config.pretrain import (
    CorruptionConfig,
    ModelConfig,
    PretrainConfig,
)
from spactor_tf.model.curriculum import Stage

_SMALL = PretrainConfig(
    model=ModelConfig(), corruption=CorruptionConfig(), batch_size=2
)
CONFIGS = {
    "d256 4+4, V 8192, 16 x 128/32": PretrainConfig(
        model=ModelConfig(
            vocabulary_size=8192,
            num_layers=4,
            num_heads=4,
            hidden_dim=256,
            intermediate_dim=1024,
        ),
        corruption=CorruptionConfig(input_length=128, target_length=32),
        batch_size=16,
    ),
    "T5-small, 2 x 512/114": _SMALL,
}
EAGER, COMPILED = "Hugging Face eager", "Hugging Face torch.compile"
GEMM_SIZE = 4096


def hugging_face_step(
    model: dict[str, Any],
    rows: int,
    inputs: int,
    targets: int,
    compile_step: bool,
    optimizer: str,
) -> Callable[[], dict[str, float]]:
    """One optimizer step of `T5ForConditionalGeneration`."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    t5 = T5ForConditionalGeneration(
        T5Config(
            vocab_size=model["vocabulary_size"],
            d_model=model["hidden_dim"],
            d_kv=model["hidden_dim"] // model["num_heads"],
            d_ff=model["intermediate_dim"],
            num_layers=model["num_layers"],
            num_heads=model["num_heads"],
            dropout_rate=0.0,
            use_cache=False,
        )
    ).train()
    high = model["vocabulary_size"] - 128

    def ids(length: int) -> Any:
        return torch.randint(3, high, (rows, length))

    batch = {
        "input_ids": ids(inputs),
        "attention_mask": torch.ones(rows, inputs, dtype=torch.long),
        "decoder_input_ids": ids(targets),
        "decoder_attention_mask": torch.ones(rows, targets, dtype=torch.long),
        "labels": ids(targets),
    }
    kinds = {"adafactor": torch.optim.Adafactor, "adamw": torch.optim.AdamW}
    updates = kinds[optimizer](t5.parameters(), lr=1e-3)

    def forward() -> Any:
        return t5(**batch).loss

    if compile_step:
        forward = torch.compile(forward)

    def run() -> dict[str, float]:
        updates.zero_grad(set_to_none=True)
        loss = forward()
        loss.backward()
        updates.step()
        return {"units": rows * (inputs + targets), "loss": loss.item()}

    return run


def tensorflow_gemm() -> Callable[[], dict[str, float]]:
    """A float32 matrix product; the units are floating-point operations."""
    import tensorflow as tf

    a = tf.random.normal((GEMM_SIZE, GEMM_SIZE))

    def run() -> dict[str, float]:
        float(tf.matmul(a, a)[0, 0])
        return {"units": 2 * GEMM_SIZE**3}

    return run


def torch_gemm() -> Callable[[], dict[str, float]]:
    """The same in PyTorch."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    a = torch.randn(GEMM_SIZE, GEMM_SIZE)

    def run() -> dict[str, float]:
        float((a @ a)[0, 0])
        return {"units": 2 * GEMM_SIZE**3}

    return run


def arms(config: PretrainConfig) -> list[Arm]:
    """Ours, three of Hugging Face, and both frameworks' matrix product."""
    from spactor_tf.data.corruption import corruption_lengths

    lengths = corruption_lengths(config.corruption)
    shapes = {
        "model": dataclasses.asdict(config.model),
        "rows": config.batch_size,
        "inputs": lengths.input_length,
        "targets": lengths.target_length,
    }

    def hugging_face(name: str, optimizer: str, compile_step: bool) -> Arm:
        more = {"optimizer": optimizer, "compile_step": compile_step}
        return Arm(
            name, f"{__spec__.name}:hugging_face_step", shapes | more, peer=True
        )

    ours = dataclasses.asdict(with_stage(config, "span_corruption"))
    module = __spec__.name
    return [
        Arm(
            "ours",
            "benchmarks.pretraining_step:pretraining_step",
            {"config": ours},
        ),
        hugging_face(EAGER, "adafactor", False),
        hugging_face(COMPILED, "adafactor", True),
        hugging_face("Hugging Face eager, AdamW", "adamw", False),
        Arm("TensorFlow GEMM", f"{module}:tensorflow_gemm"),
        Arm("PyTorch GEMM", f"{module}:torch_gemm", peer=True),
    ]


def rows_of(name: str, config: PretrainConfig) -> tuple[list, dict]:
    """Measures one configuration: rows of the table, and the timings."""
    from spactor_tf.model.flops import step_flops

    timings = compare(arms(config), rounds=15, warm_up=3)
    flops = step_flops(config, Stage.SPAN_CORRUPTION)
    peak = max(
        statistics.median(timings[f"{library} GEMM"].rates())
        for library in ("TensorFlow", "PyTorch")
    )

    def line(timing: Timing) -> dict[str, Any]:
        share = flops / statistics.median(timing.cpu) / peak
        found = row(timing, timings[EAGER], shapes=name)
        found["speed / torch.compile (CPU)"] = speed(timing, timings[COMPILED])[
            0
        ]
        found["share of GEMM peak"] = share
        return found

    return [line(t) for t in timings.values() if "GEMM" not in t.name], timings


def main() -> None:
    rows: list = []
    notes = ["Units are tokens, encoder and decoder positions together."]
    timings: dict[str, Timing] = {}
    for name, config in CONFIGS.items():
        lines, timings = rows_of(name, config)
        rows += lines
        rates = ", ".join(
            f"{t.name} {statistics.median(t.rates()) / 1e9:.0f}"
            for t in timings.values()
            if "GEMM" in t.name
        )
        notes.append(
            f"{name}: GFLOP per CPU second of a {GEMM_SIZE}^3 product: {rates}."
        )
    record("train_step", rows, timings=timings, notes=notes)


if __name__ == "__main__":
    main()
