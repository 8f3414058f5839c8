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

The same command resumes an interrupted run: batches are a function of the step
and a checkpoint has all state, so a resumed run computes the same bits as one
that was never interrupted.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from runkit import InputError, report
from runkit.files import (
    as_path,
    downloaded,
    lock_directory,
    mirrored,
    url_scheme,
)
from spactor_tf.config.fields import diff
from spactor_tf.config.presets import get_preset
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data import corpus
from spactor_tf.data.corruption import corruption_lengths
from spactor_tf.data.pretraining import (
    Pipeline,
    evaluation_pipeline,
    train_pipeline,
)
from spactor_tf.data.step_pipeline import Batch
from spactor_tf.data.tokens.published import reading_from
from spactor_tf.data.vocabulary import Vocabulary
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
from spactor_tf.training.checkpointing import CheckpointStore
from spactor_tf.training.monitoring import Throughput, check_callbacks
from spactor_tf.training.run_loop import TrainingRun


def pretrain(
    config: PretrainConfig,
    output_dir: str | os.PathLike,
    cache_dir: str | os.PathLike | None = None,
    *,
    accept_changed_corpus: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> pathlib.Path:
    """Runs or resumes a pre-training run.

    Args:
        config: of the run.
        output_dir: of the run; created. A URL of object storage is worked
            on in a local copy below `cache_dir`, and gets every checkpoint.
        cache_dir: where prepared corpora are kept; None is the user's cache. A
            URL gets the tokens, which are read from there.
        accept_changed_corpus: resume although the text is not the same.
        callbacks: called with every line of metrics; see
            `spactor_tf.training.run_loop.TrainingRun.execute`.

    Returns:
        `output_dir`.

    Raises:
        InputError: bad input; nothing was written to `output_dir`.
        InterruptedRun: SIGTERM or SIGINT came, or a callback stopped the run;
            the state is saved. Or the object storage of `output_dir` does not
            answer; names the last checkpoint that it holds. Or that of
            `cache_dir` does not.
    """
    check_callbacks(callbacks)
    copies = corpus.local_cache(cache_dir)
    with mirrored(output_dir, copies) as (folder, publish):
        run = Run(config, folder, cache_dir, accept_changed_corpus)
        if url_scheme(output_dir) and run.chief:
            run.checkpoints = _Published(run.checkpoints, publish)
        url = os.fspath(cache_dir or "")
        with reading_from(url if url_scheme(url) else ""):
            run.execute(callbacks)
        if run.chief:
            publish("the end of the run")
    return as_path(output_dir)


class _Published(CheckpointStore):
    """Checkpoints that are in object storage once they are saved."""

    def __init__(self, store: CheckpointStore, publish: Callable[[str], None]):
        super().__init__(store.folder.parent, store.keep_last)
        self._publish = publish

    def save(
        self,
        step: int,
        variables: dict[str, list],
        state: dict[str, Any],
        files: dict[str, bytes],
    ) -> None:
        """Writes a checkpoint and publishes the run up to it."""
        super().save(step, variables, state, files)
        self._publish(f"step {step}")


class Run(TrainingRun):
    """A pre-training run; the constructor checks its input.

    Args:
        config: of the run.
        output_dir: of the run.
        cache_dir: where prepared corpora are kept; None is the user's cache.

    Attributes:
        corpus: train and held-out tokens.
        train_examples: batches of stage 1, with masks for the generator.
        heldout_examples: batches to evaluate on.

    Raises:
        InputError: bad input; nothing was written to `output_dir`.
    """

    config: PretrainConfig
    model: SpactorPretrainer

    def __init__(
        self,
        config: PretrainConfig,
        output_dir: str | os.PathLike,
        cache_dir: str | os.PathLike | None = None,
        accept_changed_corpus: bool = False,
    ):
        config.validate()
        config, start = starting(config, cache_dir)
        lengths = corruption_lengths(config.corruption)
        self._step_tokens = lengths.input_length + lengths.target_length
        self._step_tokens *= config.batch_size
        super().__init__(config, output_dir)
        self.corpus = self._prepare_corpus(
            cache_dir, start, accept_changed_corpus
        )
        self.vocabulary = self.corpus.vocabulary
        self.train_examples = train_pipeline(
            config, self.corpus.train, self.vocabulary, masking=True
        )
        self.heldout_examples = evaluation_pipeline(
            config, self.corpus.heldout, self.vocabulary
        )
        self.model = self._build_model(start)

    def _prepare_corpus(
        self,
        cache_dir: str | os.PathLike | None,
        start: Pretrained | None,
        accept_changed: bool,
    ) -> corpus.Corpus:
        """Prepares the corpus; processes of one host take turns."""
        cache = corpus.local_cache(cache_dir)
        vocabulary = start.vocabulary if start else None
        try:
            with lock_directory(cache, where="--cache_dir", wait=True):
                return corpus.prepare_corpus(
                    self.config,
                    cache_dir,
                    vocabulary,
                    run_folder=self.folder,
                    accept_changed=accept_changed,
                )
        except OSError as error:
            # What is read is checked where it is read: this is the cache.
            raise InputError(
                f"cannot be written ({error.strerror or error})",
                where="--cache_dir",
                got=str(cache),
                remedy="Free some room, or give --cache_dir=DIR with a "
                "directory that can be written",
            ) from None

    def _build_model(self, start: Pretrained | None) -> SpactorPretrainer:
        config = self.config
        with self.strategy.scope():
            backbone = None
            if start is not None:
                backbone = t5.copy_backbone(
                    start.backbone, config.model, config.dtype
                )
            model = SpactorPretrainer(config, self.vocabulary, backbone)
            self.compile(model)
        return model

    @property
    def eval_every(self) -> int:
        """Steps between evaluations on held-out text."""
        return self.config.runtime.eval_every

    def pipeline(self, stage: Stage) -> Pipeline:
        """Returns the training batches of a stage."""
        return dataclasses.replace(
            self.train_examples, masking=stage.has_generator
        )

    def tokens_seen(self) -> int:
        """Returns encoder and decoder tokens; a batch has no padding."""
        return self.step * self._step_tokens

    def throughput(self) -> Throughput:
        """Returns a meter of encoder and decoder tokens."""
        return Throughput(
            "tokens",
            self._step_tokens,
            functools.partial(flops.flops_until, self.config),
        )

    @functools.cached_property
    def _heldout_batches(self) -> Iterable[Batch]:
        """The batches of every evaluation; making the dataset takes a trace."""
        return distribution.distribute(
            self.heldout_examples,
            self.strategy,
            0,
            self.config.runtime.eval_batches,
        )

    def evaluate(self, stage: Stage) -> dict[str, float]:
        """Returns held-out figures of the current weights in this stage."""
        function = self.model.make_test_function(stage=stage)
        totals: dict[str, float] = {}
        iterator = iter(self._heldout_batches)
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

    def begin(self) -> None:
        """Records the corpus beside the configuration.

        First, so that a run that has a configuration has its data order too.
        """
        self.corpus.record(self.folder)
        super().begin()

    def finish(self) -> None:
        """Saves the preset and writes the report."""
        from spactor_tf.training.pretrain_report import write_report

        save_pretrained(
            self.folder / "preset",
            self.model.backbone,
            self.vocabulary,
            self.config,
        )
        with report.optional(self.folder / "report.html"):
            write_report(
                self.folder, self.config, self.model, self.heldout_examples
            )


def starting(
    config: PretrainConfig, cache_dir: str | os.PathLike | None = None
) -> tuple[PretrainConfig, Pretrained | None]:
    """Returns what a run really begins with.

    Args:
        config: of the run.
        cache_dir: where a model of object storage is copied to.

    Returns:
        (the configuration with the sizes of the weights that `init_from`
        names, these weights or None).

    Raises:
        InputError: sizes or a vocabulary were asked for that the weights do
            not have. The sizes of `tiny`, the default, ask for nothing.
    """
    if not config.init_from:
        return config, None
    copies = corpus.local_cache(cache_dir)
    model = downloaded(config.init_from, copies, where="--init_from")
    start = load_pretrained(model)
    sizes = dataclasses.replace(
        t5.backbone_config(start.backbone), dropout=config.model.dropout
    )
    # An absent head size is the one that follows from the width.
    asked, unasked = (
        dataclasses.replace(
            model, dropout=sizes.dropout, key_value_dim=model.head_dim
        )
        for model in (config.model, get_preset("tiny").model)
    )
    if asked not in (sizes, unasked):
        raise InputError(
            "the weights have other sizes than the configuration",
            where="--init_from",
            got=", ".join(diff(asked, sizes)),
            remedy="Leave out --preset and --set=model...., or start from "
            "random weights",
        )
    if config.data.vocabulary != "train":
        named = Vocabulary.load(config.data.vocabulary)
        rows = start.backbone.vocabulary_size
        if named.padded(rows).fingerprint != start.vocabulary.fingerprint:
            raise InputError(
                "is not the vocabulary of the weights that the run starts from",
                where="--vocabulary",
                got=config.data.vocabulary,
                expected=f"that of {config.init_from}",
                remedy="Leave it out: the weights bring their own",
            )
    return dataclasses.replace(config, model=sizes), start
