"""Progress of long work on one line: done, rate, remaining time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO


def format_seconds(seconds: float) -> str:
    """Formats a duration: 42s, 3m07s, 2h05m."""
    seconds = int(max(seconds, 0))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"


class Progress:
    """Prints progress lines, at most one per `every_seconds`.

    Args:
        total: units of work; None if unknown.
        unit: what is counted, plural.
        label: what is being done.
        start: units done before this process began (a resumed run); they
            count as done, not toward the rate.
        every_seconds: shortest time between two lines.
        stream: where to print; standard error by default.
        clock: returns seconds; replaced in tests.
    """

    def __init__(
        self,
        total: int | None,
        unit: str = "steps",
        label: str = "",
        *,
        start: int = 0,
        every_seconds: float = 5.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._total, self._unit, self._label = total, unit, label
        self._start, self._every = start, every_seconds
        self._stream, self._clock = stream or sys.stderr, clock
        self._began = self._printed = clock()

    def rate(self, done: int) -> float:
        """Units per second since this process began."""
        elapsed = max(self._clock() - self._began, 1e-9)
        return (done - self._start) / elapsed

    def update(self, done: int, note: str = "", *, force: bool = False) -> None:
        """Prints a line if the last one is old enough or `force` is set."""
        now = self._clock()
        if not force and now - self._printed < self._every:
            return
        self._printed = now
        rate = self.rate(done)
        parts = [self._label] if self._label else []
        if self._total:
            parts.append(f"{done:,}/{self._total:,} {self._unit}")
            parts.append(f"({100 * done / self._total:.0f}%)")
        else:
            parts.append(f"{done:,} {self._unit}")
        # Two digits, or a unit that takes minutes would show as 0.0 per second.
        shown = f"{rate:,.1f}" if rate >= 1 else f"{rate:.2g}"
        parts.append(f"{shown} {self._unit}/s")
        if self._total and rate > 0:
            parts.append(f"ETA {format_seconds((self._total - done) / rate)}")
        if note:
            parts.append(note)
        print(" ".join(parts), file=self._stream, flush=True)
