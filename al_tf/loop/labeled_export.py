"""What a run has learned of a pool of texts, as a file that others read."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from al_tf.loop.loop import Loop
from runkit import atomic_write

FILE_NAME = "labeled.jsonl"


def write_labeled(loop: Loop) -> list[pathlib.Path]:
    """Writes `labeled.jsonl` beside the labels of every run of a text pool.

    A line is {"example_id", "text", "label"}, in the order of labeling;
    `label` is a class name, or a list of them in a multi-label pool.

    Args:
        loop: has run at least its seed set.

    Returns:
        The files; none for images and embeddings.
    """
    pool, written = loop.pool, []
    if pool.kind != "text":
        return []
    for name in loop.config.strategies:
        for seed in loop.config.seeds:
            store = loop.store(name, seed)
            last = loop.config.rounds
            while last >= 0 and store.labels(last) is None:
                last -= 1
            if last < 0:
                continue
            positions, labels = store.labeled_until(last)
            path = store.folder / FILE_NAME
            with atomic_write(path) as handle:
                for position, label in zip(positions, labels, strict=True):
                    row = {
                        "example_id": int(pool.rows[position]),
                        "text": str(pool.inputs[position]),
                        "label": _names(label, pool.classes, pool.multilabel),
                    }
                    handle.write(json.dumps(row, ensure_ascii=False) + "\n")
            written.append(path)
    return written


def _names(
    label: Any, classes: Sequence[str], multilabel: bool
) -> str | list[str]:
    if multilabel:
        return [classes[i] for i in label.nonzero()[0]]
    return classes[int(label)]
