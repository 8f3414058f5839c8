r"""Fine-tunes a pre-trained T5 on a task, or on a mixture of tasks.

Examples:
    python -m spactor_tf.finetune_main --task=sst2 --init_from=runs/imdb \
      --output_dir=runs/sst2 --seeds=0,1,2
    python -m spactor_tf.finetune_main --task=sst2,mrpc --init_from=runs/imdb \
      --output_dir=runs/mixture --examples_cap=10000
    python -m spactor_tf.finetune_main --task=tsv:mail.tsv \
      --label_words=ham,spam --init_from=runs/imdb --output_dir=runs/mail

The same command resumes an interrupted run. `--from_scratch` is the control:
random weights of the same sizes, the same vocabulary. `--train_steps=0` only
evaluates. `--set` overrides any field of the configuration.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from runkit import InputError, run_binary
from runkit.flag_values import Flag, check_table, output_folder
from spactor_tf.config.fields import fields_from_flags, override, to_dict
from spactor_tf.config.finetune import METHODS, FinetuneConfig
from spactor_tf.config.training_flags import TRAINING_FLAGS, with_defaults

FLAGS = flags.FLAGS
_FLAGS = (
    Flag("output_dir", "Directory of the run.", required=True),
    Flag("data_dir", "Directory of prepared datasets; default: TFDS's own."),
    Flag(
        "accept_changed_data",
        "Go on with a run, or measure a finished one again, although the data "
        "of its tasks were changed.",
        bool,
        False,
    ),
    Flag(
        "seeds",
        "Random seeds, separated by commas: one run each, in seed-N/ of the "
        "output directory.",
        list,
    ),
    Flag(
        "parallel_runs",
        "Number of seeds that run at the same time.",
        int,
        1,
        positive=True,
    ),
    Flag(
        "task",
        "Name of a task, or several separated by commas; tsv:PATH and "
        "jsonl:PATH:INPUT:TARGET are tasks of your own files. Required.",
        field="task",
    ),
    Flag(
        "import",
        "Module of your own that registers tasks, by its dotted name.",
        field="task_module",
    ),
    Flag(
        "metrics",
        "Of a task of your own files, separated by commas, the primary first.",
        field="own.metrics",
    ),
    Flag(
        "label_words",
        "Possible targets of your own files, separated by commas.",
        field="own.label_words",
    ),
    Flag(
        "holdout",
        "Share of your own file that is held out for validation.",
        field="own.holdout",
    ),
    Flag(
        "validation_file",
        "Path of the validation examples of your own task.",
        field="own.validation_file",
    ),
    Flag(
        "test_file",
        "Path of the test examples of your own task; targets may be missing.",
        field="own.test_file",
    ),
    Flag(
        "init_from",
        "Pre-training run, or T5 of KerasHub or Hugging Face, to start from. "
        "Required.",
        field="init_from",
    ),
    Flag(
        "from_scratch",
        "Start from random weights: the control.",
        bool,
        field="from_scratch",
    ),
    Flag(
        "train_steps",
        "Maximum number of optimizer steps; 0 only evaluates.",
        field="train_steps",
    ),
    Flag(
        "seed",
        "Random seed for data order, dropout and random weights.",
        field="seed",
    ),
    Flag(
        "learning_rate",
        "Learning rate, constant unless optimizer.schedule says otherwise.",
        field="optimizer.learning_rate",
    ),
    Flag("dropout", "Dropout rate in the whole body.", field="dropout"),
    Flag(
        "input_length",
        "Maximum number of tokens read of an input.",
        field="data.input_length",
    ),
    Flag(
        "target_length",
        "Maximum number of tokens of a target.",
        field="data.target_length",
    ),
    Flag(
        "examples_cap",
        "Maximum size that a task counts with in a mixture's proportions.",
        field="data.examples_cap",
    ),
    Flag(
        "train_examples",
        "Train on only this many examples of each task, the first ones.",
        field="data.train_examples",
    ),
    Flag(
        "eval_every",
        "Steps between evaluations.",
        field="evaluation.eval_every",
    ),
    Flag(
        "patience",
        "Stop after this many evaluations in a row without improvement.",
        field="evaluation.patience",
    ),
    Flag(
        "method",
        "How answers are predicted.",
        field="evaluation.method",
        choices=METHODS,
    ),
    Flag(
        "eval_batch_size",
        "Examples per evaluation call.",
        field="evaluation.batch_size",
    ),
    Flag(
        "eval_examples",
        "Examples of each validation split used during training.",
        field="evaluation.examples",
    ),
    Flag(
        "shots",
        "Solved exemplars before each question of MMLU.",
        field="evaluation.shots",
    ),
    Flag(
        "checkpoint_every",
        "Steps between checkpoints; evaluations save one too.",
        field="runtime.checkpoint_every",
    ),
    *TRAINING_FLAGS,
)
FLAG_TABLE = with_defaults(_FLAGS, FinetuneConfig())


def config_from_flags(values: Any) -> FinetuneConfig:
    """Returns the defaults with the fields that flags override.

    Args:
        values: the flags' values as attributes.

    Raises:
        InputError: an unknown field or task, a value of the wrong type or out
            of range, or a missing flag.
    """
    fields = fields_from_flags(FLAG_TABLE, values)
    config = override(FinetuneConfig(), fields)
    config.validate()
    return config


def seeds_from_flags(values: Any) -> list[int] | None:
    """Returns the numbers of --seeds; None without the flag.

    Raises:
        InputError: anything but different whole numbers.
    """
    if values.seeds is None:
        return None
    try:
        seeds = [int(text) for text in values.seeds]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise InputError(
            "are not seeds",
            where="--seeds",
            got=",".join(values.seeds),
            expected="different whole numbers, as in --seeds=0,1,2",
        )
    return seeds


def main(argv: Sequence[str]) -> None:
    """Reads flags, prints the configuration, runs, prints the metrics."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    config, seeds = config_from_flags(FLAGS), seeds_from_flags(FLAGS)
    folder = output_folder(FLAGS)
    from spactor_tf.finetune.chosen_tasks import chosen_tasks

    chosen_tasks(config)
    if FLAGS.data_dir and not pathlib.Path(FLAGS.data_dir).is_dir():
        raise InputError(
            "no such directory", where="--data_dir", got=FLAGS.data_dir
        )
    print(json.dumps(to_dict(config)), flush=True)
    # TensorFlow takes seconds to load; bad flags are refused before.
    from spactor_tf.finetune.report import metric_rows
    from spactor_tf.finetune.run import finetune
    from spactor_tf.finetune.seeds import finetune_seeds

    if seeds is None:
        results = finetune(
            config,
            folder,
            FLAGS.data_dir,
            accept_changed_data=FLAGS.accept_changed_data,
        )
    else:
        results = finetune_seeds(
            config,
            seeds,
            folder,
            FLAGS.data_dir,
            FLAGS.parallel_runs,
            FLAGS.accept_changed_data,
        )
    for task, split, metric, value in metric_rows(results):
        if isinstance(value, dict):  # Over seeds.
            shown = f"{value['mean']:.2f}"
            if value["standard_error"] is not None:
                shown += f" +- {value['standard_error']:.2f}"
        else:
            shown = f"{value:.2f}"
        print(f"{task} {split} {metric}: {shown}")
    print(f"report: {folder / 'report.html'}")


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
