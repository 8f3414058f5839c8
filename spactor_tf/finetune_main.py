"""Fine-tunes a pre-trained T5 on a task, or on a mixture of tasks.

Examples:
    python -m spactor_tf.finetune_main --task=sst2 --init_from=runs/imdb \
      --output_dir=runs/sst2 --seeds=0,1,2
    python -m spactor_tf.finetune_main --task=sst2,mrpc --init_from=runs/imdb \
      --output_dir=runs/mixture --examples_cap=10000

The same command resumes an interrupted run. `--from_scratch` is the control:
random weights of the same sizes, the same vocabulary. `--train_steps=0` only
evaluates. Any field of the configuration is a `--set`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from absl import flags

from runkit import InputError, run_binary
from runkit.flag_values import output_folder
from spactor_tf.config.fields import given_fields, override, to_dict
from spactor_tf.config.finetune import METHODS, FinetuneConfig
from spactor_tf.config.pretrain import DTYPES, STRATEGIES

FLAGS = flags.FLAGS
# (flag, field, help); the flag's text is read as the field's type.
_FIELD_FLAGS = (
    ("task", "task", "Name of a task, or several separated by commas."),
    ("init_from", "init_from", "Pre-training run, or KerasHub T5 preset."),
    ("train_steps", "train_steps", "Optimizer steps at most; 0 evaluates."),
    ("seed", "seed", "Of data order, dropout and random weights."),
    ("batch_size", "batch_size", "Examples per step over all replicas."),
    ("accumulation_steps", "accumulation_steps",
     "Slices that a replica's batch is worked in, to save memory."),
    ("learning_rate", "optimizer.learning_rate", "Constant by default."),
    ("dropout", "dropout", "Rate in the whole body."),
    ("input_length", "data.input_length", "Tokens read of an input."),
    ("target_length", "data.target_length", "Tokens of a target."),
    ("examples_cap", "data.examples_cap",
     "A task counts as no more examples than this in a mixture."),
    ("train_examples", "data.train_examples",
     "Use only the first ones of each task."),
    ("eval_every", "evaluation.eval_every", "Steps between evaluations."),
    ("patience", "evaluation.patience",
     "Stop after so many evaluations without improvement."),
    ("method", "evaluation.method", ", ".join(METHODS) + "."),
    ("eval_batch_size", "evaluation.batch_size", "Examples of one call."),
    ("eval_examples", "evaluation.examples",
     "Of each validation split, used during training."),
    ("shots", "evaluation.shots",
     "Solved exemplars before each question of MMLU."),
    ("dtype", "dtype", ", ".join(DTYPES) + "."),
    ("checkpoint_every", "runtime.checkpoint_every",
     "Steps between checkpoints, beside those of evaluations."),
    ("log_every", "runtime.log_every", "Steps between metric lines."),
    ("strategy", "runtime.strategy", ", ".join(STRATEGIES) + "."),
    ("jit_compile", "runtime.jit_compile", "true or false: use XLA."),
)  # fmt: skip


def _define_flags() -> None:
    flags.DEFINE_string("output_dir", None, "Folder of the run. Required.")
    flags.DEFINE_string("data_dir", None, "Folder of prepared datasets.")
    flags.DEFINE_bool("from_scratch", None, "Random weights: the control.")
    flags.DEFINE_list("seeds", None, "Several runs in seed-N/ below.")
    flags.DEFINE_integer("parallel_runs", 1, "Seeds at the same time.")
    flags.DEFINE_multi_string("set", [], "section.field=value; repeatable.")
    for name, field, text in _FIELD_FLAGS:
        flags.DEFINE_string(name, None, f"{text} Overrides {field}.")


def config_from_flags(values: Any) -> FinetuneConfig:
    """Returns the defaults with the fields that flags override.

    Raises:
        InputError: an unknown field or task, a value of the wrong type or out
            of range, or a missing flag.
    """
    fields = given_fields(values, _FIELD_FLAGS)
    if values.from_scratch is not None:
        fields.setdefault("from_scratch", values.from_scratch)
    config = override(FinetuneConfig(), fields)
    config.validate()
    return config


def seeds_from_flags(values: Any) -> list[int] | None:
    """Returns the numbers of --seeds; None without the flag."""
    if values.seeds is None:
        return None
    try:
        seeds = [int(text) for text in values.seeds]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise InputError(
            "are no seeds", where="--seeds", got=",".join(values.seeds),
            expected="different whole numbers, as in --seeds=0,1,2",
        )  # fmt: skip
    return seeds


def main(argv: Sequence[str]) -> None:
    """Reads flags, prints the configuration, runs, prints the metrics."""
    del argv
    config, seeds = config_from_flags(FLAGS), seeds_from_flags(FLAGS)
    if FLAGS.parallel_runs < 1:
        raise InputError(
            "must be positive", where="--parallel_runs",
            got=FLAGS.parallel_runs,
        )  # fmt: skip
    folder = output_folder(FLAGS)
    from spactor_tf.tasks import get_task

    for name in config.task_names:
        get_task(name)
    print(json.dumps(to_dict(config)), flush=True)
    # TensorFlow takes seconds to load; bad flags are refused before.
    from spactor_tf.finetune.report import metric_rows
    from spactor_tf.finetune.run import finetune
    from spactor_tf.finetune.seeds import finetune_seeds

    if seeds is None:
        results = finetune(config, folder, FLAGS.data_dir)
    else:
        results = finetune_seeds(
            config, seeds, folder, FLAGS.data_dir, FLAGS.parallel_runs
        )
    for task, split, metric, value in metric_rows(results):
        print(f"{task} {split} {metric}: {_shown(value)}")
    print(f"report: {folder / 'report.html'}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        error = value["standard_error"]
        shown = f"{value['mean']:.2f}"
        return shown if error is None else f"{shown} +- {error:.2f}"
    return f"{value:.2f}"


def run() -> None:
    """Entry point of the console script."""
    if "init_from" not in FLAGS:
        _define_flags()
    run_binary(main)


if __name__ == "__main__":
    run()
