"""What happened in a project, one whole file for each change of its state.

    DIR/events/000001-batch.json, 000002-answers.json, ...

A file is written under a temporary name and renamed, so an event is there or
it is not. Nothing is ever rewritten: a correction is one more event, and the
state is what a reading of all of them gives (`al_tf.project.record.state`).
"""

from __future__ import annotations

import os
import pathlib
import re
from typing import Any

from runkit import InputError, read_json, write_json
from runkit.files import remove_leftovers

Event = dict[str, Any]
_NAME = re.compile(r"(\d{6,})-([a-z]+)\.json")


class Journal:
    """The events of one project, in order.

    Args:
        folder: of the event files; need not exist.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._events: list[Event] = []

    def events(self) -> list[Event]:
        """Reads the events that are there; older ones are read only once.

        Returns:
            Objects with `number` (from 1 on), `kind` and the fields of the
            kind.

        Raises:
            InputError: an event is missing or its file is damaged.
        """
        found: dict[int, re.Match[str]] = {}
        # Read at every key of a labeling page: paths would cost the most.
        if self._folder.is_dir():
            with os.scandir(self._folder) as entries:
                for name in (_NAME.fullmatch(entry.name) for entry in entries):
                    if name:
                        found[int(name[1])] = name
        for number in range(len(self._events) + 1, len(found) + 1):
            if number not in found:
                raise InputError(
                    f"event {number} of the project is missing",
                    where=str(self._folder),
                    remedy="Restore the file from a backup",
                )
            path, kind = self._folder / found[number][0], found[number][2]
            fields = read_json(path)
            if not isinstance(fields, dict):
                raise InputError("is not an event", where=str(path))
            self._events.append({**fields, "number": number, "kind": kind})
        return list(self._events)

    def append(self, kind: str, fields: dict[str, Any]) -> None:
        """Writes one event; the caller holds the lock of the project.

        Raises:
            OSError: the disk is full; the state is then what it was.
        """
        number = len(self.events()) + 1
        remove_leftovers(self._folder)
        write_json(self._folder / f"{number:06d}-{kind}.json", fields)
