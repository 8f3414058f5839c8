"""Text classifiers on disk.

directory/
    preset/         encoder, with its decoder, and vocabulary
    head.npz        kernel and bias; they read plain pooled states
    labels.json     classes, length, multilabel, dropout
    metrics.json    what the caller says of the classifier
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from runkit import InputError, atomic_directory, read_json, write_json
from runkit.files import DAMAGED_ARRAYS, check_checksums, write_checksums
from spactor_tf.classifier.classifier import TextClassifier
from spactor_tf.inference.pretrained import load_pretrained, save_pretrained

HEAD = "head.npz"  # A directory with this file holds a classifier.
METRICS = "metrics.json"
_LABELS = "labels.json"


def save_classifier(
    classifier: TextClassifier,
    path: str | os.PathLike,
    *,
    metrics: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> None:
    """Writes a classifier; see `TextClassifier.save`."""
    model = classifier.pretrained
    kernel, bias = classifier.head_weights()
    with atomic_directory(path, replace=replace) as folder:
        save_pretrained(
            folder / "preset",
            model.backbone,
            model.vocabulary,
            model.config,
            model.task_length,
        )
        np.savez(folder / HEAD, kernel=kernel, bias=bias)
        write_json(folder / METRICS, dict(metrics or {}))
        write_json(
            folder / _LABELS,
            {
                "classes": classifier.classes,
                "dropout": classifier.dropout,
                "length": classifier.length,
                "multilabel": classifier.multilabel,
            },
        )
        # The preset has checksums of its own.
        write_checksums(folder, (HEAD, METRICS, _LABELS))


def load_classifier(path: str | os.PathLike) -> TextClassifier:
    """Opens what `TextClassifier.save` wrote.

    Raises:
        InputError: no classifier there, or a damaged one.
    """
    folder = pathlib.Path(path)
    check_checksums(folder, "Train the classifier again")
    facts = read_json(folder / _LABELS)
    try:
        with np.load(folder / HEAD, allow_pickle=False) as stored:
            head = [stored["kernel"], stored["bias"]]
        classes = facts.pop("classes")
        pretrained = load_pretrained(folder / "preset")
        classifier = TextClassifier(pretrained, classes, **facts)
        classifier.set_head(*head)
    except InputError:
        raise
    except DAMAGED_ARRAYS as error:
        raise InputError(
            f"is not a whole classifier ({error})", where=str(folder)
        ) from None
    return classifier
