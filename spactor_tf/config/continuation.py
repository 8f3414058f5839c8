"""What may change when a run is continued: its end, where the past allows it.

A run directory is continued by the same configuration. `train_steps` may
change: batches, noise and dropout are functions of the step, so the steps
behind the last checkpoint do not know where the run was to end. Two things do:

    linear, cosine   the rate falls to 0 at `train_steps`; it is computed for
                     the new end from the last checkpoint on
    tau, a fraction  moves with `train_steps`; refused once a step lies behind
                     the old or the new one, whose stage would have been another

`config.json` then lists all ends with the steps that they were valid from.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any, TypeVar

from runkit import InputError, read_json
from spactor_tf.config.fields import diff, from_dict, to_dict
from spactor_tf.config.pretrain import PretrainConfig

Config = TypeVar("Config")

# Key of config.json beside the fields of the configuration.
HISTORY = "train_steps_history"
_ENDING_SCHEDULES = ("linear", "cosine")


@dataclasses.dataclass(frozen=True)
class Continuation:
    """How a configuration continues the run in a directory.

    Attributes:
        history: the ends of the run, oldest first, as (first step that it was
            valid for, train_steps); empty if there was one end only.
        notes: what the user has to know.
    """

    history: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether the run gets another end by this configuration."""
        return bool(self.notes)

    def values(self, config: Any) -> dict[str, Any]:
        """Returns what config.json holds of a run with this history."""
        values = to_dict(config)
        if self.history:
            values[HISTORY] = [
                {"from_step": step, "train_steps": end}
                for step, end in self.history
            ]
        return values


def read_config(
    path: str | os.PathLike, kind: type[Config]
) -> tuple[Config, tuple[tuple[int, int], ...]]:
    """Reads the config.json of a run or a checkpoint.

    Args:
        path: of the file.
        kind: class of the configuration.

    Returns:
        (configuration, history); see `Continuation`.

    Raises:
        InputError: no such file, unknown fields, a history that is none.
    """
    values = read_json(path)
    listed = values.pop(HISTORY, []) if isinstance(values, dict) else []
    try:
        history = tuple(
            (int(item["from_step"]), int(item["train_steps"]))
            for item in listed
        )
    except (KeyError, TypeError, ValueError):
        raise InputError(
            "is not a history of a run",
            where=f"{path}, {HISTORY}",
            got=listed,
            expected='[{"from_step": 0, "train_steps": 1000}, ...]',
        ) from None
    return from_dict(values, kind), history


def continuation(
    old: Any,
    history: tuple[tuple[int, int], ...],
    new: Any,
    trained: int,
    where: str,
) -> Continuation:
    """Checks that a configuration continues a run.

    Args:
        old: configuration of the run so far.
        history: of the run so far.
        new: configuration to go on with; `runtime` may differ anyhow.
        trained: optimizer steps of the run's last checkpoint, 0 without one.
        where: the run, for messages.

    Raises:
        InputError: another field differs; fewer steps than were trained; or
            the transition step moves although it, or the new one, is passed.
    """
    changes = diff(old, _moved_end(old, new))
    if changes:
        raise InputError(
            "has a run with another configuration: " + ", ".join(changes),
            where=where,
            remedy="Give the same flags to resume it, or another --output_dir",
        )
    before, after = old.train_steps, new.train_steps
    if before == after:
        return Continuation(history)
    if after < trained:
        raise InputError(
            "is less than the run has trained",
            where="--train_steps",
            got=after,
            expected=f"at least {trained}, the step of its last checkpoint",
            remedy="spactor-preset makes a preset of an earlier checkpoint",
        )
    _check_transition(old, new, trained)
    notes = [f"train_steps: {before} -> {after}, from step {trained} on"]
    schedule = new.optimizer.schedule
    if 0 < trained < after and schedule in _ENDING_SCHEDULES:
        notes.append(
            f"the {schedule} learning rate now reaches 0 at step {after}, not "
            f"{before}: it jumps behind step {trained}, and the run is another "
            f"than one of {after} steps in one go"
        )
    earlier = history or ((0, before),)
    kept = tuple(item for item in earlier if item[0] < trained)
    changed = (*kept, (trained, after)) if kept else ()
    return Continuation(changed, tuple(notes))


def _moved_end(old: Any, new: Any) -> Any:
    """Returns `new` with the old end, where the end alone is another.

    A fraction of the old end and the step that it stood for are the same.
    """
    moved = dataclasses.replace(new, train_steps=old.train_steps)
    if (
        isinstance(new, PretrainConfig)
        and old.train_steps != new.train_steps
        and old.transition_step == new.transition_step
    ):
        kept = old.objective.transition_step
        objective = dataclasses.replace(new.objective, transition_step=kept)
        moved = dataclasses.replace(moved, objective=objective)
    return moved


def _check_transition(old: Any, new: Any, trained: int) -> None:
    """Refuses an end that moves a transition which the run has passed."""
    if not isinstance(new, PretrainConfig) or new.objective.name != "spactor":
        return
    before, after = old.transition_step, new.transition_step
    if before != after and trained > min(before, after):
        raise InputError(
            f"would move from step {before} to step {after}, but the run has "
            f"trained {trained} steps: their stages would have been others",
            where="--transition_step",
            got=new.objective.transition_step,
            expected=f"the step where stage 2 began, {before}",
            remedy=f"Give --transition_step={before} to keep it there",
        )
