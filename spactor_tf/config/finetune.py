"""The configuration of a fine-tuning run: frozen, checked, written as JSON.

Required: `task` and `init_from`. Commonly changed: `train_steps`, `batch_size`,
`optimizer.learning_rate`, `evaluation.patience`. The defaults are T5's
(arXiv 1910.10683, sections 3.1.2 and 3.5.2): Adafactor at a constant rate of
0.001, dropout 0.1, mixtures proportional to the tasks' examples up to a cap.
"""

from __future__ import annotations

import dataclasses
import re

from runkit.checks import (
    require,
    require_fraction,
    require_positive,
    require_seed,
    require_slices,
)
from runkit.errors import check_choice
from spactor_tf.config.pretrain import (
    DTYPES,
    OptimizerConfig,
    RunnerConfig,
)

METHODS = ("auto", "rank", "generate")


@dataclasses.dataclass(frozen=True)
class TaskDataConfig:
    """Which examples the run trains on, and how long they are.

    Attributes:
        input_length: largest number of tokens of an input, EOS included.
        target_length: largest number of tokens of a target, EOS included.
        examples_cap: limit on the examples that a task counts for in a mixture
            (T5's K; it used 2**19 for GLUE, SuperGLUE and the other tasks).
        train_examples: first examples of each task to train on; None uses all.
    """

    input_length: int = 512
    target_length: int = 128
    examples_cap: int = 2**19
    train_examples: int | None = None

    def validate(self) -> None:
        """Raises InputError for empty lengths and counts."""
        require_positive(
            self,
            "data",
            "input_length",
            "target_length",
            "examples_cap",
            "train_examples",
        )
        for name in ("input_length", "target_length"):
            require(
                getattr(self, name) >= 2,
                "has no room for a token and EOS",
                f"data.{name}",
                getattr(self, name),
                expected=">= 2",
            )


@dataclasses.dataclass(frozen=True)
class OwnTaskConfig:
    """What tasks of the user's own files are (`--task=tsv:PATH`).

    Attributes:
        metrics: names, separated by commas, the primary one first; "" takes
            accuracy with label words, else exact_match.
        label_words: the possible targets, separated by commas; "" for free
            text.
        holdout: share of a file's examples that are held out for validation,
            unless they have a file of their own.
        validation_file: path of such a file, in the form of the training file.
        test_file: the same for the test split; its targets may be missing.
    """

    metrics: str = ""
    label_words: str = ""
    holdout: float = 0.1
    validation_file: str = ""
    test_file: str = ""

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the metrics."""
        return _listed(self.metrics)

    @property
    def words(self) -> tuple[str, ...]:
        """The label words, in the given order."""
        return _listed(self.label_words)

    def validate(self) -> None:
        """Raises InputError for a share that leaves nothing."""
        require(
            0 < self.holdout < 1,
            "is not a share of the examples",
            "own.holdout",
            self.holdout,
            expected="0 < value < 1",
        )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(p.strip() for p in text.split(",")) if text else ()


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """When and how the model is measured.

    Attributes:
        eval_every: steps between evaluations on the validation splits.
        patience: evaluations in a row without a better score, the mean of the
            tasks' primary metrics, after which the run stops; None never stops.
        method: "rank": the option with the largest log-likelihood; "generate":
            greedy text; "auto": rank if a task has options.
        batch_size: examples per evaluation call.
        examples: first examples of each validation split to use during
            training; None uses all. The final figures always use all.
        shots: solved exemplars before each question (usually 5 for MMLU), or
            as many of them as fit into `data.input_length`.
        test: whether to predict the test splits at the end; a run without
            their data is refused at its start.
    """

    eval_every: int = 200
    patience: int | None = None
    method: str = "auto"
    batch_size: int = 64
    examples: int | None = None
    shots: int = 0
    test: bool = True

    def validate(self) -> None:
        """Raises InputError for unknown methods and empty counts."""
        check_choice(self.method, METHODS, where="evaluation.method")
        require_positive(
            self,
            "evaluation",
            "eval_every",
            "patience",
            "batch_size",
            "examples",
        )
        require(
            self.shots >= 0,
            "must not be negative",
            "evaluation.shots",
            self.shots,
        )


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    r"""One fine-tuning run.

    Attributes:
        task: name of a task, or of several, separated by commas: a mixture.
            `tsv:PATH` and `jsonl:PATH:INPUT:TARGET` are tasks of own files; a
            comma in a path is written `\,`.
        task_module: module to import first, which registers tasks; "" for
            none.
        own: of the tasks of own files.
        init_from: directory of a run, or of a T5 of KerasHub or Hugging
            Face.
        from_scratch: starts from random weights of the same sizes, with the
            same vocabulary, as a control.
        data: which examples.
        evaluation: when and how the model is measured.
        optimizer: of the run.
        runtime: how it is executed.
        train_steps: largest number of optimizer steps; 0 only evaluates.
        batch_size: examples per step over all replicas.
        accumulation_steps: slices that a replica's batch is processed in.
        dropout: rate in the whole model.
        seed: of data order, dropout and random weights.
        dtype: "float32" or "mixed_bfloat16".
    """

    task: str = ""
    task_module: str = ""
    init_from: str = ""
    from_scratch: bool = False
    own: OwnTaskConfig = OwnTaskConfig()
    data: TaskDataConfig = TaskDataConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        schedule="constant", learning_rate=1e-3
    )
    runtime: RunnerConfig = RunnerConfig()
    train_steps: int = 2000
    batch_size: int = 32
    accumulation_steps: int = 1
    dropout: float = 0.1
    seed: int = 0
    dtype: str = "float32"

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the tasks, in the given order."""
        names = re.split(r"(?<!\\),", self.task)
        return tuple(name.strip().replace("\\,", ",") for name in names)

    def validate(self) -> None:
        """Raises InputError if the run cannot work."""
        for part in (
            self.own,
            self.data,
            self.evaluation,
            self.optimizer,
            self.runtime,
        ):
            part.validate()
        require(
            self.optimizer.name != "schedule_free",
            "is for pre-training only",
            "optimizer.name",
            self.optimizer.name,
        )
        for name in ("task", "init_from"):
            value = getattr(self, name)
            require(bool(value), "is missing", f"--{name}", None)
        names = self.task_names
        require(
            all(names) and len(set(names)) == len(names),
            "names no task, or one twice",
            "--task",
            self.task,
            expected="different names, separated by commas",
        )
        require_positive(self, "", "batch_size", "accumulation_steps")
        require_fraction(self, "", "dropout")
        check_choice(self.dtype, DTYPES, where="dtype")
        require(
            self.train_steps >= 0,
            "is negative",
            "train_steps",
            self.train_steps,
            expected=">= 0",
        )
        require_seed(self.seed)
        require_slices(self.batch_size, self.accumulation_steps)
