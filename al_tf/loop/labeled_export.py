"""The texts that a run has labeled, as a file for other programs."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING

from runkit import atomic_write

if TYPE_CHECKING:
    from al_tf.loop.loop import Loop

FILE_NAME = "labeled.jsonl"


def write_labeled(loop: Loop) -> list[pathlib.Path]:
    """Writes `labeled.jsonl` beside the labels of every run of a text pool.

    Each line is {"example_id", "text", "label"}, in the order of labeling, with
    the ids of the pool in place of `example_id` if it has any; `label` is a
    class name, or a list of them in a multi-label pool.

    Args:
        loop: finished or not; a strategy and seed without labels has no file.

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
                    chosen = label.nonzero()[0] if pool.multilabel else [label]
                    names = [pool.classes[number] for number in chosen]
                    row = {
                        pool.id_name: pool.named[[position]].tolist()[0],
                        "text": str(pool.inputs[position]),
                        "label": names if pool.multilabel else names[0],
                    }
                    handle.write(json.dumps(row, ensure_ascii=False) + "\n")
            written.append(path)
    return written
