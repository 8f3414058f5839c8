"""A pre-training run from a configuration: prepare, resume, train, finish.

    output_dir/
        config.json         resolved configuration
        metrics.jsonl       one object per logged step
        tensorboard/
        checkpoints/        see `spactor_tf.checkpointing`
        preset/             the finished model, a KerasHub preset
        report.html, *.png  see `spactor_tf.report`

The same command goes on with an interrupted run: batches are a function of the
step and a checkpoint holds all state, so a resumed run computes the same bits
as one that was never interrupted.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import pathlib
from typing import Any

from runkit import InputError, Progress, read_json, write_json
from runkit.errors import InterruptedRun
from spactor_tf import corpus, distribution, overrides, t5
from spactor_tf.checkpointing import CheckpointStore
from spactor_tf.config import PretrainConfig
from spactor_tf.corruption import corruption_lengths
from spactor_tf.curriculum import Stage
from spactor_tf.dataset import evaluation_pipeline, train_pipeline
from spactor_tf.metrics_log import MetricsLog
from spactor_tf.monitoring import TerminationFlag, Throughput, progress_note
from spactor_tf.optimizers import build_optimizer
from spactor_tf.pretrained import Pretrained, load_pretrained, save_pretrained
from spactor_tf.pretrainer import SpactorPretrainer
from spactor_tf.train_step import metrics_from_sums


def pretrain(
    config: PretrainConfig,
    output_dir: str | os.PathLike,
    cache_dir: str | os.PathLike | None = None,
) -> pathlib.Path:
    """Runs or resumes a pre-training run.

    Args:
        config: of the run.
        output_dir: of the run; created.
        cache_dir: where prepared corpora are kept; None is the user's cache.

    Returns:
        `output_dir`.

    Raises:
        InputError: bad input; nothing was written to `output_dir`.
        InterruptedRun: SIGTERM or SIGINT came; the state is saved.
    """
    return Run(config, output_dir, cache_dir).execute()


class Run:
    """One run: model, data, checkpoints and log, wired together."""

    def __init__(
        self,
        config: PretrainConfig,
        output_dir: str | os.PathLike,
        cache_dir: str | os.PathLike | None = None,
    ):
        config.validate()
        self.folder = pathlib.Path(output_dir)
        start = load_pretrained(config.init_from) if config.init_from else None
        if start is not None:
            config = _adopt_model(config, start)
        self.config = config
        corruption_lengths(config.corruption)  # Refuses what does not fit.
        _check_same_config(config, self.folder)
        self.strategy = distribution.make_strategy(config.runtime.strategy)
        self._check_replicas()
        self.corpus = _prepare_corpus(config, cache_dir, start)
        for store in (self.corpus.train, self.corpus.heldout):
            store.num_windows(corruption_lengths(config.corruption).raw_length)
        self.chief = distribution.is_chief(self.strategy)
        self.model = self._build_model(start)
        self.checkpoints = CheckpointStore(
            self.folder, config.runtime.keep_last
        )
        self.step = 0
        self._score: float | None = None

    def _check_replicas(self) -> None:
        replicas = self.strategy.num_replicas_in_sync
        slices = replicas * self.config.accumulation_steps
        if self.config.batch_size % slices:
            raise InputError(
                "is not divisible by replicas times accumulation_steps",
                where="batch_size", got=self.config.batch_size,
                expected=f"a multiple of {replicas} x "
                f"{self.config.accumulation_steps}",
            )  # fmt: skip

    def _build_model(self, start: Pretrained | None) -> SpactorPretrainer:
        with self.strategy.scope():
            backbone = None
            if start is not None:
                backbone = t5.build_backbone(
                    self.config.model, self.config.dtype
                )
                backbone.set_weights(start.backbone.get_weights())
            model = SpactorPretrainer(
                self.config, self.corpus.vocabulary, backbone
            )
            optimizer = build_optimizer(
                self.config.optimizer, self.config.train_steps
            )
            model.compile(
                optimizer=optimizer,
                jit_compile=self.config.runtime.jit_compile,
            )
        return model

    def execute(self) -> pathlib.Path:
        """Trains to the last step, saves the preset and writes the report."""
        if self.chief:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(
                self.folder / "config.json", overrides.to_dict(self.config)
            )
        log = MetricsLog(self.folder if self.chief else None)
        self._resume(log)
        with TerminationFlag() as terminated:
            self._train(log, terminated)
        if self.chief:
            self._finish()
        return self.folder

    # --- Training -----------------------------------------------------------

    def _train(self, log: MetricsLog, terminated: TerminationFlag) -> None:
        config, runtime = self.config, self.config.runtime
        progress = Progress(config.train_steps, start=self.step)
        meter = Throughput(config)
        batches: Any = None
        traced = None
        while self.step < config.train_steps:
            stage = self.model.stage
            if stage is not traced:
                batches, traced = self._batches(stage), stage
                self.model.make_train_function()
            log.add(self.model.train_function(batches))
            self.step += 1
            meter.count(self.step, stage)
            if self._is_log_due():
                figures = meter.read()
                if self._is_due(runtime.eval_every):
                    figures |= self.evaluate(stage)
                record = log.write(self.step, stage.value, **figures)
                progress.update(self.step, progress_note(record), force=True)
            self._save_if_due(log, terminated.is_set)
            meter.restart_after_pause(self._is_log_due())
            if terminated.is_set and self.step < config.train_steps:
                raise InterruptedRun(
                    f"saved at step {self.step}; the same command goes on"
                )

    def _batches(self, stage: Stage) -> Any:
        config = self.config
        pipeline = train_pipeline(
            config, self.corpus.train, self.corpus.vocabulary,
            masking=stage.has_generator,
        )  # fmt: skip
        dataset = distribution.distribute(
            pipeline, self.strategy, self.step, config.train_steps
        )
        return iter(dataset)

    def _is_due(self, every: int) -> bool:
        last = self.step == self.config.train_steps
        return last or self.step % every == 0

    def _is_log_due(self) -> bool:
        """A line also ends at the transition, so that none mixes stages."""
        runtime = self.config.runtime
        return (
            self._is_due(runtime.log_every)
            or self._is_due(runtime.eval_every)
            or self.step == self.config.transition_step
        )

    def evaluate(self, stage: Stage) -> dict[str, float]:
        """Held-out figures of the current weights, as the stage sees them."""
        pipeline = evaluation_pipeline(
            self.config, self.corpus.heldout, self.corpus.vocabulary
        )
        batches = distribution.distribute(
            pipeline, self.strategy, 0, self.config.runtime.eval_batches
        )
        function = self.model.make_test_function(stage=stage)
        totals: dict[str, float] = {}
        iterator = iter(batches)
        for _ in range(self.config.runtime.eval_batches):
            for name, value in function(iterator).items():
                totals[name] = totals.get(name, 0.0) + float(value)
        weights = {
            name.removesuffix("_weight"): value
            for name, value in totals.items()
            if name.endswith("_weight")
        }
        metrics = metrics_from_sums(totals, weights)
        watched = "sc_loss" if "sc_loss" in metrics else "rtd_loss"
        self._score = float(metrics[watched])
        return {f"heldout_{k}": float(v) for k, v in metrics.items()}

    # --- State --------------------------------------------------------------

    def _variables(self) -> dict[str, list]:
        return {
            "model": self.model.variables,
            "optimizer": self.model.optimizer.variables,
        }

    def _resume(self, log: MetricsLog) -> None:
        state = self.checkpoints.restore(self._variables())
        if state is None:
            log.resume(0, [])
            return
        if state["vocabulary"] != self.corpus.vocabulary.fingerprint:
            raise InputError(
                "was trained with another vocabulary",
                where=str(self.checkpoints.path(state["step"])),
                got=self.corpus.vocabulary.fingerprint[:16],
                expected=state["vocabulary"][:16],
                remedy="Give the run's own vocabulary.model as "
                "--vocabulary, or start a new run",
            )  # fmt: skip
        self.step = state["step"]
        log.resume(self.step, state["pending"])
        if self.chief:
            print(f"resuming at step {self.step}", flush=True)

    def _save_if_due(self, log: MetricsLog, terminated: bool) -> None:
        due = self._is_due(self.config.runtime.checkpoint_every)
        if not (due or terminated) or not self.chief:
            return
        # A score belongs to the step that it was measured at.
        evaluated = self._is_due(self.config.runtime.eval_every)
        state = {
            "stage": self.model.stage.value,
            "score": self._score if evaluated else None,
            "pending": log.pending(),
            "vocabulary": self.corpus.vocabulary.fingerprint,
        }
        files = {
            "config.json": (self.folder / "config.json").read_bytes(),
            "vocabulary.model": self.corpus.vocabulary.proto,
        }
        self.checkpoints.save(self.step, self._variables(), state, files)

    def _finish(self) -> None:
        from spactor_tf.report import write_report

        save_pretrained(
            self.folder / "preset",
            self.model.backbone,
            self.corpus.vocabulary,
            self.config,
        )
        pipeline = evaluation_pipeline(
            self.config, self.corpus.heldout, self.corpus.vocabulary
        )
        write_report(self.folder, self.config, self.model, pipeline)


def _adopt_model(config: PretrainConfig, start: Pretrained) -> PretrainConfig:
    """Takes the sizes of the weights that the run starts from."""
    model = dataclasses.replace(
        t5.backbone_config(start.backbone), dropout=config.model.dropout
    )
    return dataclasses.replace(config, model=model)


def _check_same_config(config: PretrainConfig, folder: pathlib.Path) -> None:
    """Refuses to go on with a run under another configuration."""
    path = folder / "config.json"
    if not path.is_file():
        return
    changes = overrides.diff(overrides.from_dict(read_json(path)), config)
    if changes:
        raise InputError(
            "holds a run with another configuration: " + ", ".join(changes),
            where=str(folder),
            remedy="Give the same flags to resume it, or another --output_dir",
        )


def _prepare_corpus(
    config: PretrainConfig,
    cache_dir: str | os.PathLike | None,
    start: Pretrained | None,
) -> corpus.Corpus:
    """Prepares the corpus; processes of one host take turns."""
    cache = pathlib.Path(cache_dir or corpus.default_cache_dir())
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        vocabulary = start.vocabulary if start else None
        return corpus.prepare_corpus(config, cache, vocabulary)
