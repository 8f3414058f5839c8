"""Text classifiers on disk; `classifier.py` saves and opens them.

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
from typing import Any, NamedTuple

import numpy as np

from runkit import atomic_directory, read_json, write_json
from runkit.files import check_checksums, write_checksums
from spactor_tf.inference.pretrained import (
    Pretrained,
    load_pretrained,
    save_pretrained,
)

HEAD = "head.npz"  # A directory with this file holds a classifier.
METRICS = "metrics.json"
_LABELS = "labels.json"


class Parts(NamedTuple):
    """What is stored of a classifier.

    Attributes:
        pretrained: encoder and vocabulary.
        kernel: `[hidden_dim, classes]`.
        bias: `[classes]`.
        labels: the other arguments of `TextClassifier`.
    """

    pretrained: Pretrained
    kernel: np.ndarray
    bias: np.ndarray
    labels: dict[str, Any]


def write_parts(
    path: str | os.PathLike,
    parts: Parts,
    metrics: Mapping[str, Any],
    *,
    replace: bool = False,
) -> None:
    """Writes a classifier; see `TextClassifier.save`."""
    model = parts.pretrained
    with atomic_directory(path, replace=replace) as folder:
        save_pretrained(
            folder / "preset",
            model.backbone,
            model.vocabulary,
            model.config,
            model.task_length,
        )
        np.savez(folder / HEAD, kernel=parts.kernel, bias=parts.bias)
        write_json(folder / METRICS, dict(metrics))
        write_json(folder / _LABELS, parts.labels)
        # The preset has checksums of its own.
        write_checksums(folder, (HEAD, METRICS, _LABELS))


def read_parts(path: str | os.PathLike) -> Parts:
    """Reads what `write_parts` wrote.

    Raises:
        InputError: no classifier there, or a file that is not as written.
        runkit.files.DAMAGED_ARRAYS: the arrays of the head cannot be read.
    """
    folder = pathlib.Path(path)
    check_checksums(folder, "Train the classifier again")
    labels = read_json(folder / _LABELS)
    with np.load(folder / HEAD, allow_pickle=False) as stored:
        kernel, bias = stored["kernel"], stored["bias"]
    return Parts(load_pretrained(folder / "preset"), kernel, bias, labels)
