"""Progress of a run over all of its phases, on one line with the time left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TextIO

from runkit import Progress

READ, PREPARE, SEARCH = "read", "prepare", "first search"
ROUNDS, SELECT = "rounds", "select"

# Told (phase, its share that is done, a note).
OnProgress = Callable[[str, float, str], None]
_THOUSAND = 1000

# Processor seconds for each number of an embedding, on the machine of
# docs/scale.md; only their ratios matter here.
_READ, _PREPARE, _ROUNDS, _SELECT = 1e-8, 5e-8, 4e-6, 1e-8
_SEARCH, _EXACT_PAIR, _SCANN_STEP = 1e-6, 2.5e-11, 2e-9


def quiet(phase: str, share: float, note: str) -> None:
    """Tells nobody."""
    del phase, share, note


def phase_seconds(
    num_rows: int, num_parts: int, *, exact: bool
) -> dict[str, float]:
    """What the phases of a selection may cost, each in the same unit.

    Args:
        num_rows: of the pool.
        num_parts: see `Layout`.
        exact: neighbors are exact, not ScaNN's.
    """
    n = float(num_rows)
    of_pairs = _SCANN_STEP * math.sqrt(n * num_parts)
    if exact:
        of_pairs = _EXACT_PAIR * n
    return {
        READ: n * _READ,
        PREPARE: n * _PREPARE,
        SEARCH: n * (_SEARCH + of_pairs),
        ROUNDS: n * _ROUNDS,
        SELECT: n * _SELECT,
    }


class Watch:
    """Prints how far a run is, in thousandths of its expected work.

    A phase that a run leaves out, since an earlier one has done it, does not
    count.

    Args:
        seconds: expected of each phase, in their order.
        stream: where to print; standard error by default.
        clock: returns seconds.
        every_seconds: shortest time between two lines.
    """

    def __init__(
        self,
        seconds: dict[str, float],
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        every_seconds: float = 5.0,
    ):
        self._left = dict(seconds)
        self._past = 0.0
        self._now = ""
        self._progress = Progress(
            _THOUSAND,
            "of the work",
            "select",
            every_seconds=every_seconds,
            stream=stream,
            clock=clock,
        )

    def __call__(self, phase: str, share: float, note: str) -> None:
        """See `OnProgress`."""
        if phase != self._now:
            self._past += self._left.pop(self._now, 0.0)
            for other in [*self._left]:
                if other == phase:
                    break
                del self._left[other]
            self._now = phase
        done = self._past + share * self._left.get(phase, 0.0)
        total = self._past + sum(self._left.values())
        shown = f"{phase}: {note}" if note else phase
        self._progress.update(round(_THOUSAND * done / max(total, 1e-9)), shown)
