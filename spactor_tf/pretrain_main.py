"""Pre-trains T5 with SpacTor, or with one of its baselines.

Example:
    python -m spactor_tf.pretrain_main --preset=tiny \
      --dataset=tfds:imdb_reviews/plain_text:unsupervised --output_dir=runs/imdb

The same command resumes an interrupted run. Any field of the configuration is
a `--set`: `--set=optimizer.momentum=0.9 --set=model.dropout=0.1`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from absl import flags

from runkit import run_binary
from runkit.flag_values import output_folder
from spactor_tf.config import pretrain as config_lib
from spactor_tf.config.fields import given_fields, override, to_dict
from spactor_tf.config.presets import get_preset

FLAGS = flags.FLAGS
# (flag, field, help); the flag's text is read as the field's type.
_FIELD_FLAGS = (
    (
        "dataset",
        "data.dataset",
        "docstrings, text:GLOB[:FIELD] or tfds:NAME[:SPLIT][:FEATURE].",
    ),
    (
        "vocabulary",
        "data.vocabulary",
        "SentencePiece model, or 'train' to train one on the corpus.",
    ),
    ("objective", "objective.name", ", ".join(config_lib.OBJECTIVES) + "."),
    (
        "transition_step",
        "objective.transition_step",
        "First step of stage 2; below 1 a fraction of train_steps.",
    ),
    ("train_steps", "train_steps", "Optimizer steps in all."),
    ("batch_size", "batch_size", "Examples per step over all replicas."),
    (
        "accumulation_steps",
        "accumulation_steps",
        "Slices that a replica's batch is worked in, to save memory.",
    ),
    (
        "learning_rate",
        "optimizer.learning_rate",
        "The rate, or its factor for the inverse_sqrt schedule.",
    ),
    ("seed", "seed", "Of initial weights, data order and noise."),
    ("dtype", "dtype", ", ".join(config_lib.DTYPES) + "."),
    ("init_from", "init_from", "KerasHub preset directory to start from."),
    (
        "checkpoint_every",
        "runtime.checkpoint_every",
        "Steps between checkpoints.",
    ),
    ("eval_every", "runtime.eval_every", "Steps between evaluations."),
    ("log_every", "runtime.log_every", "Steps between metric lines."),
    ("strategy", "runtime.strategy", ", ".join(config_lib.STRATEGIES) + "."),
    ("jit_compile", "runtime.jit_compile", "true or false: use XLA."),
)


def _define_flags() -> None:
    flags.DEFINE_string("preset", "tiny", "Configuration to start from.")
    flags.DEFINE_string("output_dir", None, "Folder of the run. Required.")
    flags.DEFINE_string("cache_dir", None, "Folder of prepared corpora.")
    flags.DEFINE_multi_string("set", [], "section.field=value; repeatable.")
    flags.DEFINE_bool(
        "accept_changed_corpus",
        False,
        "Resume a run although its text was changed.",
    )
    for name, field, text in _FIELD_FLAGS:
        flags.DEFINE_string(name, None, f"{text} Overrides {field}.")


def config_from_flags(values: Any) -> config_lib.PretrainConfig:
    """Returns the preset with the fields that flags override.

    Raises:
        InputError: an unknown preset or field, or a value of the wrong type.
    """
    fields = given_fields(values, _FIELD_FLAGS)
    config = override(get_preset(values.preset), fields)
    config.validate()
    return config


def main(argv: Sequence[str]) -> None:
    """Reads flags, prints the configuration, runs."""
    del argv
    config = config_from_flags(FLAGS)
    folder = output_folder(FLAGS)
    print(json.dumps(to_dict(config)), flush=True)
    # TensorFlow takes seconds to load; bad flags are refused before.
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
    if "preset" not in FLAGS:
        _define_flags()
    run_binary(main)


if __name__ == "__main__":
    run()
