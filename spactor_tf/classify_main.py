r"""Fine-tunes a text classifier on labeled texts.

    python -m spactor_tf.classify_main --init_from=runs/imdb \
        --train=jsonl:labeled.jsonl:text:label \
        --test=jsonl:test.jsonl:text:label --output_dir=runs/classifier

A label is a text or a number; lists of labels make the task multi-label.

`spactor_tf.classifier.load_classifier` and `export.export_main --run_dir` read
the directory; its metrics.json holds accuracy and average precision on the
test set. Nothing is written before training has ended.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

from runkit import InputError, run_binary
from runkit.datasets import (
    TEXT_KINDS,
    LabeledData,
    forms,
    read_labeled,
    renumber,
)
from runkit.files import lock_directory
from runkit.flag_values import Flag, check_table, new_output_folder
from runkit.quality import check_defined, evaluate, metrics_library
from spactor_tf.classifier.classifier import (
    BATCH_SIZE,
    LEARNING_RATE,
    LENGTH,
    TRAIN_STEPS,
    TextClassifier,
)
from spactor_tf.inference.pretrained import load_pretrained, preset_dir

FLAGS = flags.FLAGS
FLAG_TABLE = (
    Flag(
        "init_from",
        "Run, or T5 of KerasHub or Hugging Face.",
        required=True,
    ),
    Flag(
        "train",
        f"Labeled texts: {forms(TEXT_KINDS, label=True)}.",
        required=True,
    ),
    Flag(
        "test",
        "Labeled texts to measure the classifier on, named in the same way.",
        default="",
    ),
    Flag("output_dir", "Directory to write.", required=True),
    Flag(
        "classes",
        "Class names, separated by commas; default: those of --train.",
        default="",
    ),
    Flag("train_steps", "Optimizer steps.", int, TRAIN_STEPS, positive=True),
    Flag("batch_size", "Texts per step.", int, BATCH_SIZE, positive=True),
    Flag(
        "learning_rate",
        "Peak learning rate.",
        float,
        LEARNING_RATE,
        positive=True,
    ),
    Flag("text_length", "Tokens read of each text.", int, LENGTH, least=2),
    Flag("seed", "Random seed for order and dropout.", int, 0, least=0),
)


def labeled_texts(
    spec: str,
    where: str,
    classes: Sequence[str] = (),
    multilabel: bool | None = None,
) -> LabeledData:
    """Reads labeled texts; lists of labels make them multi-label.

    Args:
        spec: see `runkit.datasets.specification`.
        where: the flag, for messages.
        classes: known classes; empty takes those that the dataset names, or
            that its labels hold.
        multilabel: whether labels must be lists; None: as the first one is.

    Raises:
        InputError: the dataset cannot be read, holds images, an example has
            no label, a label of the wrong form or of an unknown class.
    """
    data = read_labeled(
        spec,
        where=where,
        kinds=TEXT_KINDS,
        multilabel=multilabel,
        all_labeled=True,
    )
    if data.kind != "text":
        raise InputError("holds images, not texts", where=where, got=spec)
    if not classes:
        return data
    labels = renumber(data.labels, data.classes, classes, where=where)
    return dataclasses.replace(data, labels=labels, classes=tuple(classes))


def check(values: Any) -> None:
    """Refuses missing and impossible flags.

    Raises:
        InputError: with the flag's name.
    """
    check_table(FLAG_TABLE, values)
    new_output_folder(values)


def main(argv: Sequence[str]) -> None:
    """Reads, trains, measures, saves."""
    del argv
    check(FLAGS)
    with lock_directory(FLAGS.output_dir, beside=True):
        check(FLAGS)  # Another process may have written it meanwhile.
        train_and_save(FLAGS)


def train_and_save(values: Any) -> None:
    """Does what the flags ask for, after they have been checked.

    Args:
        values: the flags' values as attributes.

    Raises:
        InputError: labeled texts or a model that cannot be used.
    """
    if values.test:
        metrics_library()
    train, test = _train_and_test(values)
    preset_dir(values.init_from, needs_decoder=False)
    classifier = TextClassifier(
        load_pretrained(values.init_from, needs_decoder=False),
        train.classes,
        length=values.text_length,
        multilabel=train.multilabel,
    )
    began = time.monotonic()
    classifier.fit(
        train.inputs.tolist(),
        train.labels,
        seed=values.seed,
        train_steps=values.train_steps,
        batch_size=values.batch_size,
        learning_rate=values.learning_rate,
    )
    metrics: dict[str, Any] = {
        "train_examples": len(train.inputs),
        "train_steps": values.train_steps,
        "seconds": round(time.monotonic() - began, 1),
        "classes": len(train.classes),
    }
    if test:
        found = classifier.predict_probabilities(test.inputs.tolist())
        metrics["test_examples"] = len(test.inputs)
        metrics |= evaluate(found, test.labels)
    classifier.save(values.output_dir, metrics=metrics)
    print(f"classifier: {values.output_dir}")
    if test:
        primary = _metric(train)
        label, value = f"{primary.replace('_', ' ')}:", metrics[primary]
        shown = "undefined" if value is None else f"{value:.3f}"
        print(f"{label:<11} {shown} of {len(test.inputs)} texts")


def _train_and_test(values: Any) -> tuple[LabeledData, LabeledData | None]:
    """Reads the texts of --train and, if it is given, of --test."""
    named = [name.strip() for name in values.classes.split(",") if name.strip()]
    train = labeled_texts(values.train, "--train", named)
    if not values.test:
        return train, None
    test = labeled_texts(values.test, "--test", train.classes, train.multilabel)
    check_defined(test.labels, train.classes, _metric(train))
    return train, test


def _metric(train: LabeledData) -> str:
    return "average_precision" if train.multilabel else "accuracy"


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
