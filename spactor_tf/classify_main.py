r"""Fine-tunes a text classifier on labeled texts.

    python -m spactor_tf.classify_main --init_from=runs/imdb \
        --train=jsonl:labeled.jsonl:text:label \
        --test=jsonl:test.jsonl:text:label --output_dir=runs/classifier

Labeled texts are a dataset such as jsonl:GLOB:TEXT_FIELD:LABEL_FIELD, csv: of
the same form, or tfds:NAME[:SPLIT][:FEATURE[:LABEL]]. A label is a text or a
number; lists of labels make the task multi-label.

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
from runkit.datasets import TEXT_KINDS, LabeledData, read_labeled, renumber
from runkit.flag_values import Flag, check_table, output_folder
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
    Flag("train", "Labeled texts; see --help.", required=True),
    Flag("test", "Labeled texts of the same form.", default=""),
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
    if output_folder(values).exists():
        raise InputError(
            "exists already",
            where="--output_dir",
            got=values.output_dir,
            remedy="Name another directory",
        )


def main(argv: Sequence[str]) -> None:
    """Reads, trains, measures, saves."""
    del argv
    check(FLAGS)
    if FLAGS.test:
        metrics_library()
    named = [name.strip() for name in FLAGS.classes.split(",") if name.strip()]
    train, test = labeled_texts(FLAGS.train, "--train", named), None
    if FLAGS.test:
        test = labeled_texts(
            FLAGS.test, "--test", train.classes, train.multilabel
        )
        metric = "average_precision" if train.multilabel else "accuracy"
        check_defined(test.labels, train.classes, metric)
    preset_dir(FLAGS.init_from, needs_decoder=False)
    classifier = TextClassifier(
        load_pretrained(FLAGS.init_from, needs_decoder=False),
        train.classes,
        length=FLAGS.text_length,
        multilabel=train.multilabel,
    )
    began = time.monotonic()
    classifier.fit(
        train.inputs.tolist(),
        train.labels,
        seed=FLAGS.seed,
        train_steps=FLAGS.train_steps,
        batch_size=FLAGS.batch_size,
        learning_rate=FLAGS.learning_rate,
    )
    metrics: dict[str, Any] = {
        "train_examples": len(train.inputs),
        "train_steps": FLAGS.train_steps,
        "seconds": round(time.monotonic() - began, 1),
        "classes": len(train.classes),
    }
    primary = "average_precision" if train.multilabel else "accuracy"
    if test:
        found = classifier.predict_probabilities(test.inputs.tolist())
        metrics["test_examples"] = len(test.inputs)
        metrics |= evaluate(found, test.labels)
    classifier.save(FLAGS.output_dir, metrics=metrics)
    print(f"classifier: {FLAGS.output_dir}")
    if test:
        label, value = f"{primary.replace('_', ' ')}:", metrics[primary]
        shown = "undefined" if value is None else f"{value:.3f}"
        print(f"{label:<11} {shown} of {len(test.inputs)} texts")


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
