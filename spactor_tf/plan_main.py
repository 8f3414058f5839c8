r"""Says what a pre-training run will take: memory, FLOPs, tokens, hours.

Example:
    python -m spactor_tf.plan_main --preset=base --strategy=tpu --devices=8 \
      --dtype=mixed_bfloat16 --peak_tflops=197 --memory_gib=16

Give it the flags that the run of `spactor_tf.pretrain_main` will have; those
that say nothing of sizes or steps, such as --dataset, change nothing here.
Nothing is trained and no device is looked for. Hours are total FLOPs /
(devices x peak x utilization); memory is that of TensorFlow's graph, which XLA
undercuts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import flags

from runkit import InputError, run_binary, write_json
from runkit.files import check_file
from runkit.flag_values import Flag, check_table
from spactor_tf import pretrain_main
from spactor_tf.config.fields import fields_from_flags, override
from spactor_tf.config.presets import get_preset
from spactor_tf.config.pretrain import PretrainConfig

FLAGS = flags.FLAGS
_LEAST = 1e-6  # A rate that leaves the hours finite.
FLAG_TABLE = (
    *(dataclasses.replace(f, required=False) for f in pretrain_main.FLAG_TABLE),
    Flag(
        "devices",
        "GPUs or TPU cores of the whole job, one replica each.",
        int,
        1,
        least=1,
    ),
    Flag(
        "peak_tflops",
        "Highest rate of one device at the run's dtype, in 10^12 FLOPs per "
        "second, as its maker states it; without it, hours are not planned.",
        float,
        positive=True,
        least=_LEAST,
    ),
    Flag(
        "utilization",
        "Share of that rate that the run reaches, above 0 and at most 1.",
        float,
        0.4,
        positive=True,
        least=_LEAST,
    ),
    Flag(
        "memory_gib",
        "Memory of one device; the plan then says whether the run fits.",
        float,
        positive=True,
    ),
    Flag("output", "JSON file to write the plan to, beside printing it."),
)


def config_from_flags(values: Any) -> PretrainConfig:
    """Returns the configuration of the run to be planned.

    Raises:
        InputError: an unknown preset or field, a value of the wrong type, or
            devices that strategy or batch do not allow.
    """
    fields = fields_from_flags(FLAG_TABLE, values)
    config = override(get_preset(values.preset), fields)
    config.validate()
    if values.utilization > 1:
        raise InputError(
            "is not a share",
            where="--utilization",
            got=values.utilization,
            expected="above 0 and at most 1: 0.4 is 40 %",
        )
    if values.devices > 1 and config.runtime.strategy == "none":
        raise InputError(
            "need a strategy",
            where="--devices",
            got=values.devices,
            expected="1 with --strategy=none",
            remedy="Use --strategy=mirrored, multi_worker or tpu",
        )
    return config


def main(argv: Sequence[str]) -> None:
    """Reads flags, prints the plan."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    config = config_from_flags(FLAGS)
    if FLAGS.output:
        check_file(FLAGS.output, where="--output")
    # TensorFlow takes seconds to load; bad flags are refused before that.
    from spactor_tf.planning.plan import Hardware, make_plan
    from spactor_tf.training.distribution import check_batch
    from spactor_tf.training.pretrain_run import starting

    config, _ = starting(config, FLAGS.cache_dir)
    check_batch(FLAGS.devices, config.batch_size, config.accumulation_steps)
    hardware = Hardware(
        FLAGS.devices, FLAGS.peak_tflops, FLAGS.utilization, FLAGS.memory_gib
    )
    plan = make_plan(config, hardware)
    print("\n".join(plan.lines()))
    if FLAGS.output:
        write_json(FLAGS.output, plan.to_dict())


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
