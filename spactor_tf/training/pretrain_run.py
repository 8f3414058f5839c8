"""A pre-training run from a configuration: prepare, resume, train, finish.

    output_dir/
        config.json         resolved configuration
        corpus.json         what was read; see `spactor_tf.data.corpus`
        vocabulary.model
        metrics.jsonl       one object per logged step
        tensorboard/
        checkpoints/        see `spactor_tf.training.checkpointing`
        preset/             the finished model, a KerasHub preset
        report.html, *.png  see `spactor_tf.training.pretrain_report`

The same command goes on with an interrupted run: batches are a function of the
step and a checkpoint holds all state, so a resumed run computes the same bits
as one that was never interrupted.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import pathlib

from runkit import InputError
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data import corpus
from spactor_tf.data.corruption import corruption_lengths
from spactor_tf.data.pretraining import (
    Pipeline,
    evaluation_pipeline,
    train_pipeline,
)
from spactor_tf.inference.pretrained import (
    Pretrained,
    load_pretrained,
    save_pretrained,
)
from spactor_tf.model import flops, t5
from spactor_tf.model.curriculum import Stage
from spactor_tf.model.pretrainer import SpactorPretrainer
from spactor_tf.model.replica_step import metrics_from_sums
from spactor_tf.training import distribution
from spactor_tf.training.monitoring import Throughput
from spactor_tf.training.run_loop import TrainingRun


def pretrain(
    config: PretrainConfig,
    output_dir: str | os.PathLike,
    cache_dir: str | os.PathLike | None = None,
    *,
    accept_changed_corpus: bool = False,
) -> pathlib.Path:
    """Runs or resumes a pre-training run.

    Args:
        config: of the run.
        output_dir: of the run; created.
        cache_dir: where prepared corpora are kept; None is the user's cache.
        accept_changed_corpus: resume although the text is not the same.

    Returns:
        `output_dir`.

    Raises:
        InputError: bad input; nothing was written to `output_dir`.
        InterruptedRun: SIGTERM or SIGINT came; the state is saved.
    """
    run = Run(config, output_dir, cache_dir, accept_changed_corpus)
    return run.execute()


class Run(TrainingRun):
    """A pre-training run."""

    config: PretrainConfig

    def __init__(
        self,
        config: PretrainConfig,
        output_dir: str | os.PathLike,
        cache_dir: str | os.PathLike | None = None,
        accept_changed_corpus: bool = False,
    ):
        config.validate()
        start = load_pretrained(config.init_from) if config.init_from else None
        if start is not None:
            config = _adopt_model(config, start)
        lengths = corruption_lengths(config.corruption)  # Or refuses it.
        super().__init__(config, output_dir)
        self.corpus = _prepare_corpus(
            config, cache_dir, start, self.folder, accept_changed_corpus
        )
        for store in (self.corpus.train, self.corpus.heldout):
            store.num_windows(lengths.raw_length)
        self.vocabulary = self.corpus.vocabulary
        self.model = self._build_model(start)

    def _build_model(self, start: Pretrained | None) -> SpactorPretrainer:
        with self.strategy.scope():
            backbone = None
            if start is not None:
                backbone = t5.copy_backbone(
                    start.backbone, self.config.model, self.config.dtype
                )
            return self.compile(
                SpactorPretrainer(self.config, self.vocabulary, backbone)
            )

    @property
    def eval_every(self) -> int:
        """Steps between evaluations on held-out text."""
        return self.config.runtime.eval_every

    def pipeline(self, stage: Stage) -> Pipeline:
        """Training batches of a stage."""
        return train_pipeline(
            self.config,
            self.corpus.train,
            self.vocabulary,
            masking=stage.has_generator,
        )

    def throughput(self) -> Throughput:
        """Counts tokens of encoder and decoder."""
        config = self.config
        lengths = corruption_lengths(config.corruption)
        tokens = lengths.input_length + lengths.target_length
        return Throughput(
            "tokens",
            tokens * config.batch_size,
            lambda step: flops.flops_until(config, step),
        )

    def evaluate(self, stage: Stage) -> dict[str, float]:
        """Held-out figures of the current weights, as the stage sees them."""
        batches = distribution.distribute(
            self._heldout(), self.strategy, 0, self.config.runtime.eval_batches
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
        self.score = float(metrics[watched])
        return {f"heldout_{k}": float(v) for k, v in metrics.items()}

    def _heldout(self) -> Pipeline:
        return evaluation_pipeline(
            self.config, self.corpus.heldout, self.vocabulary
        )

    def execute(self) -> pathlib.Path:
        """Records the corpus beside the configuration; trains."""
        if self.chief:
            self.corpus.record(self.folder)
        return super().execute()

    def finish(self) -> None:
        """Saves the preset and writes the report."""
        from spactor_tf.training.pretrain_report import write_report

        save_pretrained(
            self.folder / "preset",
            self.model.backbone,
            self.vocabulary,
            self.config,
        )
        write_report(self.folder, self.config, self.model, self._heldout())


def _adopt_model(config: PretrainConfig, start: Pretrained) -> PretrainConfig:
    """Takes the sizes of the weights that the run starts from."""
    model = dataclasses.replace(
        t5.backbone_config(start.backbone), dropout=config.model.dropout
    )
    return dataclasses.replace(config, model=model)


def _prepare_corpus(
    config: PretrainConfig,
    cache_dir: str | os.PathLike | None,
    start: Pretrained | None,
    folder: pathlib.Path,
    accept_changed: bool,
) -> corpus.Corpus:
    """Prepares the corpus; processes of one host take turns."""
    cache = pathlib.Path(cache_dir or corpus.default_cache_dir())
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            vocabulary = start.vocabulary if start else None
            return corpus.prepare_corpus(
                config,
                cache,
                vocabulary,
                run_folder=folder,
                accept_changed=accept_changed,
            )
    except OSError as error:
        # What is read is checked where it is read: this is the cache.
        raise InputError(
            f"cannot be written ({error.strerror or error})",
            where="--cache_dir",
            got=str(cache),
            remedy="Free some room, or give --cache_dir=DIR with a folder "
            "that can be written",
        ) from None
