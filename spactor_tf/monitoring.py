"""Watching a run from inside: termination signals, rates, the progress note."""

from __future__ import annotations

import signal
import time
from typing import Any

from spactor_tf import flops
from spactor_tf.config import PretrainConfig
from spactor_tf.corruption import corruption_lengths
from spactor_tf.curriculum import Stage


class TerminationFlag:
    """Set by SIGTERM or SIGINT while the block runs; a second one kills."""

    def __init__(self) -> None:
        self.is_set = False
        self._old: dict[int, Any] = {}

    def __enter__(self) -> TerminationFlag:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        self.is_set = True
        signal.signal(number, self._old[number])


class Throughput:
    """Rates since the last reading and FLOPs so far."""

    def __init__(self, config: PretrainConfig):
        lengths = corruption_lengths(config.corruption)
        per_example = lengths.input_length + lengths.target_length
        self._config = config
        self._tokens = per_example * config.batch_size
        self._step = self._read = 0
        self._stage: Stage | None = None
        self._since = time.monotonic()

    def count(self, step: int, stage: Stage) -> None:
        """Counts a step; the first of a stage, which traces, has no rate."""
        if stage is not self._stage:
            self._stage, self._since = stage, time.monotonic()
            self._read = step
        self._step = step

    def restart_after_pause(self, paused: bool) -> None:
        """Does not count the time of an evaluation or a checkpoint."""
        if paused:
            self._read, self._since = self._step, time.monotonic()

    def read(self) -> dict[str, float]:
        """Returns steps/s, tokens/s (encoder and decoder), FLOPs, rate."""
        now = time.monotonic()
        steps, seconds = self._step - self._read, now - self._since
        self._read, self._since = self._step, now
        figures = {"flops": float(flops.flops_until(self._config, self._step))}
        if steps and seconds > 0:
            figures["steps_per_second"] = steps / seconds
            figures["tokens_per_second"] = steps * self._tokens / seconds
        return figures


def progress_note(record: dict[str, Any]) -> str:
    """Returns the figures of a metrics line that a person watches."""
    parts = [record["stage"]]
    for name in ("loss", "sc_loss", "mlm_loss", "rtd_loss", "heldout_sc_loss"):
        if name in record:
            parts.append(f"{name}={record[name]:.3f}")
    if "tokens_per_second" in record:
        parts.append(f"{record['tokens_per_second']:,.0f} tokens/s")
    return " ".join(parts)
