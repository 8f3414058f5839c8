"""Flags that pre-training and fine-tuning share, and defaults for `--help`."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable
from typing import Any

from runkit.flag_values import Flag
from spactor_tf.config.pretrain import DTYPES, STRATEGIES

TRAINING_FLAGS = (
    Flag(
        "set",
        "Sets any field of the configuration, as section.field=value",
        repeated=True,
    ),
    Flag(
        "batch_size", "Examples per step over all replicas.", field="batch_size"
    ),
    Flag(
        "accumulation_steps",
        "Slices in which a replica processes its batch, to save memory.",
        field="accumulation_steps",
    ),
    Flag("dtype", "Type of the computation.", field="dtype", choices=DTYPES),
    Flag(
        "log_every",
        "Steps between lines of metrics.jsonl.",
        field="runtime.log_every",
    ),
    Flag(
        "strategy",
        "Devices that the replicas of a step run on.",
        field="runtime.strategy",
        choices=STRATEGIES,
    ),
    Flag(
        "jit_compile",
        "Whether to compile the step with XLA: true, false, or auto, which "
        "does for one accelerator.",
        field="runtime.jit_compile",
    ),
    Flag(
        "steps_per_execution",
        "Steps of one call at most; the computed numbers stay the same.",
        field="runtime.steps_per_execution",
    ),
)


def with_defaults(
    table: Iterable[Flag], config: Any, of: str = ""
) -> tuple[Flag, ...]:
    """Returns the flags with the defaults that `--help` has to name.

    Args:
        table: flags, of which some override a field.
        config: the configuration whose fields they override.
        of: the configuration whose defaults these are, where others have
            others.
    """
    shown = []
    for flag in table:
        value = operator.attrgetter(flag.field)(config) if flag.field else ""
        if value not in ("", None):
            if isinstance(value, bool):
                value = str(value).lower()
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            named = f" ({of})" if of else ""
            help_ = f"{flag.help} Default: {text}{named}."
            flag = dataclasses.replace(flag, help=help_)
        shown.append(flag)
    return tuple(shown)
