"""NumPy archives of embeddings or images and their labels.

embeddings    `[n, d]` floating-point, finite; or
images        `[n, height, width, channels]` uint8
labels        `[n]` numbers or texts, -1 without a label; or `[n, classes]` of
              0 and 1, rows of -1 without labels
classes       names of the classes, by number; may be left out
"""

from __future__ import annotations

import pathlib

import numpy as np

from runkit.datasets.labels import (
    UNKNOWN,
    check_label,
    encode_labels,
    renumber,
)
from runkit.errors import InputError, closest
from runkit.files import DAMAGED_ARRAYS

# (kind, inputs, labels, class names, multilabel) of `LabeledData`.
Parts = tuple[str, np.ndarray, np.ndarray, tuple[str, ...], bool]


def read_npz(path: str, classes: tuple[str, ...] = ()) -> Parts:
    """Reads `embeddings` or `images`, and `labels`.

    Numbers among the labels index the file's own `classes`, or else the given
    ones, or else are names themselves.

    Args:
        path: of the archive.
        classes: names for a file without names of its own.

    Returns:
        The fields of `LabeledData`.

    Raises:
        InputError: no whole archive of plain arrays, an array that is missing
            or of another form, labels that do not fit.
    """
    arrays = _load_npz(path)
    labels = _array(arrays, "labels", path)
    kind, inputs = _inputs(arrays, path)
    _check_labels(labels, path)
    if len(labels) != len(inputs):
        raise InputError(
            "not one label for each example",
            where=f"{path}: labels",
            got=len(labels),
            expected=str(len(inputs)),
        )
    if "classes" in arrays:
        classes = tuple(map(str, arrays["classes"].ravel()))
        _check_classes(classes, path)
    if labels.ndim == 2:
        names = classes or tuple(str(i) for i in range(labels.shape[1]))
        unknown = labels == UNKNOWN
        is_binary = (
            np.isin(labels, (0, 1, UNKNOWN)).all()
            and (unknown.any(1) == unknown.all(1)).all()
        )
        if len(names) != labels.shape[1] or not is_binary:
            raise InputError(
                "multi-label labels must be 0 and 1, a column per class",
                where=f"{path}: labels",
                got=f"{labels.dtype} of shape {labels.shape}",
                expected=f"[n, {len(names)}] of 0 and 1 (rows of -1: unknown)",
            )
        return kind, inputs, labels.astype(np.int8), names, True
    if classes and labels.dtype.kind in "iu":
        _check_numbers(labels, len(classes), path)
        return kind, inputs, labels.astype(np.int64), classes, False
    values = [
        None if value == UNKNOWN else check_label(value, f"{path}: label {row}")
        for row, value in enumerate(labels.tolist())
    ]
    numbers, names, _ = encode_labels(values)
    if classes:
        where = f"{path}: labels"
        numbers = renumber(numbers, names, classes, where=where)
    return kind, inputs, numbers, classes or names, False


def read_npz_array(path: str, name: str) -> np.ndarray:
    """Reads one array of an archive, of one axis.

    Raises:
        InputError: no such array, or one of another shape.
    """
    arrays = _load_npz(path)
    if name not in arrays or arrays[name].ndim != 1:
        raise InputError(
            f"holds no list {name!r}",
            where=path,
            got=sorted(arrays),
            remedy=closest(name, arrays),
        )
    return arrays[name]


def _inputs(arrays: dict[str, np.ndarray], path: str) -> tuple[str, np.ndarray]:
    if "images" in arrays:
        images = arrays["images"]
        if images.ndim != 4 or images.dtype != np.uint8:
            raise InputError(
                "images must be uint8 of four dimensions",
                where=f"{path}: images",
                got=f"{images.dtype} of shape {images.shape}",
                expected="uint8 [n, height, width, channels]",
            )
        return "image", images
    rows = _array(arrays, "embeddings", path)
    if rows.ndim != 2 or not rows.shape[1] or rows.dtype.kind != "f":
        raise InputError(
            "embeddings must be floating-point numbers in two dimensions",
            where=f"{path}: embeddings",
            got=f"{rows.dtype} of shape {rows.shape}",
            expected="float [n, d]",
        )
    rows = rows.astype(np.float32)
    if bad := np.flatnonzero(~np.isfinite(rows).all(1)).tolist():
        raise InputError(
            f"embeddings with NaN or infinite values; example ids {bad[:10]}",
            where=f"{path}: embeddings",
        )
    return "embedding", rows


def _check_labels(labels: np.ndarray, place: str) -> None:
    """Refuses labels of another form, and NaN for a missing label."""
    is_list = labels.ndim == 1 or (labels.ndim == 2 and labels.shape[1] > 1)
    if not is_list or labels.dtype.kind not in "iufbU":
        raise InputError(
            "are not labels",
            where=f"{place}: labels",
            got=f"{labels.dtype} of shape {labels.shape}",
            expected="numbers or texts [n], or [n, classes] of 0 and 1",
        )
    if labels.dtype.kind in "if" and (labels < UNKNOWN).any():
        row = int(np.argwhere(labels < UNKNOWN)[0, 0])
        raise InputError(
            f"a number below -1 at example {row} is not a class",
            where=f"{place}: labels",
            got=labels[row].tolist(),
            remedy="Write -1 where there is no label (other tools use -100)",
        )
    whole = labels.dtype.kind != "f" or (labels == np.floor(labels)).all()
    if not whole and np.isfinite(labels).all():
        row = int(np.argwhere(labels != np.floor(labels))[0, 0])
        raise InputError(
            "are targets of a regression, not classes",
            where=f"{place}: labels",
            got=labels[row].tolist(),
            expected="whole numbers or texts",
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        row = int(np.argwhere(~np.isfinite(labels))[0, 0])
        raise InputError(
            f"no number at example {row}",
            where=f"{place}: labels",
            got=labels[row].tolist(),
            remedy="Write -1 where there is no label",
        )


def _check_classes(classes: tuple[str, ...], place: str) -> None:
    for name in classes:
        if not name.strip() or classes.count(name) > 1:
            raise InputError(
                "names a class twice" if name.strip() else "has an empty name",
                where=f"{place}: classes",
                got=name,
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


def _load_npz(path: str) -> dict[str, np.ndarray]:
    try:
        with np.load(
            pathlib.Path(path).expanduser(), allow_pickle=False
        ) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except (AttributeError, TypeError):
        # A single array, or nothing of NumPy's.
        raise InputError("is not an .npz file", where=path) from None
    except DAMAGED_ARRAYS as error:
        raise InputError(
            f"is not a whole .npz file of plain arrays ({error})", where=path
        ) from None


def _array(arrays: dict[str, np.ndarray], name: str, path: str) -> np.ndarray:
    if name not in arrays:
        raise InputError(
            f"holds no array {name!r}",
            where=path,
            got=sorted(arrays),
            expected="embeddings [n, d] or images, and labels [n]",
        )
    return arrays[name]
