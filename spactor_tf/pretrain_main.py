r"""Pre-trains T5 with SpacTor, or with one of its baselines.

Example:
    python -m spactor_tf.pretrain_main --preset=tiny \
      --dataset=tfds:imdb_reviews/plain_text:unsupervised --output_dir=runs/imdb

The same command resumes an interrupted run. `--set` sets any field of the
configuration: `--set=optimizer.momentum=0.9 --set=model.dropout=0.1`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from absl import flags

from runkit import run_binary
from runkit.datasets import TEXT_KINDS, forms
from runkit.flag_values import Flag, check_table, output_folder
from spactor_tf.config.fields import fields_from_flags, override, to_dict
from spactor_tf.config.presets import PRESETS, get_preset
from spactor_tf.config.pretrain import OBJECTIVES, PretrainConfig
from spactor_tf.config.training_flags import TRAINING_FLAGS, with_defaults

FLAGS = flags.FLAGS
_FLAGS = (
    Flag(
        "preset",
        "Configuration to start from.",
        default="tiny",
        choices=tuple(PRESETS),
    ),
    Flag(
        "output_dir",
        "Directory of the run, local or gs://, s3:// or az://.",
        required=True,
        url=True,
    ),
    Flag(
        "cache_dir",
        "Directory of prepared corpora, local or gs://, s3:// or az://; "
        "default: in the user's cache.",
        url=True,
    ),
    Flag(
        "accept_changed_corpus",
        "Resume a run although its text was changed.",
        bool,
        False,
    ),
    Flag(
        "dataset",
        f"Text to train on: {forms(TEXT_KINDS)}.",
        field="data.dataset",
    ),
    Flag(
        "vocabulary",
        "SentencePiece model file, or 'train' to train one on the corpus.",
        field="data.vocabulary",
        url=True,
    ),
    Flag(
        "objective",
        "What is minimized.",
        field="objective.name",
        choices=OBJECTIVES,
    ),
    Flag(
        "transition_step",
        "First step of stage 2; if below 1, a fraction of train_steps.",
        field="objective.transition_step",
    ),
    Flag(
        "train_steps", "Total number of optimizer steps.", field="train_steps"
    ),
    Flag(
        "learning_rate",
        "Learning rate, or its factor for the inverse_sqrt schedule.",
        field="optimizer.learning_rate",
    ),
    Flag(
        "seed",
        "Random seed for initial weights, data order, noise and dropout.",
        field="seed",
    ),
    Flag(
        "init_from",
        "Run directory, or T5 of KerasHub or Hugging Face, to start from.",
        field="init_from",
        url=True,
    ),
    Flag(
        "checkpoint_every",
        "Steps between checkpoints.",
        field="runtime.checkpoint_every",
    ),
    Flag(
        "eval_every", "Steps between evaluations.", field="runtime.eval_every"
    ),
    *TRAINING_FLAGS,
)
FLAG_TABLE = with_defaults(_FLAGS, get_preset("tiny"), of="tiny")


def config_from_flags(values: Any) -> PretrainConfig:
    """Returns the preset with the fields that flags override.

    Raises:
        InputError: an unknown preset or field, or a value of the wrong type.
    """
    fields = fields_from_flags(FLAG_TABLE, values)
    config = override(get_preset(values.preset), fields)
    config.validate()
    return config


def main(argv: Sequence[str]) -> None:
    """Reads flags, prints the configuration, runs."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    config = config_from_flags(FLAGS)
    folder = output_folder(FLAGS)
    print(json.dumps(to_dict(config)), flush=True)
    # TensorFlow takes seconds to load; bad flags are refused before that.
    from spactor_tf.training.pretrain_run import pretrain

    pretrain(
        config,
        folder,
        FLAGS.cache_dir,
        accept_changed_corpus=FLAGS.accept_changed_corpus,
    )
    print(f"model:  {folder / 'preset'}")
    print(f"report: {folder / 'report.html'}")


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
