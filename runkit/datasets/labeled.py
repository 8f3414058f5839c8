"""Labeled examples in memory: texts, images or embeddings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from runkit.datasets import arrays, prepared_data
from runkit.datasets.labels import (
    UNKNOWN,
    check_form,
    check_twins,
    encode_labels,
    id_array,
)
from runkit.datasets.specification import LABELED_KINDS, Specification, parse
from runkit.datasets.texts import open_texts
from runkit.errors import InputError


@dataclasses.dataclass(frozen=True)
class LabeledData:
    """Examples of a dataset and their labels.

    Attributes:
        kind: "text", "image" or "embedding".
        inputs: `[n]` object array of str; `[n, height, width, channels]`
            uint8; or `[n, d]` float32.
        labels: `[n]` int64 class numbers, or `[n, classes]` int8 of 0 and 1;
            `UNKNOWN` (in the whole row) where there is none.
        classes: names of the classes, by number.
        multilabel: an example may have any number of classes.
        ids: `[n]` object array of str or of int, if they were asked for.
    """

    kind: str
    inputs: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    multilabel: bool
    ids: np.ndarray | None = None


def read_labeled(
    spec: str,
    *,
    where: str = "--dataset",
    classes: Sequence[str] = (),
    kinds: Sequence[str] = LABELED_KINDS,
    multilabel: bool | None = None,
    all_labeled: bool = False,
    id_field: str = "",
) -> LabeledData:
    """Reads a whole dataset with its labels.

    A TFDS dataset with images gives these, unless a text feature is named.

    Args:
        spec: see `runkit.datasets.specification`.
        where: flag or argument that it came from, for messages.
        classes: names that the numbers of an `npz` without names of its own
            index; the other kinds of dataset name their classes themselves.
        kinds: kinds of dataset that can be used there.
        multilabel: whether labels must be lists; None: as the first one is.
        all_labeled: refuse an example without a label.
        id_field: field of a table, or array of an `npz`, that holds the ids;
            "" reads none.

    Raises:
        InputError: it cannot be read, has no labels or no examples; a label
            that cannot be one or has the wrong form; ids that cannot be used.
    """
    parsed = parse(spec, where=where, kinds=kinds)
    data = None
    if parsed.kind == "npz":
        data = LabeledData(*arrays.read_npz(parsed.path, tuple(classes)))
        if id_field:
            found = arrays.read_npz_array(parsed.path, id_field)
            data = dataclasses.replace(data, ids=id_array(found.tolist(), spec))
    elif parsed.kind == "tfds" and not parsed.text_field and not id_field:
        data = _images(parsed, where)
    data = data or _texts(parsed, where, multilabel, all_labeled, id_field)
    if data.ids is not None and len(data.ids) != len(data.inputs):
        raise InputError(
            "not one id for each example",
            where=where,
            got=len(data.ids),
            expected=str(len(data.inputs)),
        )
    if not len(data.inputs):
        raise InputError("holds no examples", where=where, got=spec)
    check_twins(data.classes, where)
    unknown = data.labels == UNKNOWN
    unlabeled = unknown.any(1) if data.multilabel else unknown
    if all_labeled and unlabeled.any():
        number = int(unlabeled.argmax())
        raise InputError(
            f"example {number} has no label", where=where, got=spec
        )
    return data


def _texts(
    spec: Specification,
    where: str,
    multilabel: bool | None,
    all_labeled: bool,
    id_field: str,
) -> LabeledData:
    texts, labels, ids = [], [], []
    source = open_texts(spec, where=where, labeled=True, id_field=id_field)
    for record in source.records():
        if all_labeled and record.label is None:
            raise InputError("has no label", where=record.place)
        multilabel = check_form(record.label, multilabel, record.place)
        texts.append(record.text)
        labels.append(record.label)
        ids.append(record.id)
    inputs = np.empty(len(texts), object)
    inputs[:] = texts
    names = id_array(ids, spec.spec) if id_field else None
    return LabeledData(
        "text", inputs, *encode_labels(labels, source.classes), names
    )


def _images(spec: Specification, where: str) -> LabeledData | None:
    """Reads the images of a TFDS dataset; None if it has none."""
    builder = prepared_data.prepared_builder(spec.path, where)
    split = prepared_data.check_split(builder, spec.split, where)
    image = prepared_data.image_feature(builder)
    if not image:
        return None
    label = prepared_data.label_feature(builder, spec.label_field, where)
    images: list[np.ndarray] = []
    labels = []
    for row in prepared_data.rows(builder, split, [image, label.name]):
        images.append(row[image])
        labels.append(label.label(row[label.name]))
        if images[-1].shape != images[0].shape:
            raise InputError(
                f"example {len(images) - 1} has another shape than example 0",
                where=where,
                got=images[-1].shape,
                expected=str(images[0].shape),
                remedy="Resize the images to one shape first",
            )
    inputs = np.stack(images) if images else np.zeros((0, 0, 0, 0), np.uint8)
    return LabeledData("image", inputs, *encode_labels(labels, label.classes))
