"""Runs concurrent requests in batches."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

Tensors = dict[str, np.ndarray]
# Texts of one call are padded to its longest. A call of its own costs about as
# much as so many bytes of text: steps of the graph, weights that are read.
_CALL_BYTES = 64
_MOST_COMPARED = 128  # Requests; the others wait for a later call.


class QueueFull(RuntimeError):
    """The queue has no room for another request."""


class Slots:
    """Room for so many calls at once, given in the order of asking.

    `threading.Semaphore` lets the thread that gives a place back take it again
    before the one that waits for it wakes up: a batcher whose queue is never
    empty would keep all others from running.

    Args:
        number: most calls at once.
    """

    def __init__(self, number: int):
        self._free = number
        self._lock = threading.Lock()
        self._turns: collections.deque[threading.Event] = collections.deque()

    @property
    def waiting(self) -> int:
        """How many threads wait for a place."""
        return len(self._turns)

    def __enter__(self) -> None:
        with self._lock:
            if self._free:  # Then nobody waits.
                self._free -= 1
                return
            turn = threading.Event()
            self._turns.append(turn)
        turn.wait()

    def __exit__(self, *error: object) -> None:
        with self._lock:
            if self._turns:
                self._turns.popleft().set()  # The place goes over to it.
            else:
                self._free += 1


@dataclasses.dataclass(eq=False, slots=True)
class _Request:
    """What waits.

    Attributes:
        inputs: {name: [rows, ...]}.
        due: time at which it no longer waits for others.
        answer: where the answer goes.
        rows: their number.
        shape: of one row of each input; calls join equal ones only.
        length: bytes of the longest text.
    """

    inputs: Tensors
    due: float
    answer: Future[Tensors] = dataclasses.field(default_factory=Future)
    rows: int = dataclasses.field(init=False)
    shape: dict[str, tuple[int, ...]] = dataclasses.field(init=False)
    length: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.rows = len(next(iter(self.inputs.values())))
        self.shape = {k: array.shape[1:] for k, array in self.inputs.items()}
        self.length = sum(
            max(map(len, array.ravel()), default=0)
            for array in self.inputs.values()
            if array.dtype == object
        )


class Batcher:
    """Threads that run waiting requests, joined along the first axis.

    A call takes the oldest request and those that are best joined with it:
    padding short texts to a long one soon costs more than a further call.

    Args:
        run: {name: [rows, ...]} -> {name: [rows, ...]}, rows independent.
        max_batch_size: most rows of a batch, unless one request has more.
        timeout_seconds: how long the first request of a batch waits for more.
        max_waiting: most requests in the queue.
        observe: called with the number of rows of each batch.
        threads: most batches that run at once.
        slots: shared by batchers that together run no more batches than it
            holds; None for none.
    """

    def __init__(
        self,
        run: Callable[[Tensors], Tensors],
        max_batch_size: int = 64,
        timeout_seconds: float = 0.001,
        max_waiting: int = 1000,
        observe: Callable[[int], None] = lambda rows: None,
        threads: int = 1,
        slots: Slots | None = None,
    ):
        self._run, self._observe = run, observe
        self._most, self._timeout = max_batch_size, timeout_seconds
        self._max_waiting = max_waiting
        self._slots = slots or Slots(threads)
        self._waiting: list[_Request] = []  # The oldest first.
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._loop, daemon=True)
            for _ in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, inputs: Tensors) -> Future[Tensors]:
        """Queues a request; if its future is canceled in time, it is not run.

        Raises:
            QueueFull: too many requests wait already.
        """
        request = _Request(inputs, time.monotonic() + self._timeout)
        with self._changed:
            if len(self._waiting) >= self._max_waiting:
                # Whoever gave up does not keep others out.
                self._waiting = [
                    waiting
                    for waiting in self._waiting
                    if not waiting.answer.cancelled()
                ]
            if len(self._waiting) >= self._max_waiting:
                raise QueueFull("too many requests wait")
            self._waiting.append(request)
            # Otherwise a thread waits for the oldest request's time already,
            # or takes what is there, and wakes another one for the rest.
            if len(self._waiting) == 1 or self._full():
                self._changed.notify()
        return request.answer

    def close(self) -> None:
        """Runs what is queued, then ends the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _loop(self) -> None:
        while self._wait():
            # Chosen when it can run: until then others join it.
            with self._slots:
                batch = [
                    request
                    for request in self._take()
                    if request.answer.set_running_or_notify_cancel()
                ]
                if batch:
                    self._answer(batch)

    def _wait(self) -> bool:
        """Waits until a batch is due; False at the end."""
        with self._changed:
            while not self._closed:
                left = None
                if self._waiting:
                    left = self._waiting[0].due - time.monotonic()
                    if left <= 0 or self._full():
                        return True
                self._changed.wait(left)
            return bool(self._waiting)

    def _full(self) -> bool:
        """Whether as much waits as a batch may hold."""
        return sum(request.rows for request in self._waiting) >= self._most

    def _take(self) -> list[_Request]:
        """Removes a batch from the queue."""
        with self._changed:
            if not self._waiting:  # Another thread was faster.
                return []
            batch = self._oldest_call(self._waiting[:_MOST_COMPARED])
            taken = set(batch)
            self._waiting = [r for r in self._waiting if r not in taken]
            if self._waiting:
                self._changed.notify()
            return batch

    def _oldest_call(self, requests: list[_Request]) -> list[_Request]:
        """Splits requests into the cheapest calls; returns the oldest one's."""
        first = requests[0]
        # Sorting keeps the order of equally long ones: the oldest first.
        ordered = sorted(
            (r for r in requests if r.shape == first.shape),
            key=lambda request: request.length,
        )
        # Of those before each place: the cost, and where the last call starts.
        costs, starts = [0], [0]
        for stop, last in enumerate(ordered, 1):
            rows = 0
            choices: list[tuple[int, int]] = []
            for start in reversed(range(stop)):
                rows += ordered[start].rows
                if rows > self._most and choices:
                    break
                cost = costs[start] + _CALL_BYTES + rows * last.length
                choices.append((cost, -start))
            cost, start = min(choices)
            costs.append(cost)
            starts.append(-start)
        stop = len(ordered)
        while first not in ordered[starts[stop] : stop]:
            stop = starts[stop]
        return ordered[starts[stop] : stop]

    def _answer(self, batch: list[_Request]) -> None:
        try:
            joined = {
                name: np.concatenate([r.inputs[name] for r in batch])
                for name in batch[0].inputs
            }
            self._observe(sum(request.rows for request in batch))
            outputs = self._run(joined)
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            # One bad request must not fail the others.
            for request in batch:
                self._answer([request])
            return
        start = 0
        for request in batch:
            stop = start + request.rows
            request.answer.set_result(
                {name: array[start:stop] for name, array in outputs.items()}
            )
            start = stop
