r"""Fine-tunes a text classifier on labelled texts.

    python -m spactor_tf.classify_main --init_from=runs/imdb \
        --train=jsonl:labelled.jsonl:text:label \
        --test=jsonl:test.jsonl:text:label --output_dir=runs/classifier

The directory is one for `spactor_tf.classifier_files.load_classifier` and for
`export.export_main --run_dir`; metrics.json tells the accuracy on the test
set. Nothing is written before training has ended.
"""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from runkit import InputError, closest, run_binary
from runkit.flag_values import check_flags, definers
from runkit.json_lines import (
    field,
    json_lines,
    split_json_spec,
    text_field,
)
from spactor_tf.classifier import (
    BATCH_SIZE,
    LEARNING_RATE,
    LENGTH,
    TRAIN_STEPS,
    TextClassifier,
)
from spactor_tf.pretrained import load_pretrained, preset_dir

FLAGS = flags.FLAGS


def _define_flags(values: flags.FlagValues = FLAGS) -> None:
    text, number, real, _ = definers(values)
    text("init_from", None, "Run or KerasHub T5 preset. Required.")
    text("train", None, "jsonl:PATH:TEXT_FIELD:LABEL_FIELD. Required.")
    text("test", "", "Labelled texts of the same form.")
    text("output_dir", None, "Directory to write. Required.")
    text("classes", "", "Separated by commas; default: those of --train.")
    number("train_steps", TRAIN_STEPS, "Optimiser steps.")
    number("batch_size", BATCH_SIZE, "Texts a step.")
    real("learning_rate", LEARNING_RATE, "The largest of the run.")
    number("text_length", LENGTH, "Tokens that are read of a text.")
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
    texts, labels, places = [], [], []
    for place, row in json_lines(path):
        places.append(place)
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
    for place, label in zip(places, labels, strict=True):
        if label not in known:
            raise InputError(
                "is not one of the classes", where=place,
                got=label, remedy=closest(label, known),
            )  # fmt: skip
    return texts, np.array([known.index(la) for la in labels]), known


def check(values: Any) -> None:
    """Refuses missing and impossible flags.

    Raises:
        InputError: with the flag's name.
    """
    check_flags(
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
    check(FLAGS)
    named = [name.strip() for name in FLAGS.classes.split(",") if name.strip()]
    texts, labels, classes = labelled_texts(FLAGS.train, "--train", named)
    test = None
    if FLAGS.test:
        test = labelled_texts(FLAGS.test, "--test", classes)
    preset_dir(FLAGS.init_from)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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
