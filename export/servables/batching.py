"""Runs concurrent requests as one batch."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

Tensors = dict[str, np.ndarray]
# A request: its inputs, and where the answer goes.
_Request = tuple[Tensors, "Future[Tensors]"]


class QueueFull(RuntimeError):
    """The queue has no room for another request."""


class Batcher:
    """A thread that runs queued requests, joined along the first axis.

    Args:
        run: {name: [rows, ...]} -> {name: [rows, ...]}, rows independent.
        max_batch_size: most rows of a batch, unless one request has more.
        timeout_seconds: how long the first request of a batch waits for more.
        max_waiting: most requests in the queue.
        observe: called with the number of rows of each batch.
    """

    def __init__(
        self,
        run: Callable[[Tensors], Tensors],
        max_batch_size: int = 64,
        timeout_seconds: float = 0.001,
        max_waiting: int = 1000,
        observe: Callable[[int], None] = lambda rows: None,
    ):
        self._run, self._observe = run, observe
        self._most, self._timeout = max_batch_size, timeout_seconds
        # None ends the thread.
        self._queue: queue.Queue[_Request | None] = queue.Queue(max_waiting)
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def submit(self, inputs: Tensors) -> Future[Tensors]:
        """Queues a request; if its future is canceled in time, it is not run.

        Raises:
            QueueFull: too many requests wait already.
        """
        future: Future[Tensors] = Future()
        try:
            self._queue.put_nowait((inputs, future))
        except queue.Full:
            raise QueueFull("too many requests wait") from None
        return future

    def close(self) -> None:
        """Runs what is queued, then ends the thread."""
        self._queue.put(None)
        self._thread.join()

    def _loop(self) -> None:
        left_over: _Request | None = None
        while True:
            item = left_over or self._queue.get()
            if item is None:
                return
            batch, left_over, ended = self._collect(item)
            batch = [b for b in batch if b[1].set_running_or_notify_cancel()]
            if batch:
                self._answer(batch)
            if ended:
                return

    def _collect(
        self, first: _Request
    ) -> tuple[list[_Request], _Request | None, bool]:
        """Returns (batch, a request that did not fit, whether to end)."""
        batch, rows = [first], _rows(first)
        end = time.monotonic() + self._timeout
        while rows < self._most:
            try:
                item = self._queue.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                break
            if item is None:
                return batch, None, True
            if rows + _rows(item) > self._most:
                return batch, item, False
            batch.append(item)
            rows += _rows(item)
        return batch, None, False

    def _answer(self, batch: list[_Request]) -> None:
        names = batch[0][0]
        joined = {
            name: np.concatenate([inputs[name] for inputs, _ in batch])
            for name in names
        }
        self._observe(sum(map(_rows, batch)))
        try:
            outputs = self._run(joined)
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            # One bad request must not fail the others.
            for item in batch:
                self._answer([item])
            return
        start = 0
        for inputs, future in batch:
            stop = start + _rows((inputs, future))
            future.set_result({k: v[start:stop] for k, v in outputs.items()})
            start = stop


def _rows(item: _Request) -> int:
    return len(next(iter(item[0].values())))
