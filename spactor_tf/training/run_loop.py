"""The loop of every training run: resume, step, log, evaluate, save, finish.

Batches are a function of the step and a checkpoint has all state, so a run that
was interrupted anywhere computes the same bits as one that was not.
Pre-training (`pretrain_run`) and fine-tuning (`spactor_tf.finetune.run`) define
the batches, the evaluation and what is written at the end.
"""

from __future__ import annotations

import abc
import contextlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from runkit import InputError, Progress, write_json
from runkit.errors import InterruptedRun
from runkit.files import lock_directory
from runkit.signals import TerminationFlag
from spactor_tf.config.continuation import (
    Continuation,
    continuation,
    read_config,
)
from spactor_tf.config.pretrain import JIT_COMPILE
from spactor_tf.data.step_pipeline import StepPipeline
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.model.curriculum import Stage
from spactor_tf.model.t5_trainer import T5Trainer
from spactor_tf.training import distribution
from spactor_tf.training.checkpointing import CheckpointStore
from spactor_tf.training.metrics_log import MetricsLog
from spactor_tf.training.monitoring import (
    Throughput,
    callback_figures,
    progress_note,
    watched_by,
)
from spactor_tf.training.optimizers import build_optimizer, build_schedule
from spactor_tf.training.scaled_optimizers import evaluation_weights


class TrainingRun(abc.ABC):
    """Model, data, checkpoints and log of one run, wired together.

    A subclass's constructor calls this one first, then sets `vocabulary` and
    `model`. Nothing is written before `execute`.

    Args:
        config: of the run: `train_steps`, `batch_size`, `accumulation_steps`
            and `runtime` are read here.
        output_dir: of the run.

    Raises:
        InputError: `output_dir` has a run that this configuration does not
            continue, or the batch cannot be divided among the devices.
    """

    vocabulary: Vocabulary
    model: T5Trainer
    # Metrics of a step that are redundant in this kind of run.
    unlogged: tuple[str, ...] = ()

    def __init__(self, config: Any, output_dir: str | os.PathLike):
        self.config = config
        self.folder = pathlib.Path(output_dir)
        self.continuation = continuation_of(config, self.folder)
        self.strategy = distribution.make_strategy(config.runtime.strategy)
        distribution.check_batch(
            self.strategy.num_replicas_in_sync,
            config.batch_size,
            config.accumulation_steps,
        )
        self.chief = distribution.is_chief(self.strategy)
        self.checkpoints = CheckpointStore(
            self.folder, config.runtime.keep_last
        )
        self.step = 0
        self.score: float | None = None  # Of the last evaluation.

    # --- What a subclass defines ----------------------------------------------

    @property
    @abc.abstractmethod
    def eval_every(self) -> int:
        """Steps between evaluations."""

    @abc.abstractmethod
    def pipeline(self, stage: Stage) -> StepPipeline:
        """Returns the batches of a stage."""

    @abc.abstractmethod
    def evaluate(self, stage: Stage) -> dict[str, float]:
        """Returns figures of the current weights and sets `score`."""

    @abc.abstractmethod
    def finish(self) -> None:
        """Writes the results after the last step; called on the chief only."""

    @abc.abstractmethod
    def tokens_seen(self) -> int:
        """Returns the tokens of all steps so far, without padding."""

    @abc.abstractmethod
    def throughput(self) -> Throughput:
        """Returns the meter of the run's rates."""

    def begin(self) -> None:
        """Writes what tells what the run is; called on the chief only."""
        for note in self.continuation.notes:
            print(note, flush=True)
        values = self.continuation.values(self.config)
        write_json(self.folder / "config.json", values)

    @property
    def is_over(self) -> bool:
        """Whether no steps are left."""
        return self.step >= self.config.train_steps

    def record(
        self, log: MetricsLog, stage: Stage, figures: dict[str, float]
    ) -> dict[str, Any]:
        """Writes a line of metrics and returns it."""
        return log.write(self.step, stage.value, **figures)

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint has besides the variables."""
        return {}

    def take_state(self, state: dict[str, Any]) -> None:
        """Restores `state()`."""
        del state  # By default there is nothing besides the variables.

    def is_save_due(self) -> bool:
        """Whether this step ends with a checkpoint."""
        return self._is_due(self.config.runtime.checkpoint_every)

    # --- Running ----------------------------------------------------------

    def compile(self, model: T5Trainer) -> None:
        """Gives the model its optimizer; call it in the strategy's scope."""
        steps = max(self.config.train_steps, 1)
        optimizer = build_optimizer(self.config.optimizer, steps)
        model.compile(
            optimizer=optimizer,
            jit_compile=JIT_COMPILE[self.config.runtime.jit_compile],
        )

    def execute(
        self, callbacks: Sequence[keras.callbacks.Callback] = ()
    ) -> pathlib.Path:
        """Trains to the last step, then writes the results.

        Callbacks are called on the chief only, and not every step, so that the
        devices need not be waited for: `on_train_begin`, `on_train_batch_end`
        with the step and the figures of each line of metrics, before it
        `on_test_end` with those of an evaluation, and `on_train_end`, also when
        the run is stopped or fails. `model.stop_training = True` saves and
        stops the run. What a callback raises ends the run; a resumed run
        repeats the steps since its last checkpoint.

        Args:
            callbacks: of the run; one without steps left calls none.

        Raises:
            InputError: another process works in the directory; or losses or
                weights are not finite: the last good checkpoint stays.
            InterruptedRun: SIGTERM or SIGINT came, or a callback stopped the
                run; the state is saved.
        """
        with contextlib.ExitStack() as stack:
            if self.chief:
                stack.enter_context(lock_directory(self.folder))
                # Another process may have run here since the constructor.
                self.continuation = continuation_of(self.config, self.folder)
                self.begin()
            log = MetricsLog(self.folder if self.chief else None)
            self._resume(log)
            with (
                TerminationFlag() as terminated,
                watched_by(
                    [] if self.is_over or not self.chief else callbacks,
                    self.model,
                    self.step,
                    self.config.train_steps,
                ) as watchers,
            ):
                self._train(log, terminated, watchers)
            if self.chief:
                with evaluation_weights(self.model.optimizer):
                    self.finish()
        return self.folder

    def _train(
        self,
        log: MetricsLog,
        terminated: TerminationFlag,
        watchers: keras.callbacks.CallbackList,
    ) -> None:
        end = max(self.config.train_steps, 1)
        schedule = build_schedule(self.config.optimizer, end)
        progress = Progress(self.config.train_steps, start=self.step)
        meter = self.throughput()
        traced: Stage | None = None
        batches: Any = None
        run_steps: Any = None
        while not self.is_over:
            stage = self.model.stage
            if stage is not traced:
                dataset = distribution.distribute(
                    self.pipeline(stage),
                    self.strategy,
                    self.step,
                    self.config.train_steps,
                )
                batches, traced = iter(dataset), stage
                run_steps = self.model.make_steps_function()
            steps = self._steps_until_pause()
            metrics = run_steps(batches, tf.constant(steps))
            for name in self.unlogged:
                metrics.pop(name, None)
            log.add(metrics)
            self.step += steps
            meter.count(self.step, stage)
            if self._is_log_due():
                remedy = self.checkpoints.divergence_remedy()
                log.check_finite(self.step, str(self.folder), remedy)
                figures = {
                    # Of the step that has just been done.
                    "learning_rate": float(schedule(self.step - 1)),
                    "tokens_seen": self.tokens_seen(),
                    **meter.read(),
                }
                if self.is_eval_due():
                    watchers.on_test_begin()
                    with evaluation_weights(self.model.optimizer):
                        measured = self.evaluate(stage)
                        watchers.on_test_end(measured)
                    figures |= measured
                record = self.record(log, stage, figures)
                progress.update(self.step, progress_note(record), force=True)
                watchers.on_train_batch_end(self.step, callback_figures(record))
            is_stopped = terminated.is_set or self.model.stop_training
            self._save_if_due(log, is_stopped)
            meter.restart_after_pause(self._is_log_due())
            if is_stopped and not self.is_over:
                raise InterruptedRun(
                    f"saved at step {self.step}; the same command resumes"
                )

    def _steps_until_pause(self) -> int:
        """Steps of the next call: none passes a line, a save or a stage."""
        runtime, end = self.config.runtime, self.config.train_steps
        every = (runtime.log_every, runtime.checkpoint_every, self.eval_every)
        pauses = [end, *(self.step + n - self.step % n for n in every)]
        if self.step < self.model.transition_step:
            pauses.append(self.model.transition_step)
        return min(min(pauses) - self.step, runtime.steps_per_execution)

    def is_eval_due(self) -> bool:
        """Whether this step ends with an evaluation."""
        return self._is_due(self.eval_every)

    def _is_due(self, every: int) -> bool:
        last = self.step == self.config.train_steps
        return last or self.step % every == 0

    def _is_log_due(self) -> bool:
        """A line also ends at a stage's last step: no line mixes two stages."""
        return (
            self._is_due(self.config.runtime.log_every)
            or self.is_eval_due()
            or self.step == self.model.transition_step
        )

    # --- State --------------------------------------------------------------

    def variables(self) -> dict[str, list]:
        """Returns all variables that a step changes."""
        return {
            "model": self.model.variables,
            "optimizer": self.model.optimizer.variables,
        }

    def _resume(self, log: MetricsLog) -> None:
        state = self.checkpoints.restore(self.variables())
        if state is None:
            log.resume(0, [])
            return
        if not self.vocabulary.has_fingerprint(state.get("vocabulary")):
            raise InputError(
                "was trained with another vocabulary",
                where=str(self.checkpoints.path(state["step"])),
                got=self.vocabulary.fingerprint[:16],
                expected=str(state.get("vocabulary"))[:16],
                remedy="Give the run's own vocabulary, or start a new run",
            )
        self.step = state["step"]
        try:
            self.take_state(state)
            log.resume(self.step, state["pending"])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            where = str(self.checkpoints.path(self.step) / "state.json")
            what = f"is not a whole state ({error!r})"
            raise InputError(what, where=where) from None
        if self.chief:
            print(f"resuming at step {self.step}", flush=True)

    def _save_if_due(self, log: MetricsLog, terminated: bool) -> None:
        if not self.chief or not (terminated or self.is_save_due()):
            return
        state = {
            **self.state(),
            "stage": self.model.stage.value,
            # A score belongs to the step that it was measured at.
            "score": self.score if self.is_eval_due() else None,
            "pending": log.pending(),
            "vocabulary": self.vocabulary.fingerprint,
        }
        files = {
            "config.json": (self.folder / "config.json").read_bytes(),
            "vocabulary.model": self.vocabulary.proto,
        }
        self.checkpoints.save(self.step, self.variables(), state, files)


def continuation_of(config: Any, folder: pathlib.Path) -> Continuation:
    """Returns how a configuration continues the run in a directory.

    Args:
        config: to go on with.
        folder: of the run; one without a run can begin anything.

    Raises:
        InputError: the run there differs in fields outside `runtime`, or its
            end cannot be moved; see `spactor_tf.config.continuation`.
    """
    path = folder / "config.json"
    if not path.is_file():
        return Continuation()
    there, history = read_config(path, type(config))
    trained = CheckpointStore(folder).steps()[-1:]
    return continuation(
        there, history, config, max(trained, default=0), str(folder)
    )
