r"""Fine-tunes a text classifier on labelled texts.

    python -m spactor_tf.classify_main --init_from=runs/imdb \
        --train=jsonl:labelled.jsonl:text:label \
        --test=jsonl:test.jsonl:text:label --output_dir=runs/classifier

The directory is one for `spactor_tf.classifier_files.load_classifier` and for
`export.export_main --run_dir`; metrics.json tells the accuracy on the test
set. Nothing is written before training has ended.
"""

from __future__ import annotations

import functools
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from runkit import InputError, closest, errors, run_binary
from runkit.json_lines import (
    field,
    read_json_lines,
    split_json_spec,
    text_field,
)

FLAGS = flags.FLAGS


def _define_flags(values: flags.FlagValues = FLAGS) -> None:
    text, number, real = (
        functools.partial(define, flag_values=values)
        for define in (
            flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_float,
        )
    )  # fmt: skip
    text("init_from", None, "Run or KerasHub T5 preset. Required.")
    text("train", None, "jsonl:PATH:TEXT_FIELD:LABEL_FIELD. Required.")
    text("test", "", "Labelled texts of the same form.")
    text("output_dir", None, "Directory to write. Required.")
    number("train_steps", 300, "Optimiser steps.")
    number("batch_size", 32, "Texts a step.")
    real("learning_rate", 1e-3, "The largest of the run.")
    number("text_length", 128, "Tokens that are read of a text.")
    number("seed", 0, "Of order and dropout.")


def labelled_texts(
    spec: str, where: str, classes: Sequence[str] = ()
) -> tuple[list[str], np.ndarray, tuple[str, ...]]:
    """Reads labelled texts.

    Args:
        spec: `jsonl:PATH:TEXT_FIELD:LABEL_FIELD`.
        where: the flag, for messages.
        classes: known classes; empty takes those of the file, sorted.

    Returns:
        (texts, `[n]` int64 class numbers, classes).

    Raises:
        InputError: another kind of file, none, an empty one, a label that is
            neither text nor number, or a class that is not known.
    """
    kind, _, rest = spec.partition(":")
    if kind != "jsonl":
        raise InputError(
            "unknown kind of file", where=where, got=spec,
            expected="jsonl:PATH:TEXT_FIELD:LABEL_FIELD",
        )  # fmt: skip
    path, text_name, label_name = split_json_spec(rest, where)
    texts, labels = [], []
    for number, row in enumerate(read_json_lines(path), 1):
        place = f"{path}, line {number}"
        texts.append(text_field(row, text_name, place))
        label = field(row, label_name, place)
        if not isinstance(label, str | int):
            raise InputError(
                "is no label", where=place, got=label,
                expected="one text or whole number",
            )  # fmt: skip
        labels.append(str(label))
    if not texts:
        raise InputError("holds no example", where=str(path))
    known = tuple(classes) or tuple(sorted(set(labels)))
    for number, label in enumerate(labels, 1):
        if label not in known:
            raise InputError(
                "is not one of the classes", where=f"{path}, line {number}",
                got=label, remedy=closest(label, known),
            )  # fmt: skip
    return texts, np.array([known.index(la) for la in labels]), known


def check_flags(values: Any) -> None:
    """Refuses missing and impossible flags.

    Raises:
        InputError: with the flag's name.
    """
    errors.check_flags(
        values,
        required=("init_from", "train", "output_dir"),
        positive=("train_steps", "batch_size", "learning_rate"),
        least={"text_length": 2, "seed": 0},
    )
    if pathlib.Path(values.output_dir).exists():
        raise InputError(
            "exists already", where="--output_dir", got=values.output_dir,
            remedy="Name another directory",
        )  # fmt: skip


def main(argv: Sequence[str]) -> None:
    """Reads, trains, measures, saves."""
    del argv
    check_flags(FLAGS)
    texts, labels, classes = labelled_texts(FLAGS.train, "--train")
    test = None
    if FLAGS.test:
        test = labelled_texts(FLAGS.test, "--test", classes)
    from spactor_tf.pretrained import preset_dir

    preset_dir(FLAGS.init_from)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from spactor_tf.classifier import TextClassifier
    from spactor_tf.pretrained import load_pretrained

    classifier = TextClassifier(
        load_pretrained(FLAGS.init_from), classes, length=FLAGS.text_length
    )
    began = time.monotonic()
    classifier.fit(
        texts,
        labels,
        seed=FLAGS.seed,
        train_steps=FLAGS.train_steps,
        batch_size=FLAGS.batch_size,
        learning_rate=FLAGS.learning_rate,
    )
    metrics: dict[str, Any] = {
        "train_examples": len(texts),
        "train_steps": FLAGS.train_steps,
        "seconds": round(time.monotonic() - began, 1),
        "classes": len(classes),
    }
    if test:
        found = classifier.predict_probabilities(test[0]).argmax(1)
        metrics["test_examples"] = len(test[0])
        metrics["accuracy"] = float((found == test[1]).mean())
    classifier.save(FLAGS.output_dir, metrics=metrics)
    print(f"classifier: {FLAGS.output_dir}")
    if test:
        print(f"accuracy:   {metrics['accuracy']:.3f} of {len(test[0])} texts")


def run() -> None:
    """Entry point of the console script."""
    if "train" not in FLAGS:
        _define_flags()
    run_binary(main)


if __name__ == "__main__":
    run()
