r"""Fine-tunes a text classifier on labeled texts.

    python -m spactor_tf.classify_main --init_from=runs/imdb \
        --train=jsonl:labeled.jsonl:text:label \
        --test=jsonl:test.jsonl:text:label --output_dir=runs/classifier

A label is a text or a number; a list of them makes the task multi-label.

The directory is one for `spactor_tf.classifier.load_classifier` and for
`export.export_main --run_dir`; metrics.json tells accuracy and average
precision on the test set. Nothing is written before training has ended.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from runkit import InputError, closest, run_binary
from runkit.flag_values import Flag, check_table, output_folder
from runkit.json_lines import (
    field,
    json_lines,
    split_json_spec,
    text_field,
    whole_text,
)
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
    Flag("init_from", "Run or KerasHub T5 preset.", required=True),
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


@dataclasses.dataclass(frozen=True)
class LabeledTexts:
    """Texts and what they are.

    Attributes:
        texts: `[n]`.
        labels: `[n]` int64 class numbers; multi-label: `[n, classes]` int8 of
            0 and 1.
        classes: their names.
        multilabel: a text may have any number of the classes.
    """

    texts: list[str]
    labels: np.ndarray
    classes: tuple[str, ...]
    multilabel: bool


def labeled_texts(
    spec: str,
    where: str,
    classes: Sequence[str] = (),
    multilabel: bool | None = None,
) -> LabeledTexts:
    """Reads labeled texts; lists of labels make them multi-label.

    Args:
        spec: `jsonl:PATH:TEXT_FIELD:LABEL_FIELD`.
        where: the flag, for messages.
        classes: known classes; empty takes those of the file, sorted.
        multilabel: whether labels must be lists; None: as the first one is.

    Raises:
        InputError: another kind of file, none, an empty one, a label that is
            neither text nor number nor the list that it should be, or a class
            that is not known.
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
        label = field(row, label_name, place)
        if multilabel is None:
            multilabel = isinstance(label, list)
        places.append(place)
        texts.append(whole_text(text_field(row, text_name, place), place))
        labels.append(_names(label, multilabel, place))
    if not texts:
        raise InputError("holds no example", where=str(path))
    known = tuple(classes) or tuple(sorted({n for row in labels for n in row}))
    matrix = np.zeros((len(texts), len(known)), np.int8)
    for place, names, row in zip(places, labels, matrix, strict=True):
        for name in names:
            if name not in known:
                raise InputError(
                    "is not one of the classes", where=place,
                    got=name, remedy=closest(name, known),
                )  # fmt: skip
            row[known.index(name)] = 1
    numbers = matrix if multilabel else matrix.argmax(1)
    return LabeledTexts(texts, numbers, known, bool(multilabel))


def _names(label: Any, multilabel: bool, place: str) -> list[str]:
    """The classes that a label names."""
    names = label if multilabel else [label]
    if not isinstance(names, list) or not all(
        isinstance(name, str | int) for name in names
    ):
        raise InputError(
            "is no list of labels" if multilabel else "is no label",
            where=place, got=label,
            expected="a list of texts or whole numbers, as in the first line"
            if multilabel
            else "one text or whole number",
        )  # fmt: skip
    return [whole_text(str(name), place) for name in names]


def check(values: Any) -> None:
    """Refuses missing and impossible flags.

    Raises:
        InputError: with the flag's name.
    """
    check_table(FLAG_TABLE, values)
    if output_folder(values).exists():
        raise InputError(
            "exists already", where="--output_dir", got=values.output_dir,
            remedy="Name another directory",
        )  # fmt: skip


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
    preset_dir(FLAGS.init_from)
    classifier = TextClassifier(
        load_pretrained(FLAGS.init_from),
        train.classes,
        length=FLAGS.text_length,
        multilabel=train.multilabel,
    )
    began = time.monotonic()
    classifier.fit(
        train.texts,
        train.labels,
        seed=FLAGS.seed,
        train_steps=FLAGS.train_steps,
        batch_size=FLAGS.batch_size,
        learning_rate=FLAGS.learning_rate,
    )
    metrics: dict[str, Any] = {
        "train_examples": len(train.texts),
        "train_steps": FLAGS.train_steps,
        "seconds": round(time.monotonic() - began, 1),
        "classes": len(train.classes),
    }
    primary = "average_precision" if train.multilabel else "accuracy"
    if test:
        found = classifier.predict_probabilities(test.texts)
        metrics["test_examples"] = len(test.texts)
        metrics |= evaluate(found, test.labels)
    classifier.save(FLAGS.output_dir, metrics=metrics)
    print(f"classifier: {FLAGS.output_dir}")
    if test:
        label, value = f"{primary.replace('_', ' ')}:", metrics[primary]
        shown = "undefined" if value is None else f"{value:.3f}"
        print(f"{label:<11} {shown} of {len(test.texts)} texts")


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
