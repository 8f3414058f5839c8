"""Checkpoints: everything that the next step depends on, whole or not at all.

    checkpoints/step-00001000/
        variables.npz   model and optimizer variables by position, with the
                        states of SeedGenerators (which the checkpoints of Keras
                        and TensorFlow both leave out)
        state.json      step, stage, score, pending metrics, fingerprints
        config.json     the resolved configuration
        vocabulary.model
        checksums.json  of these three small files

A checkpoint is written under a temporary name, synced and renamed. A zip
archive has a checksum for each array, so damage is found when it is read; then
the previous checkpoint is used.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Collection
from typing import Any

import numpy as np

from runkit import InputError, atomic_directory, read_json, write_json
from runkit.checks import require_finite
from runkit.files import (
    DAMAGED_ARRAYS,
    check_checksums,
    remove_leftovers,
    write_checksums,
)

_NAME = re.compile(r"step-(\d{8})")


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        run_dir: of the run.
        keep_last: checkpoints kept beside the best one.
    """

    def __init__(self, run_dir: str | os.PathLike, keep_last: int = 3):
        self.folder = pathlib.Path(run_dir) / "checkpoints"
        self.keep_last = keep_last

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, ascending."""
        if not self.folder.is_dir():
            return []
        found = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def path(self, step: int) -> pathlib.Path:
        """Folder of the checkpoint of that step."""
        return self.folder / f"step-{step:08d}"

    def save(
        self,
        step: int,
        variables: dict[str, list],
        state: dict[str, Any],
        files: dict[str, bytes],
    ) -> None:
        """Writes a checkpoint and deletes those that are no longer kept.

        Args:
            step: optimizer steps done.
            variables: {"model": [...], "optimizer": [...]}, Keras variables.
            state: goes to state.json; "score" (lower is better, or None)
                decides which checkpoint is the best.
            files: {name: content} stored with it.

        Raises:
            InputError: a number that is not finite, no space or no permission;
                earlier checkpoints stay.
        """
        remove_leftovers(self.folder)
        path = self.path(step)
        arrays = {
            f"{group}/{index:05d}": to_numpy(variable)
            for group, members in variables.items()
            for index, variable in enumerate(members)
        }
        paths = (v.path for members in variables.values() for v in members)
        require_finite(
            zip(paths, arrays.values(), strict=True),
            "the weights or the optimizer's slots",
            f"{self.folder.parent}, step {step}",
            self.divergence_remedy(),
        )
        try:
            with atomic_directory(path, replace=True) as folder:
                np.savez(folder / "variables.npz", allow_pickle=False, **arrays)
                for name, content in files.items():
                    (folder / name).write_bytes(content)
                write_json(folder / "state.json", {**state, "step": step})
                # The archive has a checksum for each array.
                write_checksums(folder, ("state.json", *files))
        except OSError as error:
            raise InputError(
                f"the checkpoint of step {step} could not be written "
                f"({error.strerror or error})",
                where=str(self.folder),
                expected="free disk space and permission to write",
                remedy=self._last_good(),
            ) from None
        steps = self.steps()
        keep = set(steps[-self.keep_last :]) | {self.best()}
        for old in steps:
            if old not in keep:
                shutil.rmtree(self.path(old), ignore_errors=True)

    def divergence_remedy(self) -> str:
        """Returns what to do about a run whose numbers are not finite."""
        return (
            f"{self._last_good()}. Start a new run with a lower "
            "--learning_rate, a longer --set=optimizer.warmup_steps or "
            "--set=optimizer.clip_norm=1"
        )

    def _last_good(self) -> str:
        kept = self.steps()
        if not kept:
            return "There is no earlier checkpoint"
        return f"The last good checkpoint is that of step {kept[-1]}"

    def newest_whole(self, besides: Collection[int] = ()) -> int | None:
        """Step of the newest checkpoint whose small files are whole, or None.

        `restore` passes over the others too, and says so.

        Args:
            besides: steps that are passed over.
        """
        for step in sorted(set(self.steps()) - set(besides), reverse=True):
            with contextlib.suppress(InputError):
                self._state(step)
                return step
        return None

    def best(self) -> int | None:
        """Step of the checkpoint with the lowest score, or None."""
        scored = []
        for step in self.steps():
            try:
                score = self._state(step).get("score")
            except InputError:
                continue
            if score is not None:
                scored.append((score, step))
        return min(scored)[1] if scored else None

    def _state(self, step: int) -> dict[str, Any]:
        """Reads the state of a checkpoint whose small files are whole."""
        folder = self.path(step)
        check_checksums(folder, "Delete this checkpoint")
        state = read_json(folder / "state.json")
        of_step = isinstance(state, dict) and state.get("step") == step
        score = state.get("score") if of_step else None
        if not of_step or not isinstance(score, int | float | None):
            raise InputError(
                f"is not a state of step {step}",
                where=str(folder / "state.json"),
            )
        return state

    def restore(
        self, variables: dict[str, list], step: int | None = None
    ) -> dict[str, Any] | None:
        """Restores the newest checkpoint that can be read.

        Args:
            variables: as for `save`, already built.
            step: only tries the checkpoint of this step.

        Returns:
            Its state, or None if there are no checkpoints.

        Raises:
            InputError: there are checkpoints, but none can be read.
        """
        steps = self.steps() if step is None else [step]
        for number in reversed(steps):
            path = self.path(number)
            try:
                state = self._state(number)
                arrays = _read_arrays(path / "variables.npz", variables)
            except DAMAGED_ARRAYS as error:
                next_one = "; trying the checkpoint before it"
                print(
                    f"warning: {path} is damaged or foreign ({error})"
                    f"{next_one if number > steps[0] else ''}",
                    file=sys.stderr,
                )
                continue
            for variable, array in arrays:
                variable.assign(array)
            return state
        if steps:
            raise self.unreadable(steps)
        return None

    def unreadable(self, steps: list[int]) -> InputError:
        """Returns the error for damaged checkpoints, with what is left."""
        preset = self.folder.parent / "preset"
        other = self.newest_whole(besides=steps)
        remedy = "Start a new run in another --output_dir"
        if other is not None:
            remedy = f"There is another checkpoint, that of step {other}"
        elif preset.is_dir():
            with contextlib.suppress(InputError):
                check_checksums(preset, remedy)
                remedy = (
                    f"The model in {preset} is whole. {remedy}, which "
                    f"--init_from={preset} begins with these weights"
                )
        return InputError(
            "no checkpoint can be read",
            where=str(self.folder),
            got=f"{len(steps)} damaged or foreign checkpoint(s)",
            remedy=remedy,
        )


def to_numpy(variable: Any) -> np.ndarray:
    """Returns the value of a Keras variable, which may be mirrored."""
    return np.asarray(variable.value.numpy())


def _read_arrays(
    path: pathlib.Path, variables: dict[str, list]
) -> list[tuple[Any, np.ndarray]]:
    """Pairs variables with stored arrays; checks all before any is set."""
    pairs = []
    with np.load(path, allow_pickle=False) as stored:
        names = set(stored.files)
        for group, members in variables.items():
            for index, variable in enumerate(members):
                name = f"{group}/{index:05d}"
                names.discard(name)
                array = stored[name]
                if tuple(variable.shape) != array.shape:
                    raise ValueError(
                        f"{name} has shape {array.shape}, the model's "
                        f"{variable.path} {tuple(variable.shape)}"
                    )
                pairs.append((variable, array))
    if names:
        raise ValueError(f"it has {len(names)} variables more than the model")
    return pairs
