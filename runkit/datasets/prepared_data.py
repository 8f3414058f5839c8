"""TensorFlow Datasets by name: only what is prepared on this machine."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from runkit.datasets.tables import field_names
from runkit.errors import InputError, closest

_BLOCK = 256


def split_spec(rest: str) -> list[str]:
    """Splits "NAME[:SPLIT][:FEATURE]" into its parts, NAME first.

    A colon inside brackets belongs to the split (`train[:10%]`), and one
    before a version to the name (`cifar10:3.0.2`).
    """
    name, *more = re.split(r":(?![^\[]*\])", rest)
    if more and re.fullmatch(r"\d+\.\d+\.\d+", more[0]):
        name = f"{name}:{more.pop(0)}"
    return [name, *more]


def prepared_builder(
    name: str,
    where: str = "--dataset",
    data_dir: str | os.PathLike | None = None,
) -> Any:
    """Returns the TFDS builder of a dataset that is prepared.

    Args:
        name: as TFDS writes it: `imdb_reviews`, `glue/sst2`, `name:1.0.0`.
        where: shown in the message.
        data_dir: directory of prepared datasets; None takes TFDS's default.

    Raises:
        InputError: an unknown name, or no prepared data.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # TFDS has many classes for "unknown".
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"TFDS does not know it ({reason})",
            where=where,
            got=name,
            remedy=closest(name, tfds.list_builders()),
        ) from None
    if not pathlib.Path(builder.data_dir).is_dir():
        raise InputError(
            "is not prepared",
            where=where,
            got=name,
            expected=f"data in {builder.data_dir}",
            remedy="Set TFDS_DATA_DIR to where it is, or prepare it with "
            f"`tfds build {name}` (or tfds.builder({name!r})"
            ".download_and_prepare())",
        )
    return builder


def check_split(builder: Any, split: str, where: str = "--dataset") -> str:
    """Returns `split` if the dataset has it, else names the nearest."""
    try:
        _ = builder.info.splits[split]
    except Exception:  # KeyError, ValueError or TFDS's own.
        raise InputError(
            "has no such split",
            where=where,
            got=split,
            remedy=closest(split, builder.info.splits),
        ) from None
    return split


def split_files(builder: Any, split: str) -> dict[str, Any]:
    """Returns {name: path} of a split's files; names are without data_dir."""
    paths = builder.info.splits[split].filepaths
    return {f"{builder.info.full_name}/{path.name}": path for path in paths}


def text_features(builder: Any, named: str, where: str) -> list[str]:
    """Returns the features that are the text of an example.

    Args:
        builder: of a prepared dataset.
        named: feature, or several joined by "+"; "" takes the only text, or
            the one that is called `text`.
        where: flag or argument, for messages.

    Raises:
        InputError: no such text feature, with the nearest; several, and none
            is named.
    """
    features = builder.info.features
    texts = [
        key
        for key, feature in features.items()
        if feature.shape == () and feature.np_dtype in (object, str, bytes)
    ]
    if named:
        names = field_names(named, features)
        for name in names:
            if name not in texts:
                raise InputError(
                    "has no such text feature",
                    where=where,
                    got=name,
                    remedy=closest(name, texts) if texts else "",
                )
        return names
    if not texts:
        raise InputError("has no text feature", where=where, got=[*features])
    if len(texts) > 1 and "text" not in texts:
        raise InputError(
            "has several text features",
            where=where,
            got=texts,
            expected="the name of one: tfds:NAME:SPLIT:FEATURE",
            remedy=f"Several are joined by +: {'+'.join(texts[:2])}",
        )
    return ["text"] if "text" in texts else texts


def image_feature(builder: Any) -> str:
    """Returns the name of the first image feature; "" if there is none."""
    import tensorflow_datasets as tfds

    for name, feature in builder.info.features.items():
        if isinstance(feature, tfds.features.Image):
            return name
    return ""


class LabelFeature(NamedTuple):
    """The feature of a TFDS dataset that holds the labels.

    Attributes:
        name: of the feature.
        classes: their names by number; () where the values are the names.
        multilabel: an example may have any number of them.
    """

    name: str
    classes: tuple[str, ...]
    multilabel: bool

    def label(self, value: Any) -> Any:
        """Returns an example's label by name: a text or number, a list, None.

        Args:
            value: of the feature; -1 means no label.
        """
        if self.multilabel:
            return [self.classes[int(number)] for number in value]
        if self.classes:
            return None if value < 0 else self.classes[int(value)]
        if isinstance(value, bytes):
            return value.decode("utf-8", "surrogateescape")
        return plain(value)


def label_feature(builder: Any, named: str, where: str) -> LabelFeature:
    """Finds the labels of a dataset.

    Args:
        builder: of a prepared dataset.
        named: a feature of class labels, of texts or of whole numbers; ""
            takes the class labels, `label` first.
        where: flag or argument, for messages.

    Raises:
        InputError: no such feature, with the nearest, or none that can be a
            label.
    """
    import tensorflow_datasets as tfds

    features = builder.info.features
    if named and named not in features:
        raise InputError(
            "has no such feature",
            where=where,
            got=named,
            remedy=closest(named, features),
        )
    candidates = [named] if named else sorted(features, key="label".__ne__)
    for name in candidates:
        feature = features[name]
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, tfds.features.ClassLabel):
            return LabelFeature(name, tuple(inner.names), inner is not feature)
    if named and features[named].shape == ():
        return LabelFeature(named, (), False)
    raise InputError(
        "has no feature of class labels" if not named else "is not a label",
        where=where,
        got=named or builder.info.full_name,
        remedy=f"Its features: {', '.join(features)}",
    )


def in_order(builder: Any, split: str) -> Any:
    """Returns the split as a `tf.data.Dataset`, one shard after the other.

    The row of an example is then the same in every program.
    """
    import tensorflow_datasets as tfds

    return builder.as_dataset(
        split=split,
        shuffle_files=False,
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
    )


def rows(
    builder: Any, split: str, names: Sequence[str] = ()
) -> Iterator[Mapping[str, Any]]:
    """Yields the examples of a split as {feature: value}, in order.

    Args:
        builder: of a prepared dataset.
        split: as TFDS writes it.
        names: features to read; () reads all.

    Raises:
        InputError: a file that is missing or damaged.
    """
    import tensorflow as tf

    dataset = in_order(builder, split)
    if names:
        dataset = dataset.map(lambda row: {name: row[name] for name in names})
    try:
        yield from _values(dataset)
    except tf.errors.OpError as error:
        reason = error.message.rpartition("}}")[2].splitlines()[0]
        raise InputError(
            f"cannot be read ({reason.strip()})",
            where=f"{builder.info.full_name}, {split}",
            got=str(builder.data_dir),
            remedy="Restore its files, or remove the folder and prepare it "
            f"again with `tfds build {builder.info.full_name}`",
        ) from None


def _values(dataset: Any) -> Iterator[Mapping[str, Any]]:
    """Yields a dataset's examples as NumPy's or Python's values."""
    import tensorflow_datasets as tfds

    specs = dataset.element_spec.values()
    if not all(getattr(spec, "shape", None) == () for spec in specs):
        yield from tfds.as_numpy(dataset)
        return
    # Records of scalars come in blocks, which is faster.
    for block in tfds.as_numpy(dataset.batch(_BLOCK)):
        columns = [column.tolist() for column in block.values()]
        for row in zip(*columns, strict=True):
            yield dict(zip(block, row, strict=True))


def plain(value: Any) -> Any:
    """Returns NumPy's and TFDS's values as Python's own.

    Raises:
        UnicodeDecodeError: a text that is not UTF-8.
    """
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
