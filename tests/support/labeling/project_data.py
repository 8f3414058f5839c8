"""Small projects for the tests, and people who answer."""

import csv
import json
import pathlib
from typing import Any

import numpy as np

from al_tf.label_tools.answers import LABEL, Given
from al_tf.project.project import Batch, Project
from al_tf.project.settings import Settings
from tests.support import loop_data

CLASSES = ("ant", "bee", "cat")


def write_blobs(path: pathlib.Path, n: int = 90, seed: int = 0) -> np.ndarray:
    """Writes an npz of `loop_data.blobs`; returns the class names by row."""
    pool = loop_data.blobs(n, seed)
    np.savez(
        path,
        embeddings=pool.inputs,
        labels=pool.labels,
        classes=np.array(pool.classes),
    )
    return np.array(pool.classes)[pool.labels]


def write_texts(path: pathlib.Path, n: int = 60, seed: int = 0) -> list[str]:
    """Writes JSON Lines of `loop_data.texts` with ids; returns the labels."""
    pool = loop_data.texts(n, seed)
    with path.open("w") as handle:
        for row, text in enumerate(pool.inputs):
            label = pool.classes[pool.labels[row]]
            record = {"key": f"t{seed}-{row}", "text": text, "label": label}
            handle.write(json.dumps(record) + "\n")
    return [pool.classes[number] for number in pool.labels]


def make_project(folder: pathlib.Path, **fields: Any) -> Project:
    """A project over blobs, without a test set unless one is asked for."""
    path = folder / "pool.npz"
    if not path.exists():
        write_blobs(path)
    values: dict[str, Any] = {
        "dataset": f"npz:{path}",
        "test": "0",
        "batch_size": 8,
        "target_cluster_size": 3.0,
        **fields,
    }
    return Project.create(folder / "project", Settings(**values))


def given(
    batch: Batch, truth: Any, annotator: str = "eve", state: str = LABEL
) -> list[Given]:
    """Answers to a whole batch."""
    return [
        Given(i, annotator, state, (str(truth[i]),) if state == LABEL else ())
        for i in batch.ids
    ]


def write_csv(path: pathlib.Path, *rows: dict[str, Any]) -> pathlib.Path:
    """Writes a csv file with the columns of the first row."""
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path
