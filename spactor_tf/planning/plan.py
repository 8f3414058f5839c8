"""A run's plan: memory of each stage, FLOPs, tokens and hours."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.corruption import corruption_lengths
from spactor_tf.model import flops
from spactor_tf.model.curriculum import Stage, stage_at
from spactor_tf.planning.memory import StageMemory, stage_memory
from spactor_tf.planning.parameters import num_parameters, parameter_shapes

_GIB = 2**30
# Largest first; what is smaller than the last one is shown in it too.
_BYTES = ((_GIB, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_COUNTS = ((10**6, "million"), (10**3, "thousand"), (1, ""))
_HOURS = ((1.0, "hours"), (1 / 60, "minutes"), (1 / 3600, "seconds"))


@dataclasses.dataclass(frozen=True)
class Hardware:
    """What the run is planned for.

    Attributes:
        devices: number of GPUs or TPU cores, one replica each.
        peak_tflops: highest rate of one device at the run's dtype, in 10**12
            FLOPs per second, as its maker states it; None if unknown.
        utilization: share of that rate which matrix products of the model
            reach over the whole run.
        memory_gib: of one device; None if unknown.
    """

    devices: int = 1
    peak_tflops: float | None = None
    utilization: float = 0.4
    memory_gib: float | None = None


@dataclasses.dataclass(frozen=True)
class StagePlan:
    """One stage of a run.

    Attributes:
        stage: what its steps compute.
        steps: number of them.
        step_flops: FLOPs of a step over all devices.
        memory: of one device.
    """

    stage: Stage
    steps: int
    step_flops: int
    memory: StageMemory


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run takes.

    Attributes:
        parameters: {part: number of its parameters}.
        stages: in their order.
        total_flops: of all steps.
        step_tokens: encoder and decoder tokens of a step.
        total_tokens: of all steps.
        hours: at the hardware's rate; None without a rate.
        hardware: the hardware that it is made for.
    """

    parameters: dict[str, int]
    stages: tuple[StagePlan, ...]
    total_flops: int
    step_tokens: int
    total_tokens: int
    hours: float | None
    hardware: Hardware

    @property
    def peak_memory(self) -> int:
        """Bytes of one device in the stage that takes more."""
        return max(stage.memory.peak for stage in self.stages)

    @property
    def fits(self) -> bool | None:
        """Whether the peak fits into a device; None if its size is unknown."""
        memory = self.hardware.memory_gib
        return None if memory is None else self.peak_memory <= memory * _GIB

    def to_dict(self) -> dict[str, Any]:
        """Returns the plan as JSON values; sizes are in bytes."""
        return {
            "hardware": dataclasses.asdict(self.hardware),
            "parameters": self.parameters,
            "stages": [
                {
                    "stage": plan.stage.value,
                    "steps": plan.steps,
                    "step_flops": plan.step_flops,
                    "memory": dataclasses.asdict(plan.memory)
                    | {"peak": plan.memory.peak},
                }
                for plan in self.stages
            ],
            "peak_memory": self.peak_memory,
            "fits": self.fits,
            "total_flops": self.total_flops,
            "step_tokens": self.step_tokens,
            "total_tokens": self.total_tokens,
            "hours": self.hours,
        }

    def lines(self) -> list[str]:
        """Returns the plan as text."""
        total = sum(self.parameters.values())
        size, name = _unit(total, _COUNTS)
        lines = [f"parameters  {total / size:,.1f} {name}".rstrip()]
        lines += [
            f"  {part:24s}{number / size:12,.1f}"
            for part, number in self.parameters.items()
        ]
        size, name = _unit(self.peak_memory, _BYTES)
        for plan in self.stages:
            lines.append(
                f"{plan.stage.value}: {plan.steps:,} steps, "
                f"{plan.step_flops:.3g} FLOPs a step; {name} on a device:"
            )
            lines += [
                f"  {part:24s}{held / size:12,.2f}"
                for part, held in _memory_rows(plan.memory)
            ]
        lines.append(
            f"in total    {self.total_tokens:,} tokens ({self.step_tokens:,} "
            f"a step), {self.total_flops:.3g} FLOPs"
        )
        return [*lines, self._time(), *self._room()]

    def _time(self) -> str:
        hardware = self.hardware
        if self.hours is None:
            return "hours       unknown: give --peak_tflops of a device"
        size, name = _unit(self.hours, _HOURS)
        return (
            f"{name:12s}{self.hours / size:,.1f} on "
            f"{hardware.devices} device(s) at "
            f"{hardware.utilization:.0%} of {hardware.peak_tflops:g} TFLOP/s"
        )

    def _room(self) -> list[str]:
        if self.fits is None:
            return []
        verdict = "fits" if self.fits else "does not fit"
        size, name = _unit(self.peak_memory, _BYTES)
        return [
            f"memory      {self.peak_memory / size:.2f} {name} {verdict} into "
            f"{self.hardware.memory_gib:g} GiB"
        ]


def _unit(
    value: float, units: Sequence[tuple[float, str]]
) -> tuple[float, str]:
    """The largest unit that a value reaches, else the smallest one."""
    return next((unit for unit in units if value >= unit[0]), units[-1])


def _memory_rows(memory: StageMemory) -> list[tuple[str, int]]:
    parts = {
        "weights": memory.weights,
        "optimizer slots": memory.slots,
        "accumulated": memory.accumulated,
        **{f"act. {k}": v for k, v in memory.activations.items()},
        "gradients": memory.gradients,
        "workspace": memory.workspace,
    }
    shown = [(name, size) for name, size in parts.items() if size]
    return [*shown, ("peak", memory.peak)]


def make_plan(config: PretrainConfig, hardware: Hardware) -> Plan:
    """Plans a run.

    Args:
        config: of the run, validated; its batch is divisible by the devices
            times `accumulation_steps`.
        hardware: the hardware that it runs on.
    """
    last = config.train_steps
    ends = sorted({0, config.transition_step, last})
    stages = []
    for first, end in zip(ends, ends[1:], strict=False):
        stage = stage_at(first, config.objective, config.transition_step)
        stages.append(
            StagePlan(
                stage,
                end - first,
                flops.step_flops(config, stage),
                stage_memory(config, stage, hardware.devices),
            )
        )
    total = flops.flops_until(config, last)
    lengths = corruption_lengths(config.corruption)
    tokens = lengths.input_length + lengths.target_length
    hours = None
    if hardware.peak_tflops is not None:
        rate = hardware.devices * hardware.peak_tflops * 1e12
        hours = total / (rate * hardware.utilization) / 3600
    return Plan(
        parameters={
            part: num_parameters(shapes)
            for part, shapes in parameter_shapes(config).items()
        },
        stages=tuple(stages),
        total_flops=total,
        step_tokens=config.batch_size * tokens,
        total_tokens=last * config.batch_size * tokens,
        hours=hours,
        hardware=hardware,
    )
