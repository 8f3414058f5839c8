"""Exports a finished run or a classifier as a SavedModel for TF Serving.

Example:
    python -m export.export_main --run_dir=runs/imdb --output_dir=served/t5 \
      --version=1 --labels=negative,positive

The version is verified before it becomes visible: see `export.saved_model`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import flags

from export.modules.options import DEFAULT_LABELS, ServingOptions
from export.saved_model.run_facts import run_facts
from runkit import InputError, read_json, run_binary
from runkit.flag_values import check_flags

FLAGS = flags.FLAGS
_OPTIONS = (
    ("prefix", flags.DEFINE_string, "Put before every text of classify."),
    (
        "input_length",
        flags.DEFINE_integer,
        "Tokens read of a text; default: what the run was trained on.",
    ),
    ("max_output_length", flags.DEFINE_integer, "Tokens generated at most."),
    ("decoding", flags.DEFINE_string, "greedy, temperature or beam."),
    ("temperature", flags.DEFINE_float, "Divides the logits of temperature."),
    ("seed", flags.DEFINE_integer, "Of the samples of temperature."),
    ("num_beams", flags.DEFINE_integer, "Hypotheses of beam."),
    ("length_penalty", flags.DEFINE_float, "Exponent of the length for beam."),
    ("unit_norm", flags.DEFINE_bool, "Embeddings have norm 1."),
)


def _define_flags() -> None:
    flags.DEFINE_string(
        "run_dir", None, "Finished run, preset or classifier. Required."
    )
    flags.DEFINE_string("output_dir", None, "Base path to serve. Required.")
    flags.DEFINE_integer("version", None, "Default: one after the newest.")
    flags.DEFINE_string("model_name", "t5", "Name under which it is served.")
    flags.DEFINE_list(
        "labels", None, "Label words of classify, separated by commas."
    )
    for name, define, text in _OPTIONS:
        define(name, None, text)


def serving_options(
    values: Any,
    input_length: int | None = None,
    labels: tuple[str, ...] | None = None,
) -> ServingOptions:
    """Returns the options of the flags.

    Args:
        values: absl flags.
        input_length: what the model was trained on, if that is known.
        labels: label words that it was fine-tuned on, if that is known.
    """
    given = {
        name: getattr(values, name)
        for name, _, _ in _OPTIONS
        if getattr(values, name) is not None
    }
    if values.labels is not None:
        given["labels"] = tuple(values.labels)
    elif labels is not None:
        given["labels"] = labels
    options = ServingOptions()
    if input_length is not None:
        options = dataclasses.replace(options, input_length=input_length)
    options = dataclasses.replace(options, **given)
    options.validate()
    return options


def refuse_labels(given: Sequence[str] | None, classes: Sequence[str]) -> None:
    """A classifier has its classes from its training."""
    if given is not None and tuple(given) != tuple(classes):
        raise InputError(
            "are not the classes of this classifier",
            where="--labels",
            got=",".join(given),
            expected=",".join(classes),
            remedy="Leave the flag out",
        )


def main(argv: Sequence[str]) -> None:
    """Reads flags, exports, prints what was verified."""
    del argv
    check_flags(FLAGS, required=("run_dir", "output_dir"))
    serving_options(FLAGS)
    # TensorFlow takes seconds to load; bad flags are refused before.
    from export.saved_model.write import (
        default_input_length,
        export_saved_model,
        load_model,
    )
    from spactor_tf.classifier.classifier import TextClassifier

    model = load_model(FLAGS.run_dir)
    facts = run_facts(FLAGS.run_dir)
    is_classifier = isinstance(model, TextClassifier)
    if isinstance(model, TextClassifier):
        refuse_labels(FLAGS.labels, model.classes)
    options = serving_options(
        FLAGS, facts.input_length or default_input_length(model), facts.labels
    )
    path = export_saved_model(
        model,
        FLAGS.output_dir,
        FLAGS.version,
        options=options,
        model_name=FLAGS.model_name,
        metrics=facts.metrics,
    )
    card = read_json(path / "model_card.json")
    print(f"version:    {path}")
    print(f"signatures: {', '.join(sorted(card['signatures']))}")
    if not (FLAGS.labels or facts.labels or is_classifier):
        words = ", ".join(DEFAULT_LABELS)
        print(f"classify ranks the default label words {words}: set --labels")


def run() -> None:
    """Entry point of the console script."""
    if "run_dir" not in FLAGS:
        _define_flags()
    run_binary(main)


if __name__ == "__main__":
    run()
