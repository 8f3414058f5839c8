"""Engines: where the stages of a distributed run are computed.

A stage is a pure function. An engine maps it over items and keeps its outputs
where they were made; the driver holds handles and passes them on. Nothing of
the stages knows which engine it is.

Every task returns a receipt first: how many bytes it made, how long it took,
and what went wrong. A function that raises is called a second time; one that
raises twice ends the run by an `InputError` that names the stage and the shard.
Since functions are pure, a task that died with its machine is simply run again.
"""

from __future__ import annotations

import abc
import os
import pathlib
import resource
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from al_tf.distributed.costs.measures import Receipt, StageCost, WorkerCost
from runkit import InputError
from runkit.version import __version__

# No message to a worker is larger. Parts of the pool themselves are, by what
# `Options.max_part_bytes` allows.
MAX_MESSAGE_BYTES = 64 << 20
# How often a task that raises is called.
_ATTEMPTS = 2

# An output that stays where it was made.
Handle = Any


class Engine(abc.ABC):
    """Maps pure functions over items.

    Attributes:
        costs: of each stage by name, in the order in which they began.
        workers: what each worker did, by its name.
    """

    def __init__(self) -> None:
        self.costs: dict[str, StageCost] = {}
        self.workers: dict[str, WorkerCost] = {}

    def map(
        self,
        stage: str,
        function: Callable[..., Any],
        items: Iterable[Sequence[Any]],
        *,
        returns: int | None = None,
        keeps: int = 0,
    ) -> list[Any]:
        """Calls `function(*item)` for every item and waits.

        Args:
            stage: name for costs and messages.
            function: pure and importable; it must not change its arguments.
            items: arguments; handles among them become their values.
            returns: the function returns a sequence of this many outputs,
                each with a handle of its own; None: one output.
            keeps: so many first outputs stay with the part that they are of;
                the others are messages.

        Returns:
            A handle per item; with `returns`, a list of handles per item.

        Raises:
            InputError: a task refused its input, raised twice, or died with
                its worker too often; the others' outputs are dropped.
        """
        submitted = [
            self.submit(f"{stage}, part {number}", function, item, returns)
            for number, item in enumerate(items)
        ]
        outputs = []
        for number, (receipt_handle, *made) in enumerate(submitted):
            label = f"{stage}, part {number}"
            receipt = self.receipt(label, receipt_handle)
            self.take_receipt(stage, label, receipt, keeps)
            outputs.append(made[0] if returns is None else made)
        return outputs

    def take_receipt(
        self, stage: str, label: str, receipt: Receipt, keeps: int = 0
    ) -> None:
        """Adds what a task cost.

        Raises:
            InputError: it failed, or another version of this package did it.
        """
        if receipt.refused is not None:
            raise receipt.refused
        if receipt.error:
            raise InputError(receipt.error, where=label)
        if receipt.version != __version__:
            raise InputError(
                "a worker has another version of this package",
                where=label,
                got=receipt.version,
                expected=__version__,
                remedy="Install the same version on all machines",
            )
        cost = self.costs.setdefault(stage, StageCost())
        cost.add(receipt, keeps)
        self.workers.setdefault(receipt.worker, WorkerCost()).add(receipt)

    def call(
        self, stage: str, function: Callable[..., Any], *item: Any
    ) -> Handle:
        """`map` of one item."""
        return self.map(stage, function, [item])[0]

    @abc.abstractmethod
    def map_with_state(
        self,
        stage: str,
        make: Callable[[], Any],
        function: Callable[..., Any],
        items: Sequence[Sequence[Any]],
        on_done: Callable[[int, Any], None] | None = None,
    ) -> list[Any]:
        """Calls `function(state, *item)` for every item and waits.

        For what is long to make and cannot be sent, such as a loaded model.
        An item that dies with its worker is given to another one.

        Args:
            stage: name for costs and messages.
            make: makes the state, once in every worker.
            function: importable; called again, it has to do the same.
            items: arguments, no handles among them.
            on_done: called with number and result of each that is done.

        Returns:
            The results in the order of the items.

        Raises:
            InputError: as `map`.
        """

    @abc.abstractmethod
    def worker_bytes(self) -> int:
        """Memory that the poorest worker may take for one object."""

    @abc.abstractmethod
    def put(self, value: Any) -> Handle:
        """Makes a value of the driver a handle, to be sent once."""

    @abc.abstractmethod
    def get(self, handles: Sequence[Handle]) -> list[Any]:
        """Brings values to the driver."""

    @abc.abstractmethod
    def close(self) -> None:
        """Gives up what the engine holds."""

    @abc.abstractmethod
    def submit(
        self,
        label: str,
        function: Callable[..., Any],
        item: Sequence[Any],
        returns: int | None,
    ) -> list[Handle]:
        """Starts `run_task`; handles of the receipt and the outputs."""

    @abc.abstractmethod
    def receipt(self, label: str, handle: Handle) -> Receipt:
        """Waits for a receipt."""


class LocalEngine(Engine):
    """This process, one task at a time; outputs are read-only, as Ray's are."""

    def map_with_state(
        self,
        stage: str,
        make: Callable[[], Any],
        function: Callable[..., Any],
        items: Sequence[Sequence[Any]],
        on_done: Callable[[int, Any], None] | None = None,
    ) -> list[Any]:
        """See `Engine.map_with_state`."""
        state, results = WithState(make), []
        for number, item in enumerate(items):
            receipt, result = state.run_task(function, *item)
            self.take_receipt(stage, f"{stage}, part {number}", receipt)
            results.append(result)
            if on_done:
                on_done(number, result)
        return results

    def worker_bytes(self) -> int:
        """See `Engine.worker_bytes`: what this machine can give."""
        try:
            # Files that are kept in memory and can go count as free.
            text = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")
            return int(text.partition("MemAvailable:")[2].split()[0]) << 10
        except (OSError, IndexError, ValueError):  # Not Linux.
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def put(self, value: Any) -> Handle:
        """See `Engine.put`."""
        _freeze(value)
        return value

    def get(self, handles: Sequence[Handle]) -> list[Any]:
        """See `Engine.get`."""
        return list(handles)

    def close(self) -> None:
        """See `Engine.close`."""

    def submit(
        self,
        label: str,
        function: Callable[..., Any],
        item: Sequence[Any],
        returns: int | None,
    ) -> list[Handle]:
        """See `Engine.submit`."""
        outputs = run_task(function, returns, *item)
        _freeze(outputs)
        return list(outputs)

    def receipt(self, label: str, handle: Handle) -> Receipt:
        """See `Engine.receipt`."""
        return handle


class WithState:
    """A worker that keeps something; it is made by the first task.

    Args:
        make: makes it. What it raises is told like what a task raises.
    """

    def __init__(self, make: Callable[[], Any]):
        self._make, self._state = make, None

    def run_task(
        self, function: Callable[..., Any], *item: Any
    ) -> tuple[Any, ...]:
        """Calls `function(state, *item)`; see `run_task`."""

        def call(*given: Any) -> Any:
            if self._state is None:
                self._state = self._make()
            return function(self._state, *given)

        return run_task(call, None, *item)


def run_task(
    function: Callable[..., Any], returns: int | None, *item: Any
) -> tuple[Any, ...]:
    """Calls a stage's function on a worker.

    Returns:
        (receipt, outputs ...). Exceptions travel as texts in the receipt:
        those of libraries cannot all be sent.
    """
    began, cpu = time.monotonic(), time.process_time()
    outputs: Any = None
    error, refused = "", None
    for attempt in range(_ATTEMPTS):
        try:
            outputs, error = function(*item), ""
            break
        except InputError as bad:
            refused = bad.with_traceback(None)
            break
        except Exception as failed:  # Whatever it is, the driver names it.
            last = traceback.extract_tb(failed.__traceback__)[-1]
            error = (
                f"failed {attempt + 1} times: {type(failed).__name__}: "
                f"{failed} ({last.name}, line {last.lineno})"
            )
    if error or refused is not None:
        outputs = (None,) * (returns or 1)
    elif returns is None:
        outputs = (outputs,)
    receipt = Receipt(
        tuple(num_bytes(output) for output in outputs),
        time.monotonic() - began,
        time.process_time() - cpu,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
        __version__,
        f"{socket.gethostname()}:{os.getpid()}",
        error,
        refused,
    )
    return (receipt, *outputs)


def num_bytes(value: Any) -> int:
    """Bytes of the arrays in a value."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, (tuple, list)):
        return sum(num_bytes(part) for part in value)
    return 0


def _freeze(value: Any) -> None:
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif isinstance(value, (tuple, list)):
        for part in value:
            _freeze(part)
