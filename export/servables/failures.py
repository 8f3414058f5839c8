"""Versions that could not be loaded, and when to try each again."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Container

_LONGEST_PAUSE = 60.0  # Seconds.
# (path within the version, size, time of change) of each file.
Files = frozenset[tuple[str, int, int]]


@dataclasses.dataclass
class _Failure:
    files: Files
    error: str
    pause: float
    again: float


class Failures:
    """Remembers what the files of a version were when it could not be loaded.

    Args:
        poll_seconds: the first pause before the same files are tried again;
            each pause is twice the one before, up to a minute.
        clock: seconds; replaced in tests.
    """

    def __init__(
        self, poll_seconds: float, clock: Callable[[], float] = time.monotonic
    ):
        self._poll_seconds, self._clock = poll_seconds, clock
        self._known: dict[int, _Failure] = {}

    @staticmethod
    def files(path: pathlib.Path) -> Files:
        """Returns what tells whether a copy has gone on since."""
        found = set()
        for folder, _, names in os.walk(path):
            for name in names:
                file = pathlib.Path(folder) / name
                try:
                    facts = file.stat()
                except OSError:  # Gone or renamed a moment ago.
                    continue
                found.add(
                    (
                        str(file.relative_to(path)),
                        facts.st_size,
                        facts.st_mtime_ns,
                    )
                )
        return frozenset(found)

    def has(self, version: int) -> bool:
        """Whether the last attempt at a version failed."""
        return version in self._known

    def is_due(self, version: int, path: pathlib.Path) -> bool:
        """Whether a version is to be tried now."""
        failure = self._known.get(version)
        return (
            failure is None
            or self._clock() >= failure.again
            or failure.files != self.files(path)
        )

    def add(self, version: int, files: Files, error: str) -> bool:
        """Notes a failed attempt.

        Args:
            version: its number.
            files: from `files`, before the attempt.
            error: what was wrong.

        Returns:
            Whether this error is a new one.
        """
        last = self._known.get(version)
        pause = self._poll_seconds
        if last is not None and last.files == files:
            pause = min(2 * last.pause, max(pause, _LONGEST_PAUSE))
        self._known[version] = _Failure(
            files, error, pause, self._clock() + pause
        )
        return last is None or last.error != error

    def keep_only(self, versions: Container[int]) -> None:
        """Forgets the versions that are no longer there."""
        self._known = {
            version: failure
            for version, failure in self._known.items()
            if version in versions
        }
