"""What the files of a run consist of, to be compared at a later start.

A run keeps {file: {"bytes", "mtime_ns", "sha256"}} of its input files. Text
that has no files is one entry with "sha256" alone, or with "examples" too.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runkit.errors import InputError
from runkit.files.formats import read_json

Content = dict[str, dict[str, Any]]
# The coarsest times of change of the usual file systems.
_SETTLED_NS = 2_000_000_000
_SIZES = ("bytes", "examples")


def contents(
    identity: Iterable[tuple[str, int, int]],
    before: Mapping[str, Any] | None,
    digest: Callable[[str], str],
) -> Content:
    """Describes files; one that is as it was before is not read again.

    Args:
        identity: (name, bytes, time of change in ns) of each file.
        before: an earlier answer.
        digest: name -> SHA-256 of the file.

    Returns:
        {name: {"bytes", "mtime_ns", "sha256"}}. A time is None if the file
        changed so lately that another change could have the same, or if the
        storage does not tell.
    """
    found = {}
    settled = time.time_ns() - _SETTLED_NS
    for name, size, changed in identity:
        known = (before or {}).get(name, {})
        is_same = (known.get("bytes"), known.get("mtime_ns")) == (size, changed)
        found[name] = {
            "bytes": size,
            "mtime_ns": changed if 0 < changed < settled else None,
            "sha256": known["sha256"] if is_same else digest(name),
        }
    return found


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two contents, in words."""
    found = [f"{name} is gone" for name in before if name not in now]
    found += [f"{name} is new" for name in now if name not in before]
    for name in before.keys() & now.keys():
        if before[name]["sha256"] != now[name]["sha256"]:
            told = [
                f" ({before[name][unit]} {unit}, now {now[name].get(unit)})"
                for unit in _SIZES
                if before[name].get(unit) not in (None, now[name].get(unit))
            ]
            found.append(f"{name} was changed{''.join(told)}")
    return sorted(found)


def read_record(path: pathlib.Path, of: str) -> dict[str, Any]:
    """Reads the file in which a run keeps the "content" of its inputs.

    Args:
        path: of the file.
        of: what it is a record of, for the message.

    Returns:
        {} if there is no such file: the run has not begun, or it was begun by
        an older version.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return {}
    record = read_json(path)
    if not isinstance(record, dict) or not _is_content(record.get("content")):
        raise InputError(
            f"is not the record of {of}",
            where=str(path),
            remedy="Remove the file to go on without the comparison",
        )
    return record


def _is_content(value: Any) -> bool:
    """Whether it is {file: what is known of it}, or {part: that}."""
    return isinstance(value, dict) and all(
        isinstance(entry, dict)
        and (isinstance(entry.get("sha256"), str) or _is_content(entry))
        for entry in value.values()
    )
