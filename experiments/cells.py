"""Cells: one run of one binary, an arm at a budget with a seed.

Two cells of the same configuration, in whatever claims, share one run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runkit.errors import check_choice
from spactor_tf.config import fields as config_fields
from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.config.presets import get_preset
from spactor_tf.config.pretrain import PretrainConfig


@dataclasses.dataclass(frozen=True)
class Arm:
    """One thing to be compared.

    Attributes:
        name: in file names and flags.
        title: in tables and plots.
        fields: {"section.field": value} of the configuration.
        needs: what is missing in the binaries; such an arm does not run.
        steps_factor: steps of this arm per step of the budget (a batch twice
            as large takes half the steps).
        source: {"claim", "arm"} of the weights that a fine-tuning starts from;
            "budget_factor" scales the budget (0.5: the run of half the steps).
        from_scratch: fine-tune random weights of the same sizes.
    """

    name: str
    title: str
    fields: dict[str, Any]
    needs: str = ""
    steps_factor: float = 1.0
    source: dict[str, Any] = dataclasses.field(default_factory=dict)
    from_scratch: bool = False


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of one binary.

    Attributes:
        claim: name of the claim.
        arm: name of the arm.
        budget: pre-training steps of the arm's yardstick.
        seed: of the pre-training.
        kind: "pretrain" or "finetune".
        flags: of the binary, without output, cache and initial weights.
        steps: optimizer steps of the run.
        digest: of the configuration; equal ones are the same run.
        task: name of the claim's task; "" for pre-training.
        stop_below: the run ends once the held-out loss is below; None: never.
        priority: cells with a smaller number run earlier.
        source: the pre-training that a fine-tuning starts from.
    """

    claim: str
    arm: str
    budget: int
    seed: int
    kind: str
    flags: tuple[str, ...]
    steps: int
    digest: str
    task: str = ""
    stop_below: float | None = None
    priority: int = 0
    source: Cell | None = None

    @property
    def name(self) -> str:
        """Unique within the claim; the name of the log."""
        task = f"{self.task}-" if self.task else ""
        return f"{task}{self.arm}-{self.budget}-seed{self.seed}"

    @property
    def run_name(self) -> str:
        """Folder of the run below the runs' folder."""
        return f"{self.kind}-{self.digest}"


def _in_round(
    entry: Mapping[str, Any], arms: Mapping[str, Arm]
) -> Iterable[tuple[int, int, Arm]]:
    """(seed, budget, arm), whole tables seed by seed."""
    chosen = [arms[name] for name in entry.get("arms", arms)]
    for seed, budget, arm in itertools.product(
        entry["seeds"], entry["budgets"], chosen
    ):
        if not arm.needs:
            yield seed, budget, arm


def pretrain_cells(
    claim: str,
    values: Mapping[str, Any],
    entry: Mapping[str, Any],
    arms: Mapping[str, Arm],
) -> Iterable[Cell]:
    """Yields the pre-training runs of a round.

    Args:
        claim: name of the claim.
        values: its declaration.
        entry: the round's.
        arms: of the claim, by name.

    Raises:
        InputError: a field that the configuration does not have or take.
    """
    for seed, budget, arm in _in_round(entry, arms):
        steps = round(budget * arm.steps_factor)
        fields = arm.fields | {"train_steps": steps, "seed": seed}
        preset = fields.pop("preset", "tiny")
        config = config_fields.override(get_preset(preset), fields)
        config.validate()
        yield Cell(
            claim,
            arm.name,
            budget,
            seed,
            "pretrain",
            (f"--preset={preset}", *_flags(fields)),
            steps,
            config_digest(config),
            stop_below=values.get("stop_below"),
            priority=entry["priority"],
        )


def finetune_cells(
    claim: str,
    values: Mapping[str, Any],
    entry: Mapping[str, Any],
    arms: Mapping[str, Arm],
    load: Callable[[str], Any],
) -> Iterable[Cell]:
    """Yields the fine-tuning runs of a round; each does all of its seeds.

    Args:
        claim: name of the claim.
        values: its declaration.
        entry: the round's.
        arms: of the claim, by name.
        load: returns the claim that weights come from.

    Raises:
        InputError: an unknown task, source or field.
    """
    tasks = {task["name"]: task for task in values["tasks"]}
    seeds = values["finetune_seeds"]
    for name in entry.get("tasks", tasks):
        check_choice(name, tasks, where=f"{claim}.toml, tasks")
        for seed, budget, arm in _in_round(entry, arms):
            origin = load(arm.source["claim"])
            # Random weights are the same whatever was pre-trained: one run.
            source_seed = 0 if arm.from_scratch else seed
            source = _source(origin, arm, budget, source_seed)
            fields = arm.fields | config_fields.flatten(
                tasks[name].get("fields", {})
            )
            fields |= {"task": tasks[name]["task"]}
            config = config_fields.override(
                FinetuneConfig(),
                fields
                | {"init_from": source.digest}
                | {"from_scratch": arm.from_scratch},
            )
            config.validate()
            flags = (
                *_flags(fields),
                f"--from_scratch={str(arm.from_scratch).lower()}",
                f"--seeds={','.join(map(str, seeds))}",
            )
            digest = config_digest(config, ",".join(map(str, seeds)))
            yield Cell(
                claim,
                arm.name,
                budget,
                seed,
                "finetune",
                flags,
                config.train_steps * len(seeds),
                digest,
                task=name,
                priority=entry["priority"],
                source=source,
            )


def _source(origin: Any, arm: Arm, budget: int, seed: int) -> Cell:
    """The pre-training that an arm's fine-tuning starts from."""
    wanted = round(budget * arm.source.get("budget_factor", 1))
    check_choice(arm.source["arm"], origin.arms, where="source.arm")
    name = f"{arm.source['arm']}-{wanted}-seed{seed}"
    known = {cell.name: cell for cell in origin.cells}
    return known[check_choice(name, known, where=f"source of {arm.name}")]


def _flags(fields: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"--set={key}={_text(v)}" for key, v in fields.items())


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def config_digest(
    config: PretrainConfig | FinetuneConfig, more: str = ""
) -> str:
    """Tells runs apart: 12 hexadecimal digits.

    Of the fields that are not the configuration's defaults, so that a field
    that is added later leaves the digests of older runs as they are. How a run
    is executed is left out, but for when it is evaluated.
    """
    default = config_fields.flatten(config_fields.to_dict(type(config)()))
    changed = {
        name: value
        for name, value in config_fields.flatten(
            config_fields.to_dict(config)
        ).items()
        if value != default[name]
        and (
            not name.startswith("runtime.")
            or name in ("runtime.eval_every", "runtime.eval_batches")
        )
    }
    text = json.dumps([changed, more], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
