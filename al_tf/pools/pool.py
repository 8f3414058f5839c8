"""Pools to learn from: texts, images or fixed embeddings, and their labels.

`runkit.datasets.specification` says how a pool is named: `tfds:NAME[:SPLIT]`,
`jsonl:PATH:TEXT_FIELD:LABEL_FIELD`, `npz:PATH` and more. A label is a text, a
number, a list of these (multi-label), or null.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from al_tf.pools.examples import (
    UNKNOWN,
    Examples,
    check_same_frame,
    encode_labels,
    hold_out,
    make_examples,
    with_classes,
)
from runkit import InputError
from runkit.datasets import LABELED_KINDS, read_labeled
from runkit.datasets.labels import check_twins

__all__ = [
    "KINDS",
    "UNKNOWN",
    "Examples",
    "check_same_frame",
    "encode_labels",
    "hold_out",
    "make_examples",
    "open_pool",
    "with_classes",
]

KINDS = LABELED_KINDS


def open_pool(
    spec: str,
    classes: Sequence[str] = (),
    *,
    where: str = "--dataset",
    id_column: str = "",
) -> Examples:
    """Reads a pool.

    Args:
        spec: see the module docstring.
        classes: names of the classes; empty: those that the source names, or
            that its labels hold, in order. Labels of the source keep their
            names; the numbers of an `npz` without names index these.
        where: shown in messages.
        id_column: field of a table, or array of an `npz`, that holds the ids;
            "" for none: examples are known by their rows.

    Raises:
        InputError: an unknown kind, a missing file, dataset, field or array,
            labels of an unknown class, images of different shapes, nothing
            in it.
    """
    if len(set(classes)) < len(classes):
        raise InputError("names one twice", where="--classes", got=classes)
    check_twins(classes, "--classes")
    data = read_labeled(spec, where=where, classes=classes, id_field=id_column)
    if len(set(data.classes)) < len(data.classes):
        raise InputError("names a class twice", where=spec, got=data.classes)
    examples = Examples(
        name=spec,
        kind=data.kind,
        inputs=data.inputs,
        labels=data.labels,
        classes=data.classes,
        multilabel=data.multilabel,
        rows=np.arange(len(data.inputs)),
        ids=data.ids,
        id_name=id_column or "example_id",
    )
    return with_classes(examples, classes, where) if classes else examples
