"""Termination signals: SIGTERM and SIGINT while a block runs."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

TERMINATION = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def on_termination(
    handler: Callable[[int, Any], object],
) -> Iterator[dict[int, Any]]:
    """Calls `handler(number, frame)` at SIGTERM or SIGINT in the block.

    Only a process's main thread may set handlers; in any other the block runs
    with those that are there.

    Yields:
        {signal number: the handler before}, which come back after the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield {}
        return
    before: dict[int, Any] = {}
    try:
        for number in TERMINATION:
            before[number] = signal.signal(number, handler)
        yield before
    finally:
        for changed, old in before.items():
            signal.signal(changed, old)


class TerminationFlag:
    """Set by SIGTERM or SIGINT while the block runs; a second one kills.

    Attributes:
        is_set: whether a signal came.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> TerminationFlag:
        def handle(number: int, frame: object) -> None:
            self.is_set = True
            signal.signal(number, before[number])

        before = self._stack.enter_context(on_termination(handle))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
