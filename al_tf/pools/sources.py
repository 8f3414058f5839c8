"""Readers of the kinds of pools that `al_tf.pools.pool` names."""

from __future__ import annotations

import math
import zipfile
import zlib
from typing import Any

import numpy as np

from al_tf.pools.examples import (
    UNKNOWN,
    Examples,
    encode_labels,
    make_examples,
    with_classes,
)
from runkit import InputError
from runkit.json_lines import (
    field,
    json_lines,
    split_json_spec,
    text_field,
    whole_text,
)
from runkit.prepared_data import (
    check_split,
    in_order,
    prepared_builder,
    split_spec,
)


def read_jsonl(rest: str, classes: tuple[str, ...], where: str) -> Examples:
    """Reads `PATH:TEXT_FIELD:LABEL_FIELD`; its labels are the class names."""
    del classes
    path, text_name, label_name = split_json_spec(rest, where)
    texts, labels = [], []
    for place, row in json_lines(path):
        texts.append(whole_text(text_field(row, text_name, place), place))
        labels.append(_label(field(row, label_name, place), place))
    numbers, names, multilabel = encode_labels(labels)
    return make_examples("text", _text_array(texts), numbers, names, multilabel)


def _label(value: Any, place: str) -> Any:
    items = value if isinstance(value, list) else [value]
    if not (value is None or all(_is_name(item) for item in items)):
        raise InputError(
            "is no label",
            where=place,
            got=value,
            expected="a text, a finite number, a list of these, or null",
        )
    for item in items:
        whole_text(str(item), place)
    return value


def _is_name(item: Any) -> bool:
    if isinstance(item, str):
        return bool(item.strip())
    return isinstance(item, int | float) and math.isfinite(item)


def read_npz(rest: str, classes: tuple[str, ...], where: str) -> Examples:
    """Reads `embeddings` or `images`, and `labels`.

    Numbers among the labels index the file's own `classes`, or else the given
    ones, or else are names themselves.
    """
    del where
    arrays = _load_npz(rest)
    labels = _array(arrays, "labels", rest)
    if "images" in arrays:
        kind, inputs = "image", arrays["images"]
        if inputs.ndim != 4 or inputs.dtype != np.uint8:
            raise InputError(
                "images must be uint8 of four dimensions",
                where=f"{rest}: images",
                got=f"{inputs.dtype} of shape {inputs.shape}",
                expected="uint8 [n, height, width, channels]",
            )
    else:
        kind, inputs = "embedding", _array(arrays, "embeddings", rest)
        if inputs.ndim != 2 or not inputs.shape[1] or inputs.dtype.kind != "f":
            raise InputError(
                "embeddings must be floating-point numbers in two dimensions",
                where=f"{rest}: embeddings",
                got=f"{inputs.dtype} of shape {inputs.shape}",
                expected="float [n, d]",
            )
        inputs = inputs.astype(np.float32)
        if bad := np.flatnonzero(~np.isfinite(inputs).all(1)).tolist():
            raise InputError(
                "embeddings with NaN or infinite values; example ids "
                f"{bad[:10]}",
                where=f"{rest}: embeddings",
            )
    _check_labels(labels, rest)
    if len(labels) != len(inputs):
        raise InputError(
            "not one label for each example",
            where=f"{rest}: labels",
            got=len(labels),
            expected=str(len(inputs)),
        )
    if "classes" in arrays:
        classes = tuple(map(str, arrays["classes"].ravel()))
    if labels.ndim == 2:
        return _multilabel(kind, inputs, labels, classes, rest)
    if classes and labels.dtype.kind in "iu":
        _check_numbers(labels, len(classes), rest)
        return make_examples(kind, inputs, labels.astype(np.int64), classes)
    values = [None if value == -1 else value for value in labels.tolist()]
    numbers, names, _ = encode_labels(values)
    examples = make_examples(kind, inputs, numbers, names)
    if not classes:
        return examples
    return with_classes(examples, classes, f"{rest}: labels")


def _check_labels(labels: np.ndarray, place: str) -> None:
    """Refuses labels of another form, and NaN for a missing label."""
    is_list = labels.ndim == 1 or (labels.ndim == 2 and labels.shape[1] > 1)
    if not is_list or labels.dtype.kind not in "iufbU":
        raise InputError(
            "are no labels",
            where=f"{place}: labels",
            got=f"{labels.dtype} of shape {labels.shape}",
            expected="numbers or texts [n], or [n, classes] of 0 and 1",
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        row = int(np.argwhere(~np.isfinite(labels))[0, 0])
        raise InputError(
            f"no number at example {row}",
            where=f"{place}: labels",
            got=labels[row].tolist(),
            remedy="Write -1 where there is no label",
        )


def _check_numbers(labels: np.ndarray, num_classes: int, place: str) -> None:
    bad = labels[(labels < UNKNOWN) | (labels >= num_classes)]
    if len(bad):
        raise InputError(
            "unknown class",
            where=f"{place}: labels",
            got=int(bad[0]),
            expected=f"0 to {num_classes - 1}, or -1 for no label",
        )


def _multilabel(
    kind: str,
    inputs: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...],
    place: str,
) -> Examples:
    names = classes or tuple(str(i) for i in range(labels.shape[1]))
    if len(names) != labels.shape[1] or not np.isin(labels, (0, 1, -1)).all():
        raise InputError(
            "multi-label labels must be 0 and 1, a column a class",
            where=f"{place}: labels",
            got=f"{labels.dtype} of shape {labels.shape}",
            expected=f"[n, {len(names)}] of 0 and 1 (rows of -1: unknown)",
        )
    return make_examples(
        kind, inputs, labels.astype(np.int8), names, multilabel=True
    )


def _load_npz(path: str) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except (
        ValueError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(
            f"is not a whole .npz file of plain arrays ({error})", where=path
        ) from None
    except (TypeError, AttributeError):
        # A single array, or nothing of NumPy's.
        raise InputError("is not an .npz file", where=path) from None


def _array(arrays: dict[str, np.ndarray], name: str, path: str) -> np.ndarray:
    if name not in arrays:
        raise InputError(
            f"holds no array {name!r}",
            where=path,
            got=sorted(arrays),
            expected="embeddings [n, d] or images, and labels [n]",
        )
    return arrays[name]


def read_tfds(rest: str, classes: tuple[str, ...], where: str) -> Examples:
    """Reads `NAME[:SPLIT]`: its image or its texts, and its class labels."""
    import tensorflow_datasets as tfds

    del classes  # Its numbers index its own names.
    name, *more = split_spec(rest)
    if len(more) > 1:
        raise InputError(
            "has too many parts",
            where=where,
            got=f"tfds:{rest}",
            expected="tfds:NAME[:SPLIT]",
        )
    builder = prepared_builder(name, where)
    split = check_split(builder, more[0] if more else "train", where)
    features = builder.info.features
    label, names, multilabel = _label_feature(features, name, where)
    images = [
        k for k in features if isinstance(features[k], tfds.features.Image)
    ]
    texts = [k for k in features if isinstance(features[k], tfds.features.Text)]
    if not images and not texts:
        raise InputError("has neither image nor text", where=where, got=name)
    rows = tfds.as_numpy(in_order(builder, split))
    inputs: list[Any] = []
    labels: list[Any] = []
    for row in rows:
        labels.append(row[label])
        inputs.append(
            row[images[0]]
            if images
            else "\n".join(row[k].decode("utf-8", "replace") for k in texts)
        )
    return make_examples(
        "image" if images else "text",
        _stack_images(inputs, where) if images else _text_array(inputs),
        _one_hot(labels, len(names)) if multilabel else np.array(labels),
        names,
        multilabel,
    )


def _label_feature(
    features: Any, name: str, where: str
) -> tuple[str, tuple[str, ...], bool]:
    """Returns (feature, class names, multilabel) of a TFDS data set."""
    import tensorflow_datasets as tfds

    for key in sorted(features, key=lambda key: key != "label"):
        feature = features[key]
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, tfds.features.ClassLabel):
            return key, tuple(inner.names), inner is not feature
    raise InputError(
        "has no feature of class labels",
        where=where,
        got=name,
        remedy=f"Its features: {', '.join(features)}",
    )


def _text_array(texts: list[str]) -> np.ndarray:
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


def _stack_images(images: list[np.ndarray], where: str) -> np.ndarray:
    for row, image in enumerate(images):
        if image.shape != images[0].shape:
            raise InputError(
                f"example {row} has another shape than example 0",
                where=where,
                got=image.shape,
                expected=str(images[0].shape),
                remedy="Resize the images to one shape first",
            )
    return np.stack(images) if images else np.zeros((0, 0, 0, 0), np.uint8)


def _one_hot(labels: list[Any], num_classes: int) -> np.ndarray:
    matrix = np.zeros((len(labels), num_classes), np.int8)
    for row, numbers in zip(matrix, labels, strict=True):
        row[numbers] = 1
    return matrix
