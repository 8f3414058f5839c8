r"""Exports a finished run or a classifier as a SavedModel for TF Serving.

Example:
    python -m export.export_main --run_dir=runs/imdb --output_dir=served/t5 \
      --version=1 --labels=negative,positive

The version is verified before it becomes visible.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from export.formats.table import DTYPES, FORMATS, SAVED_MODEL, check_format
from export.modules.options import DEFAULT_LABELS, ServingOptions
from export.saved_model.run_facts import run_facts
from runkit import InputError, read_json, run_binary
from runkit.flag_values import Flag, check_table, new_output_folder
from spactor_tf.config.search_options import DECODINGS

FLAGS = flags.FLAGS
# Fields of `ServingOptions`; their ranges are checked there.
OPTION_FLAGS = (
    Flag(
        "labels",
        "Label words of classify, separated by commas; by default those of "
        "the run, or else " + ", ".join(DEFAULT_LABELS) + ".",
        list,
    ),
    Flag(
        "prefix",
        "Put before every text of classify.",
        default=ServingOptions.prefix,
    ),
    Flag(
        "input_length",
        "Maximum number of tokens read of a text; by default what the run "
        "was trained on.",
        int,
    ),
    Flag(
        "max_output_length",
        "Maximum number of tokens generated for a text.",
        int,
        ServingOptions.max_output_length,
    ),
    Flag(
        "decoding",
        "How generate searches.",
        default=ServingOptions.decoding,
        choices=DECODINGS,
    ),
    Flag(
        "temperature",
        "Divides the logits in temperature sampling.",
        float,
        ServingOptions.temperature,
    ),
    Flag(
        "seed",
        "Random seed for temperature sampling.",
        int,
        ServingOptions.seed,
    ),
    Flag(
        "num_beams",
        "Hypotheses kept in beam search.",
        int,
        ServingOptions.num_beams,
    ),
    Flag(
        "length_penalty",
        "Exponent of the length in beam search.",
        float,
        ServingOptions.length_penalty,
    ),
    Flag(
        "unit_norm",
        "Scale embeddings to norm 1.",
        bool,
        ServingOptions.unit_norm,
    ),
    Flag(
        "request_options",
        "Add generate_with_options: length, temperature, seed and beams are "
        "inputs of a request, up to --max_output_length and --num_beams.",
        bool,
        ServingOptions.request_options,
    ),
    Flag(
        "dtype",
        "Type of the stored weights and of the products. In half precision "
        "the model card says what that changes.",
        default=ServingOptions.dtype,
        choices=DTYPES,
    ),
)
# Which format can have them, `export.formats.table` says.
FORMAT_FLAGS = (
    *(flag for flag in OPTION_FLAGS if flag.name != "dtype"),
    Flag(
        "version",
        "Number of the version; by default the next that is neither written "
        "nor being written.",
        int,
    ),
    Flag("model_name", "Name under which it is served.", default="t5"),
    Flag(
        "runtime_python",
        "Python interpreter with the packages that another format needs; by "
        "default the one that runs this.",
    ),
)
FLAG_TABLE = (
    Flag("run_dir", "Finished run, preset or classifier.", required=True),
    Flag(
        "output_dir",
        "Base path to serve, in which the version becomes a folder; of the "
        "other formats a new directory.",
        required=True,
    ),
    Flag(
        "format",
        "What to write: a model for TF Serving, or for another runtime.",
        default=SAVED_MODEL,
        choices=tuple(FORMATS),
    ),
    *FORMAT_FLAGS,
    *(flag for flag in OPTION_FLAGS if flag.name == "dtype"),
)


def serving_options(
    values: Any,
    input_length: int | None = None,
    labels: tuple[str, ...] | None = None,
) -> ServingOptions:
    """Returns the options of the flags.

    Args:
        values: the flags as attributes.
        input_length: what the model was trained on, if that is known.
        labels: label words that it was fine-tuned on, if that is known.

    Raises:
        InputError: options out of range.
    """
    fields = {flag.name: getattr(values, flag.name) for flag in OPTION_FLAGS}
    for name, known in (("input_length", input_length), ("labels", labels)):
        if fields[name] is None:
            fields[name] = known
        if fields[name] is None:
            del fields[name]
    if "labels" in fields:
        fields["labels"] = tuple(fields["labels"])
    options = ServingOptions(**fields)
    options.validate()
    return options


def refuse_labels(given: Sequence[str] | None, classes: Sequence[str]) -> None:
    """Raises InputError for labels other than a classifier's classes.

    Args:
        given: label words of the flag; None if it is not given.
        classes: of the classifier.
    """
    if given is not None and tuple(given) != tuple(classes):
        raise InputError(
            "are not the classes of this classifier",
            where="--labels",
            got=",".join(given),
            expected=",".join(classes),
            remedy="Omit the flag",
        )


def error_line(error: dict[str, Any]) -> str:
    """Returns what half precision changed, from a model card's `error`."""
    changed = [f"{error['classes_changed']} classes"]
    if "texts_changed" in error:
        changed.append(f"{error['texts_changed']} generated texts")
    return (
        "against float32: cosine of embeddings >= "
        f"{error['embedding']['smallest_cosine']:.5f}; of {error['texts']} "
        f"texts {' and '.join(changed)} changed"
    )


def convert(values: Any) -> None:
    """Writes another format than a SavedModel; prints what was compared.

    Args:
        values: the flags as attributes, checked.
    """
    output = new_output_folder(values)
    from export.formats.write import export_format
    from export.saved_model.write import default_input_length, load_model

    model = load_model(values.run_dir)
    length = values.input_length or default_input_length(model)
    options = ServingOptions(
        unit_norm=values.unit_norm,
        input_length=length or ServingOptions.input_length,
    )
    options.validate()
    path = export_format(
        values.format,
        model,
        output,
        options=options,
        dtype=values.dtype,
        python=values.runtime_python or sys.executable,
    )
    card = read_json(path / "model_card.json")
    print(f"wrote:    {path}")
    print(f"answers:  {', '.join(card['answers'])}")
    verified = card["verified"]
    if verified is None:
        packages = " ".join(FORMATS[values.format].runtime)
        print(f"verified: no; its runtime is not here (pip install {packages})")
    else:
        facts = [f"{key} {value}" for key, value in verified.items()]
        print(f"verified: {', '.join(facts)}")


def main(argv: Sequence[str]) -> None:
    """Reads flags, exports, prints what was verified."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    check_format(FLAGS.format, FLAGS.dtype, FORMAT_FLAGS, FLAGS)
    if FLAGS.format != SAVED_MODEL:
        convert(FLAGS)
        return
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
    has_labels = FLAGS.labels or facts.labels
    if isinstance(model, TextClassifier):
        refuse_labels(FLAGS.labels, model.classes)
        has_labels = True
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
    if "error" in card:
        print(error_line(card["error"]))
    if not has_labels:
        words = ", ".join(DEFAULT_LABELS)
        print(f"classify ranks the default labels {words}; see --labels")


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
