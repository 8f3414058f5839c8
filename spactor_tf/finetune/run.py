"""Text-to-text fine-tuning of a pre-trained T5 on a task or a mixture.

    output_dir/
        config.json         resolved configuration
        data.json           what was read; see `spactor_tf.finetune.data_record`
        metrics.jsonl       loss, validation metrics
        tensorboard/
        checkpoints/        the newest and the best
        preset/             the best weights, a KerasHub preset
        predictions/        TASK.SPLIT.*, in the benchmark's format
        results.json        metrics of the best weights
        report.html, *.png

The step is stage 2 of pre-training (cross-entropy of the target given the
input) on other examples. The best checkpoint is the one with the largest mean
of the tasks' primary metrics on their validation splits.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from runkit import InputError, read_json, report, write_json
from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.finetune.chosen_tasks import chosen_tasks
from spactor_tf.finetune.data_record import DataRecord, has_same_data
from spactor_tf.finetune.mixture import Mixture
from spactor_tf.finetune.predictor import Predictor
from spactor_tf.finetune.task_data import TaskData
from spactor_tf.inference.pretrained import (
    Pretrained,
    load_pretrained,
    save_pretrained,
)
from spactor_tf.model import t5
from spactor_tf.model.curriculum import Stage
from spactor_tf.model.replica_step import StepOptions
from spactor_tf.model.t5_trainer import T5Trainer
from spactor_tf.tasks import Example, Task
from spactor_tf.training.metrics_log import MetricsLog
from spactor_tf.training.monitoring import Throughput, check_callbacks
from spactor_tf.training.run_loop import TrainingRun, continuation_of

RESULTS = "results.json"


def finetune(
    config: FinetuneConfig,
    output_dir: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    *,
    accept_changed_data: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, Any]:
    """Runs, resumes or continues a fine-tuning run; reads a finished one.

    A finished run goes on if `config.train_steps` is another than before. With
    other data, where that is accepted, its best weights are measured again.

    Args:
        config: of the run.
        output_dir: of the run; created.
        data_dir: directory of prepared datasets; None is TFDS's default.
        accept_changed_data: go on with, or measure again on, other data than
            those of the run's earlier start.
        callbacks: called with every line of metrics; see
            `spactor_tf.training.run_loop.TrainingRun.execute`.

    Returns:
        The content of results.json.

    Raises:
        InputError: bad input; nothing was written to `output_dir`.
        InterruptedRun: SIGTERM or SIGINT came, or a callback stopped the run;
            the state is saved.
    """
    check_callbacks(callbacks)
    folder = pathlib.Path(output_dir)
    if (folder / RESULTS).is_file() and not (folder / "config.json").is_file():
        raise InputError(
            "holds the results of several seeds, and no run of its own",
            where=str(folder),
            remedy="Name another --output_dir",
        )
    data = (folder, data_dir, accept_changed_data)
    is_over = (
        (folder / RESULTS).is_file()
        and not continuation_of(config, folder).is_changed
        and has_same_data(config, *data)
    )
    if not is_over:
        FinetuneRun(config, *data).execute(callbacks)
    return read_json(folder / RESULTS)


@dataclasses.dataclass
class EarlyStopping:
    """Counts evaluations without improvement.

    Attributes:
        patience: evaluations in a row without improvement that end the run;
            None never ends it.
        best: largest score so far.
        best_step: where it was first reached.
        stale: evaluations since then.
    """

    patience: int | None
    best: float | None = None
    best_step: int = 0
    stale: int = 0

    def update(self, score: float, step: int) -> None:
        """Takes the score of a step."""
        if self.best is None or score > self.best:
            self.best, self.best_step, self.stale = score, step, 0
        else:
            self.stale += 1

    @property
    def is_over(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.stale >= self.patience


class FinetuneRun(TrainingRun):
    """One fine-tuning run; the constructor refuses bad input."""

    config: FinetuneConfig
    unlogged = ("sc_loss",)  # It is the loss.

    def __init__(
        self,
        config: FinetuneConfig,
        output_dir: str | os.PathLike,
        data_dir: str | os.PathLike | None = None,
        accept_changed_data: bool = False,
    ):
        config.validate()
        self.tasks = chosen_tasks(config)
        super().__init__(config, output_dir)
        self._data_record = DataRecord(
            self.tasks, config, self.folder, data_dir, accept_changed_data
        )
        start = load_pretrained(config.init_from)
        self.vocabulary, self._pretraining = start.vocabulary, start.config
        self.data = TaskData(self.tasks, self.vocabulary, config, data_dir)
        self.mixture = self.data.mixture() if config.train_steps else None
        self.model = self._build_model(start)
        self.predictor = Predictor(
            self.model.backbone,
            self.vocabulary,
            config.data.input_length,
            config.data.target_length,
            config.evaluation.batch_size,
        )
        self.stopping = EarlyStopping(config.evaluation.patience)
        self._counted = (0, 0)  # Steps, and the tokens that they had.

    def _build_model(self, start: Pretrained) -> T5Trainer:
        config = self.config
        sizes = dataclasses.replace(
            t5.backbone_config(start.backbone), dropout=config.dropout
        )
        options = StepOptions(
            config.accumulation_steps, config.optimizer.clip_norm
        )
        with self.strategy.scope():
            backbone = None
            if not config.from_scratch:
                backbone = t5.copy_backbone(start.backbone, sizes, config.dtype)
            model = T5Trainer(
                sizes,
                self.vocabulary,
                backbone,
                seed=config.seed,
                dtype=config.dtype,
                step_options=options,
            )
            self.compile(model)
        return model

    # --- The loop -------------------------------------------------------------

    def begin(self) -> None:
        """Takes away the results of a run that goes on: they are not its.

        Before the record of the data, so that no results are taken for those
        of other data; that is before the configuration, as it is of a corpus.
        """
        (self.folder / RESULTS).unlink(missing_ok=True)
        self._data_record.write()
        super().begin()

    @property
    def eval_every(self) -> int:
        """Steps between evaluations."""
        return self.config.evaluation.eval_every

    @property
    def is_over(self) -> bool:
        """Whether all steps are done or patience has run out."""
        return super().is_over or self.stopping.is_over

    def is_save_due(self) -> bool:
        """Evaluations are saved too: the best of them is kept."""
        return super().is_save_due() or self.is_eval_due()

    def pipeline(self, stage: Stage) -> Mixture:
        """Batches of the mixture."""
        del stage  # There is only one.
        if self.mixture is None:
            raise ValueError("a run without steps has no batches")
        return self.mixture

    def tokens_seen(self) -> int:
        """Returns the tokens of inputs and targets, without padding."""
        step, tokens = self._counted
        if self.mixture is not None and step < self.step:
            size = self.config.batch_size
            tokens += self.mixture.num_tokens(step * size, self.step * size)
        self._counted = self.step, tokens
        return tokens

    def throughput(self) -> Throughput:
        """Counts examples: their lengths differ from batch to batch."""
        return Throughput("examples", self.config.batch_size)

    def record(
        self, log: MetricsLog, stage: Stage, figures: dict[str, float]
    ) -> dict[str, Any]:
        """Writes a line of metrics."""
        del stage
        return log.write(self.step, "finetune", **figures)

    def state(self) -> dict[str, Any]:
        """Returns the counts of early stopping."""
        return {"stopping": dataclasses.asdict(self.stopping)}

    def take_state(self, state: dict[str, Any]) -> None:
        """Restores `state()`, with the patience of the configuration."""
        patience = self.config.evaluation.patience
        counts = {**state["stopping"], "patience": patience}
        self.stopping = EarlyStopping(**counts)

    def evaluate(self, stage: Stage) -> dict[str, float]:
        """Metrics of the current weights on the validation splits."""
        del stage
        figures, primary = {}, []
        for task in self.tasks:
            examples = self.data.validation[task.name]
            examples = examples[: self.config.evaluation.examples]
            metrics = task.evaluate(self._predict(task, examples), examples)
            primary.append(metrics[task.metrics[0]])
            for name, value in metrics.items():
                figures[f"validation_{task.name}_{name}"] = float(value)
        score = sum(primary) / len(primary)
        figures["validation_score"] = score
        self.stopping.update(score, self.step)
        self.score = -score  # A checkpoint's score is better when lower.
        return figures

    def _predict(self, task: Task, examples: Sequence[Example]) -> list[str]:
        method = self.config.evaluation.method
        return self.predictor.predict(task, examples, method)

    # --- Results --------------------------------------------------------------

    def finish(self) -> None:
        """Restores the best weights; writes preset, predictions, results."""
        from spactor_tf.finetune.report import write_report

        config = self.config
        if self.step < config.train_steps:
            print(
                f"stopped by --patience={config.evaluation.patience} at step "
                f"{self.step} of {config.train_steps}: no better score since "
                f"step {self.stopping.best_step}",
                flush=True,
            )
        best = self.checkpoints.best()
        if best is not None:
            self.checkpoints.restore(self.variables(), step=best)
        save_pretrained(
            self.folder / "preset",
            self.model.backbone,
            self.vocabulary,
            self._pretraining,
            config.data.input_length,
        )
        results = {
            "steps": self.step,
            "best_step": best or 0,
            "stopped_early": self.step < self.config.train_steps,
            "from_scratch": self.config.from_scratch,
            "seed": self.config.seed,
            "mixture": self.mixture.describe() if self.mixture else [],
            "tasks": {task.name: self._results(task) for task in self.tasks},
            "label_words": {t.name: list(t.label_words) for t in self.tasks},
        }
        with report.optional(self.folder / "report.html"):
            write_report(self.folder, self.config, results)
        # Last: where it exists, the run is complete.
        write_json(self.folder / RESULTS, results)

    def _results(self, task: Task) -> dict[str, Any]:
        """Predicts validation and test; scores what is labeled."""
        results: dict[str, Any] = {"primary": task.metrics[0]}
        for split in self.data.final_splits(task):
            examples = (
                self.data.validation[task.name]
                if split == "validation"
                else self.data.questions(task, split)
            )
            answers = self._predict(task, examples)
            path = prediction_path(self.folder, task, split)
            task.write_predictions(path, answers, examples)
            if all(example.targets for example in examples):
                results[split] = task.evaluate(answers, examples)
                if self.config.evaluation.shots:
                    # Fewer than asked for where they do not fit.
                    shown = [example.meta["exemplars"] for example in examples]
                    results[split]["exemplars"] = sum(shown) / len(shown)
        return results


def prediction_path(
    folder: pathlib.Path, task: Task, split: str
) -> pathlib.Path:
    """Returns the file of a split's predictions."""
    name = f"{task.name}.{split}{task.file_format.suffix}"
    return folder / "predictions" / name
