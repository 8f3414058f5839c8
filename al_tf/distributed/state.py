"""The state of a distributed run on disk, from which it goes on.

    STATE/run.json                 what the run is of: pool, options, version
    STATE/parts-00007/             all parts after round 7
    STATE/lists-00003/             lists of the first search after 3 waves

A snapshot appears whole or not at all, and the one before it goes only then.
Workers write and read the arrays of their parts themselves: with several
machines, the folder has to be one that all of them see.
"""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from al_tf.distributed.engine import Engine, Handle
from runkit import InputError, atomic_directory, read_json, write_json
from runkit.files import (
    check_checksums,
    check_folder,
    remove_leftovers,
    write_checksums,
    write_npy,
)

FORMAT_VERSION = 1
_AGAIN = "Delete the folder, or name another"
_FIELDS = "snapshot.json"
_RUN = "run.json"


class Snapshot(NamedTuple):
    """What a stage left.

    Attributes:
        fields: values of JSON.
        arrays: of the driver, by name.
        parts: handles, one for each part or block.
    """

    fields: dict[str, Any]
    arrays: dict[str, np.ndarray]
    parts: list[Handle]


class RunState:
    """The state folder of one run.

    Args:
        path: the folder; None keeps nothing.
        key: what the run is of, in values of JSON.
        engine: the engine whose workers write and read.

    Raises:
        InputError: the folder is that of another run or version, or holds
            other files.
    """

    def __init__(
        self, path: pathlib.Path | None, key: dict[str, Any], engine: Engine
    ):
        self._path, self._engine = path, engine
        if path is None:
            return
        key = {"format_version": FORMAT_VERSION, **key}
        check_state(path)
        if (path / _RUN).exists():
            kept = read_json(path / _RUN)
            for name, value in key.items():
                if not isinstance(kept, dict) or kept.get(name) != value:
                    raise InputError(
                        f"the state is of a run with another {name}",
                        where=str(path),
                        got=kept.get(name) if isinstance(kept, dict) else kept,
                        expected=str(value),
                        remedy=_AGAIN,
                    )
        else:
            path.mkdir(parents=True, exist_ok=True)
            write_json(path / _RUN, key)
        remove_leftovers(path)

    def save(
        self,
        kind: str,
        number: int,
        parts: Sequence[Handle],
        *,
        fields: dict[str, Any],
        arrays: dict[str, np.ndarray],
    ) -> None:
        """Writes a snapshot; older ones of the kind go.

        Args:
            kind: "parts" or "lists"; lists go when parts are written.
            number: larger than those before.
            parts: handles of named tuples of arrays.
            fields: values of JSON.
            arrays: of the driver.
        """
        if self._path is None:
            return
        older = self._snapshots(kind)
        if kind == "parts":
            older += self._snapshots("lists")
        place = self._path / f"{kind}-{number:05d}"
        with atomic_directory(place, replace=True) as folder:
            self._engine.map(
                "state",
                write_part,
                [(str(folder), i, part) for i, part in enumerate(parts)],
            )
            for name, array in arrays.items():
                write_npy(folder / f"driver.{name}.npy", array)
            write_json(
                folder / _FIELDS,
                {**fields, "arrays": sorted(arrays), "parts": len(parts)},
            )
            write_checksums(folder)
        for folder in older:
            if folder != place:
                shutil.rmtree(folder)

    def latest(self, kind: str, part_type: type) -> Snapshot | None:
        """Reads the newest snapshot of a kind, or None.

        Raises:
            InputError: it is damaged.
        """
        found = self._snapshots(kind)
        if not found:
            return None
        folder = found[-1]
        check_checksums(folder, _AGAIN)
        fields = read_json(folder / _FIELDS)
        parts = self._engine.map(
            "state",
            read_part,
            [(str(folder), i, part_type) for i in range(fields["parts"])],
            keeps=1,
        )
        arrays = {
            name: np.load(folder / f"driver.{name}.npy", allow_pickle=False)
            for name in fields["arrays"]
        }
        return Snapshot(fields, arrays, parts)

    def _snapshots(self, kind: str) -> list[pathlib.Path]:
        if self._path is None:
            return []
        return sorted(self._path.glob(f"{kind}-[0-9]*"))


def check_state(path: pathlib.Path) -> None:
    """Refuses a folder with files that no run has written.

    Raises:
        InputError: such a folder, or a path that cannot be one.
    """
    check_folder(path, where="state")
    if path.is_dir() and not (path / _RUN).exists():
        others = [p.name for p in path.iterdir() if p.name[0] != "."]
        if others:
            raise InputError(
                f"holds other files than the state of a run: {min(others)}",
                where=str(path),
                remedy="Name an empty or a new folder",
            )


def write_part(folder: str, number: int, part: Any) -> np.ndarray:
    """Writes the arrays of a named tuple."""
    for name, array in part._asdict().items():
        write_npy(pathlib.Path(folder) / f"{number:05d}.{name}.npy", array)
    return np.zeros(0)


def read_part(folder: str, number: int, part_type: Any) -> Any:
    """Reads what `write_part` wrote."""
    place = pathlib.Path(folder)
    return part_type(
        *(
            np.load(place / f"{number:05d}.{name}.npy", allow_pickle=False)
            for name in part_type._fields
        )
    )
