"""Pools to learn from: texts, images or fixed embeddings, and their labels.

tfds:NAME[:SPLIT]                    TensorFlow Datasets, prepared already
jsonl:PATH:TEXT_FIELD:LABEL_FIELD    one object a line; a label is a text, a
                                     number, a list (multi-label), or null
npz:PATH                             arrays `embeddings` [n, d] or `images`
                                     [n, height, width, channels] uint8, and
                                     `labels` [n] or [n, classes] of 0 and 1
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from al_tf.pools import sources as pool_sources
from al_tf.pools.examples import (
    UNKNOWN,
    Examples,
    check_same_frame,
    encode_labels,
    hold_out,
    make_examples,
    with_classes,
)
from runkit import InputError, closest

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

KINDS = ("tfds", "jsonl", "npz")


def open_pool(
    spec: str, classes: Sequence[str] = (), *, where: str = "--dataset"
) -> Examples:
    """Reads a pool.

    Args:
        spec: see the module docstring.
        classes: names of the classes; empty: those that the source names, or
            that its labels hold, in order. Labels of the source keep their
            names; the numbers of an `npz` without names index these.
        where: shown in messages.

    Raises:
        InputError: an unknown kind, a missing file, data set, field or array,
            labels of an unknown class, images of different shapes, nothing
            in it.
    """
    kind, _, rest = spec.partition(":")
    if kind not in KINDS or not rest:
        raise InputError(
            "unknown kind of pool" if kind not in KINDS else "names nothing",
            where=where,
            got=spec,
            expected="tfds:NAME[:SPLIT], jsonl:PATH:TEXT_FIELD:LABEL_FIELD "
            "or npz:PATH",
            remedy=closest(kind, KINDS),
        )
    read = {
        "tfds": pool_sources.read_tfds,
        "jsonl": pool_sources.read_jsonl,
        "npz": pool_sources.read_npz,
    }[kind]
    if len(set(classes)) < len(classes):
        raise InputError("names one twice", where="--classes", got=classes)
    examples = read(rest, tuple(classes), where)
    if not len(examples):
        raise InputError("holds no examples", where=where, got=spec)
    if len(set(examples.classes)) < len(examples.classes):
        raise InputError(
            "names a class twice", where=spec, got=examples.classes
        )
    if classes:
        examples = with_classes(examples, classes, where)
    return dataclasses.replace(examples, name=spec)
