"""What tasks, stages and workers cost."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from runkit import InputError


class Receipt(NamedTuple):
    """What a task tells the driver.

    Attributes:
        sizes: bytes of each output.
        seconds: wall-clock time.
        cpu_seconds: processor time, all threads.
        peak_bytes: most memory that the worker's process has ever held.
        version: of this package on the worker.
        worker: machine and process.
        error: how the function failed; "" if it did not.
        refused: why it refused its input, if it did.
    """

    sizes: tuple[int, ...]
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    version: str
    worker: str = ""
    error: str = ""
    refused: InputError | None = None


@dataclasses.dataclass
class StageCost:
    """What a stage cost so far.

    Attributes:
        tasks: number of tasks.
        seconds: of all tasks together.
        cpu_seconds: processor time of all tasks together.
        slowest: seconds of the slowest task.
        message_bytes: bytes that its tasks made for others.
        largest_message: bytes of the largest of these objects.
        largest_kept: bytes of the largest object that stayed with its part.
        peak_bytes: most memory of a worker.
    """

    tasks: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    slowest: float = 0.0
    message_bytes: int = 0
    largest_message: int = 0
    largest_kept: int = 0
    peak_bytes: int = 0

    def add(self, receipt: Receipt, keeps: int) -> None:
        """Adds one task, of whose outputs so many first ones stay."""
        kept, messages = receipt.sizes[:keeps], receipt.sizes[keeps:]
        self.tasks += 1
        self.seconds += receipt.seconds
        self.cpu_seconds += receipt.cpu_seconds
        self.slowest = max(self.slowest, receipt.seconds)
        self.message_bytes += sum(messages)
        self.largest_message = max(self.largest_message, *messages, 0)
        self.largest_kept = max(self.largest_kept, *kept, 0)
        self.peak_bytes = max(self.peak_bytes, receipt.peak_bytes)


@dataclasses.dataclass
class WorkerCost:
    """What a worker did so far.

    Attributes:
        tasks: number of tasks.
        seconds: of all of them.
        peak_bytes: the most memory that its process has ever held.
    """

    tasks: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0

    def add(self, receipt: Receipt) -> None:
        """Adds one task."""
        self.tasks += 1
        self.seconds += receipt.seconds
        self.peak_bytes = max(self.peak_bytes, receipt.peak_bytes)
