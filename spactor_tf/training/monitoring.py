"""Watching a run: its rates, the progress note, callbacks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras

from runkit import InputError
from spactor_tf.model.curriculum import Stage

_WATCHED = ("loss", "sc_loss", "mlm_loss", "rtd_loss")


class Throughput:
    """Rates since the last reading and FLOPs so far.

    Args:
        unit: what is counted, in the plural.
        units_per_step: units that a step processes.
        flops_until: maps a number of steps to their FLOPs; None reports none.
    """

    def __init__(
        self,
        unit: str,
        units_per_step: int,
        flops_until: Callable[[int], int] | None = None,
    ):
        self._unit, self._units = unit, units_per_step
        self._flops_until = flops_until
        self._step = self._read = 0
        self._stage: Stage | None = None
        self._since = time.monotonic()

    def count(self, step: int, stage: Stage) -> None:
        """Counts a step; the first of a stage, which traces, is not timed."""
        if stage is not self._stage:
            self._stage, self._since = stage, time.monotonic()
            self._read = step
        self._step = step

    def restart_after_pause(self, paused: bool) -> None:
        """Leaves out the time of an evaluation or a checkpoint."""
        if paused:
            self._read, self._since = self._step, time.monotonic()

    def read(self) -> dict[str, float]:
        """Returns FLOPs, steps per second and units per second."""
        now = time.monotonic()
        steps, seconds = self._step - self._read, now - self._since
        self._read, self._since = self._step, now
        figures = {}
        if self._flops_until is not None:
            figures["flops"] = float(self._flops_until(self._step))
        if steps and seconds > 0:
            figures["steps_per_second"] = steps / seconds
            rate = steps * self._units / seconds
            figures[f"{self._unit}_per_second"] = rate
        return figures


def progress_note(record: dict[str, Any]) -> str:
    """Returns the main figures of a line of metrics for the terminal."""
    parts = [record["stage"]]
    for name in (*_WATCHED, "heldout_sc_loss", "validation_score"):
        if name in record:
            parts.append(f"{name}={record[name]:.3f}")
    for name, form in (
        ("learning_rate", ".3g"),
        ("gradient_norm", ".3g"),
        ("tokens_seen", ",d"),
    ):
        if name in record:
            parts.append(f"{name}={record[name]:{form}}")
    for unit in ("tokens", "examples"):
        if f"{unit}_per_second" in record:
            parts.append(f"{record[f'{unit}_per_second']:,.0f} {unit}/s")
    return " ".join(parts)


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Refuses what is no Keras callback.

    Raises:
        InputError: an object that is none, or a class instead of an object.
    """
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise InputError(
                "is not a callback",
                where="callbacks",
                got=callback,
                expected="objects of classes that derive from "
                "keras.callbacks.Callback",
            )


@contextlib.contextmanager
def watched_by(
    callbacks: Sequence[keras.callbacks.Callback],
    model: keras.Model,
    first_step: int,
    train_steps: int,
) -> Iterator[keras.callbacks.CallbackList]:
    """Gives callbacks the model, and tells them of the training's two ends.

    Args:
        callbacks: of the run.
        model: the model that is trained; its `stop_training` is False at first.
        first_step: steps done before.
        train_steps: steps at the end; both are in the callbacks' `params`.
    """
    model.stop_training = False
    watchers = keras.callbacks.CallbackList(
        list(callbacks),
        model=model,
        first_step=first_step,
        steps=train_steps,
        epochs=1,
    )
    watchers.on_train_begin()
    try:
        yield watchers
    finally:
        watchers.on_train_end()


def callback_figures(record: Mapping[str, Any]) -> dict[str, float]:
    """Returns the numbers of a line of metrics, as callbacks get them."""
    return {
        name: value
        for name, value in record.items()
        if name != "step" and isinstance(value, int | float)
    }
