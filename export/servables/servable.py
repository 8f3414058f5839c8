"""One loaded version, which answers requests."""

from __future__ import annotations

import collections
import functools
import math
import pathlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np

from export.saved_model import records
from export.saved_model.session import SessionModel
from export.saved_model.versions import (
    LARGEST_BATCH,
    MOST_REQUEST_ROWS,
    WARM_UP,
)
from export.servables.batching import Batcher, Tensors
from runkit import InputError

_PARTS_IN_QUEUE = 2


class Servable:
    """One loaded version.

    Args:
        path: directory of the version.
        make_batcher: wraps the function of a signature; None runs each
            request alone.
        rows_per_call: most rows of one call of the model.
        rows_per_request: most rows of a request.

    Attributes:
        version: its number.
        model: answers.
        users: how many requests it answers now.

    Raises:
        InputError: the loader refuses the version, or a warm-up request fails.
    """

    def __init__(
        self,
        path: pathlib.Path,
        make_batcher: Callable[[Callable[[Tensors], Tensors]], Batcher]
        | None = None,
        *,
        rows_per_call: int = LARGEST_BATCH,
        rows_per_request: int = MOST_REQUEST_ROWS,
    ):
        self.version = int(path.name)
        self.model = SessionModel(path)
        self.users = 0
        self._rows_per_call = rows_per_call
        self._rows_per_request = rows_per_request
        self._batchers: dict[str, Batcher] = {}
        try:
            if (path / WARM_UP).is_file():
                for signature, inputs, _ in records.read_records(
                    path / WARM_UP
                ):
                    self.model.run(signature, inputs)
            if make_batcher is not None:
                for name in self.model.signatures:
                    run = functools.partial(self.model.run_checked, name)
                    self._batchers[name] = make_batcher(run)
        except Exception:
            self.close()
            raise

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        timeout: float | None = None,
    ) -> Tensors:
        """Answers one request.

        A request with more rows than one call of the model takes is run in
        parts, so that its memory is that of one part and its answer, and past
        its time no further part is begun.

        Args:
            signature: its name.
            inputs: {input name: array or list}.
            timeout: seconds for the answer; None waits forever.

        Raises:
            InputError: the request does not fit the signature, or has too
                many rows.
            QueueFull, TimeoutError: there is no room, or no time.
        """
        arrays = self.model.check_inputs(signature, inputs)
        parts = self._parts(arrays)
        end = math.inf if timeout is None else time.monotonic() + timeout
        if signature in self._batchers:
            answers = _queued(self._batchers[signature], parts, end)
        else:
            run = functools.partial(self.model.run_checked, signature)
            answers = _direct(run, parts, end)
        if len(answers) == 1:
            return answers[0]
        return {
            name: np.concatenate([answer[name] for answer in answers])
            for name in answers[0]
        }

    def _parts(self, arrays: Tensors) -> list[Tensors]:
        rows, most = len(next(iter(arrays.values()))), self._rows_per_call
        if rows > self._rows_per_request:
            raise InputError(
                "has too many rows",
                where="request",
                got=rows,
                expected=f"<= {self._rows_per_request}",
                remedy="Send several requests",
            )
        return [
            {name: array[at : at + most] for name, array in arrays.items()}
            for at in range(0, max(rows, 1), most)
        ]

    def close(self) -> None:
        """Answers what is queued, then frees the model."""
        for batcher in self._batchers.values():
            batcher.close()
        self.model.close()


def _queued(
    batcher: Batcher, parts: list[Tensors], end: float
) -> list[Tensors]:
    """Runs the parts through the queue, two at most in it at once.

    Other requests thus find their turn between the parts of a large one.
    """
    waiting: collections.deque[Future[Tensors]] = collections.deque()
    answers: list[Tensors] = []

    def take() -> None:
        left = end - time.monotonic()
        limit = None if math.isinf(left) else max(left, 0)
        answers.append(waiting[0].result(limit))
        waiting.popleft()

    try:
        for part in parts:
            waiting.append(batcher.submit(part))
            if len(waiting) == _PARTS_IN_QUEUE:
                take()
        while waiting:
            take()
    finally:
        for future in waiting:  # Of a request that failed.
            future.cancel()
    return answers


def _direct(
    run: Callable[[Tensors], Tensors], parts: list[Tensors], end: float
) -> list[Tensors]:
    """Runs the parts in this thread; past the time none is begun."""
    answers = []
    for part in parts:
        answers.append(run(part))
        if time.monotonic() > end:
            raise TimeoutError
    return answers
