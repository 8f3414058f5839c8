"""Joins concurrent requests into one call of the model."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

Tensors = dict[str, np.ndarray]


class QueueFull(RuntimeError):
    """More requests wait than the queue holds."""


class Batcher:
    """One thread that runs what has come in, joined along the first axis.

    Args:
        run: {name: [rows, ...]} -> {name: [rows, ...]}, rows independent.
        max_batch_size: rows of one call, unless a single request has more.
        timeout_seconds: how long the first request of a batch waits for more.
        max_waiting: requests that may wait.
        observe: told the rows of each call.
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
        self._queue: queue.Queue = queue.Queue(max_waiting)
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def submit(self, inputs: Tensors) -> Future:
        """Queues a request; a canceled one is not run.

        Raises:
            QueueFull: too many wait already.
        """
        future: Future = Future()
        try:
            self._queue.put_nowait((inputs, future))
        except queue.Full:
            raise QueueFull("too many requests wait") from None
        return future

    def close(self) -> None:
        """Runs what waits, then ends the thread."""
        self._queue.put(None)
        self._thread.join()

    def _loop(self) -> None:
        left_over = None
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

    def _collect(self, first: tuple) -> tuple[list, tuple | None, bool]:
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

    def _answer(self, batch: list) -> None:
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
            # One bad request must not fail its neighbors.
            for item in batch:
                self._answer([item])
            return
        start = 0
        for inputs, future in batch:
            stop = start + _rows((inputs, future))
            future.set_result({k: v[start:stop] for k, v in outputs.items()})
            start = stop


def _rows(item: tuple) -> int:
    return len(next(iter(item[0].values())))
