"""The configuration of a pre-training run: frozen, checked, written as JSON.

A run is described by one `PretrainConfig`. It starts from a preset
(`presets`), single fields are overridden by name, `validate()` refuses what
cannot work, and the resolved configuration is saved as `config.json` with every
checkpoint and model.

Required for a real run: `data.dataset`. Commonly changed: `train_steps`,
`batch_size`, `objective.transition_step`, `optimizer.learning_rate`.
"""

from __future__ import annotations

import dataclasses

from runkit.checks import (
    require,
    require_fraction,
    require_positive,
    require_seed,
    require_slices,
    require_weight,
)
from runkit.errors import check_choice
from spactor_tf.config.model import (
    CorruptionConfig,
    GeneratorConfig,
    ModelConfig,
)

OBJECTIVES = ("spactor", "span_corruption", "hybrid", "rtd")
OPTIMIZERS = ("adafactor", "adamw", "adamw_scaled", "muon", "schedule_free")
SCHEDULES = ("inverse_sqrt", "constant", "linear", "cosine")
STRATEGIES = ("none", "mirrored", "multi_worker", "tpu")
DTYPES = ("float32", "mixed_bfloat16")
# As flags say it, and as Keras does; its "auto" compiles for one accelerator.
JIT_COMPILE = {"auto": "auto", "true": True, "false": False}


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    """What is minimized in which stage (SpacTor, sections 2 and 3).

    Attributes:
        name: "spactor": hybrid objective up to the transition, then span
            corruption; "span_corruption": the T5 baseline; "hybrid": hybrid
            throughout; "rtd": generator and detection without a decoder.
        transition_step: where stage 2 begins: a step, or a fraction of
            `train_steps` if below 1. Only "spactor" reads it.
        mlm_weight: weight of the generator's loss in the hybrid loss.
        rtd_weight: weight of replaced token detection.
        span_corruption_weight: weight of span corruption.
        z_loss: weight of log(Z)^2 beside each token's cross-entropy, in
            training only (PaLM, section 5: 1e-4); 0 leaves it out.
    """

    name: str = "spactor"
    transition_step: float = 0.12
    mlm_weight: float = 1.0
    rtd_weight: float = 10.0
    span_corruption_weight: float = 10.0
    z_loss: float = 0.0

    def validate(self) -> None:
        """Raises InputError for unknown objectives and negative weights."""
        check_choice(self.name, OBJECTIVES, where="objective.name")
        require_weight(
            self,
            "objective",
            "mlm_weight",
            "rtd_weight",
            "span_corruption_weight",
            "transition_step",
            "z_loss",
        )
        value = self.transition_step
        require(
            value < 1 or value == int(value),
            "is not a step",
            "objective.transition_step",
            value,
            expected="a whole step, or a fraction of train_steps below 1",
        )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer and learning rate (T5, section 3.1.2).

    Attributes:
        name: "adafactor" (T5's); "adamw"; "adamw_scaled": its rate times
            the parameter's RMS (nanoT5's); "muon": for matrices, scaled AdamW
            for the rest; "schedule_free": scaled AdamW that is evaluated at
            an average, for pre-training at a constant rate.
        schedule: "inverse_sqrt": rate / sqrt(max(step, decay_start_step));
            "constant"; "linear" and "cosine": down to 0 at train_steps.
        learning_rate: the rate, or its factor for "inverse_sqrt".
        decay_start_step: where "inverse_sqrt" begins to fall.
        warmup_steps: the rate rises linearly over these first steps.
        clip_norm: largest global norm of the gradient; None does not clip.
        momentum: first-moment decay of Adafactor; None keeps no first moment.
        weight_decay: decoupled decay; Adafactor has none.
        rest_rate: rate of the AdamW beside "muon" over Muon's own.
    """

    name: str = "adafactor"
    schedule: str = "inverse_sqrt"
    learning_rate: float = 1.0
    decay_start_step: int = 10_000
    warmup_steps: int = 0
    clip_norm: float | None = None
    momentum: float | None = None
    weight_decay: float = 0.0
    rest_rate: float = 1.0

    def validate(self) -> None:
        """Raises InputError for unknown names and values out of range."""
        check_choice(self.name, OPTIMIZERS, where="optimizer.name")
        check_choice(self.schedule, SCHEDULES, where="optimizer.schedule")
        require_positive(
            self,
            "optimizer",
            "learning_rate",
            "decay_start_step",
            "clip_norm",
            "rest_rate",
        )
        require_fraction(self, "optimizer", "weight_decay")
        require(
            self.momentum is None or 0 <= self.momentum < 1,
            "is not a decay rate",
            "optimizer.momentum",
            self.momentum,
            expected="0 <= value < 1 or none",
        )
        require_weight(self, "optimizer", "warmup_steps")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where text comes from and how it becomes tokens.

    Attributes:
        dataset: see `runkit.datasets.specification`; several as
            `A@0.7,B@0.3`, with their weights.
        vocabulary: path of a SentencePiece model, or "train" to train one on
            the corpus.
        vocabulary_sample_characters: characters of the corpus that the
            vocabulary is trained on.
        character_coverage: share of the sample's characters that get pieces
            of their own; the rarest are read as bytes. 1 keeps all, which
            Chinese or Japanese seldom need.
        holdout_fraction: share of the documents kept for evaluation.
        max_documents: documents that are read; None reads all.
        invalid_utf8: "skip" counts and skips documents that are not UTF-8,
            "refuse" stops at the first.
    """

    dataset: str = "docstrings"
    vocabulary: str = "train"
    vocabulary_sample_characters: int = 20_000_000
    character_coverage: float = 0.9995
    holdout_fraction: float = 0.02
    max_documents: int | None = None
    invalid_utf8: str = "skip"

    def validate(self) -> None:
        """Raises InputError for values out of range."""
        for name in ("dataset", "vocabulary"):
            value = getattr(self, name)
            require(bool(value), "is empty", f"data.{name}", value)
        require_positive(
            self, "data", "vocabulary_sample_characters", "max_documents"
        )
        require(
            0 < self.holdout_fraction < 1,
            "is not a share of the documents",
            "data.holdout_fraction",
            self.holdout_fraction,
            expected="0 < value < 1",
        )
        require(
            0.9 <= self.character_coverage <= 1,
            "is not a share of the characters",
            "data.character_coverage",
            self.character_coverage,
            expected="0.9 to 1",
        )
        check_choice(
            self.invalid_utf8, ("skip", "refuse"), where="data.invalid_utf8"
        )


@dataclasses.dataclass(frozen=True)
class RunnerConfig:
    """How any run is executed; may change when a run is resumed.

    None of these fields changes which numbers a step computes (up to the
    rounding of another device count or compiler).

    Attributes:
        strategy: "none", "mirrored", "multi_worker" or "tpu".
        jit_compile: whether to compile the step with XLA, "true" or "false";
            "auto": for one accelerator. A TPU compiles in any case.
        steps_per_execution: steps that the device does in one call, at most;
            a call also ends where the run logs, evaluates, saves or changes
            its stage.
        checkpoint_every: steps between checkpoints.
        log_every: steps between lines of `metrics.jsonl`.
        keep_last: checkpoints kept beside the best one.
    """

    strategy: str = "none"
    jit_compile: str = "auto"
    steps_per_execution: int = 1
    checkpoint_every: int = 1000
    log_every: int = 50
    keep_last: int = 1

    def validate(self) -> None:
        """Raises InputError for unknown strategies and empty intervals."""
        check_choice(self.strategy, STRATEGIES, where="runtime.strategy")
        check_choice(self.jit_compile, JIT_COMPILE, where="runtime.jit_compile")
        require(
            self.jit_compile != "true" or self.strategy == "none",
            "cannot be compiled as one program for several devices",
            "runtime.jit_compile",
            self.jit_compile,
            remedy="Use --jit_compile=auto; a TPU compiles in any case",
        )
        require_positive(
            self,
            "runtime",
            "checkpoint_every",
            "log_every",
            "keep_last",
            "steps_per_execution",
        )


@dataclasses.dataclass(frozen=True)
class RuntimeConfig(RunnerConfig):
    """How a pre-training run is executed and watched.

    Attributes:
        keep_last: checkpoints kept beside the best one.
        eval_every: steps between evaluations on held-out text.
        eval_batches: batches of one evaluation.
    """

    keep_last: int = 3
    eval_every: int = 1000
    eval_batches: int = 32

    def validate(self) -> None:
        """Raises InputError for unknown strategies and empty intervals."""
        super().validate()
        require_positive(self, "runtime", "eval_every", "eval_batches")


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """One pre-training run.

    Attributes:
        preset: name of the preset that the configuration started from.
        model: the T5 body.
        generator: the masked language model of stage 1.
        corruption: how text becomes examples.
        objective: what is minimized in which stage.
        optimizer: how it is minimized.
        data: the text that it is minimized on.
        runtime: how the run is executed.
        train_steps: total number of optimizer steps.
        batch_size: examples per step over all replicas.
        accumulation_steps: slices that a replica's batch is processed in.
        seed: of initial weights, data order, noise and dropout.
        dtype: "float32" or "mixed_bfloat16".
        init_from: KerasHub preset or run directory with the initial weights;
            "" draws random ones.
    """

    preset: str = ""
    model: ModelConfig = ModelConfig()
    generator: GeneratorConfig = GeneratorConfig()
    corruption: CorruptionConfig = CorruptionConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    data: DataConfig = DataConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    train_steps: int = 1_000_000
    batch_size: int = 128
    accumulation_steps: int = 1
    seed: int = 0
    dtype: str = "float32"
    init_from: str = ""

    @property
    def transition_step(self) -> int:
        """First step of stage 2; 0 without a stage 1."""
        if self.objective.name == "span_corruption":
            return 0
        if self.objective.name != "spactor":
            return self.train_steps
        value = self.objective.transition_step
        return round(value * self.train_steps) if value < 1 else int(value)

    def validate(self) -> None:
        """Raises InputError if the run cannot work."""
        for name in SECTIONS:
            getattr(self, name).validate()
        require_positive(
            self, "", "train_steps", "batch_size", "accumulation_steps"
        )
        check_choice(self.dtype, DTYPES, where="dtype")
        require_seed(self.seed)
        require(
            self.transition_step <= self.train_steps,
            "lies behind the last step",
            "objective.transition_step",
            self.transition_step,
            expected=f"at most {self.train_steps}",
            remedy="For a run that stays in stage 1 use --objective=hybrid",
        )
        require_slices(self.batch_size, self.accumulation_steps)


SECTIONS: dict[str, type] = {
    "model": ModelConfig,
    "generator": GeneratorConfig,
    "corruption": CorruptionConfig,
    "objective": ObjectiveConfig,
    "optimizer": OptimizerConfig,
    "data": DataConfig,
    "runtime": RuntimeConfig,
}
