"""metrics.jsonl and TensorBoard: the figures of a run.

One JSON object per logged step: `step`, `stage`, means of the losses and of the
gradient's norm (before clipping) since the previous line, the learning rate of
the line's last step, tokens and FLOPs since the start of the run, held-out
figures if the step was evaluated, throughput. A resumed run drops the lines
after its checkpoint, so the file is that of an uninterrupted run except for the
timings.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
from typing import Any

import numpy as np

from runkit import InputError, atomic_write


class MetricsLog:
    """Collects the metrics of steps and writes their means.

    Args:
        run_dir: of the run; None writes nothing (workers other than the
            chief).
    """

    def __init__(self, run_dir: str | os.PathLike | None):
        self._path = (
            pathlib.Path(run_dir) / "metrics.jsonl" if run_dir else None
        )
        self._board_dir = (
            pathlib.Path(run_dir) / "tensorboard" if run_dir else None
        )
        self._board: Any = None
        self._pending: list[dict[str, float]] = []
        self._unread: list[dict[str, Any]] = []  # Still on devices.

    def resume(self, step: int, pending: list[dict[str, float]]) -> None:
        """Drops lines after `step` and restores pending metrics."""
        self._pending, self._unread = list(pending), []
        if self._path is None or not self._path.is_file():
            return
        kept = [r for r in read_metrics(self._path) if r["step"] <= step]
        with atomic_write(self._path) as handle:
            handle.writelines(json.dumps(record) + "\n" for record in kept)

    def add(self, metrics: dict[str, Any]) -> None:
        """Adds the metrics of one call without waiting for devices.

        Args:
            metrics: {name: [steps] float32}, the steps of the call.
        """
        self._unread.append(metrics)

    def pending(self) -> list[dict[str, float]]:
        """Returns the metrics of the steps since the last line, as numbers."""
        for metrics in self._unread:
            columns = [np.asarray(value).tolist() for value in metrics.values()]
            self._pending += [
                dict(zip(metrics, step, strict=True))
                for step in zip(*columns, strict=True)
            ]
        self._unread = []
        return self._pending

    def check_finite(self, step: int, where: str, remedy: str) -> None:
        """Stops a run that diverges: looks at all steps since the last line.

        Args:
            step: optimizer steps done.
            where: the run, for the message.
            remedy: what to do.

        Raises:
            InputError: a loss or the gradient's norm is not finite; names the
                step and the figure. Nothing of these steps was written.
        """
        pending = self.pending()
        for number, metrics in enumerate(pending, step - len(pending) + 1):
            for name, value in metrics.items():
                if not math.isfinite(value):
                    raise InputError(
                        "the training diverged",
                        where=f"{where}, step {number}",
                        got=f"{name} = {value}",
                        expected="finite numbers",
                        remedy=remedy,
                    )

    def write(self, step: int, stage: str, **more: float) -> dict[str, Any]:
        """Writes the means of the pending metrics as one line.

        Args:
            step: optimizer steps done.
            stage: of these steps.
            **more: figures of this line.

        Returns:
            The line as a dictionary.
        """
        pending = self.pending()
        names = pending[-1] if pending else {}
        record: dict[str, Any] = {"step": step, "stage": stage}
        for name in names:
            values = [m[name] for m in pending if name in m]
            record[name] = sum(values) / len(values)
        record.update(more)
        self._pending = []
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(record) + "\n")
            self._write_board(step, record)
        return record

    def _write_board(self, step: int, record: dict[str, Any]) -> None:
        import tensorflow as tf

        if self._board is None:
            self._board = tf.summary.create_file_writer(str(self._board_dir))
        with self._board.as_default(step=step):
            for name, value in record.items():
                if name != "step" and isinstance(value, int | float):
                    tf.summary.scalar(name, value)
        self._board.flush()


def read_metrics(
    path: str | os.PathLike, is_finished: bool = False
) -> list[dict[str, Any]]:
    """Reads metrics.jsonl.

    Args:
        path: of the file.
        is_finished: the run is: nothing can have cut off its last line, which
            is left out otherwise.

    Raises:
        InputError: a line that is broken.
    """
    records = []
    lines = pathlib.Path(path).read_bytes().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
        elif is_finished or number < len(lines):
            raise InputError(
                "is a broken line",
                where=f"{path}, line {number}",
                got=line[:100],
                remedy="Delete the line",
            )
    return records
