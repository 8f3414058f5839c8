"""The texts of a pool, one for every row of its dataset.

jsonl:PATH:FIELD[:...]           one object a line; further fields are not read
tfds:NAME[:SPLIT][:FEATURE]      TensorFlow Datasets, prepared already; the
                                 split is `train` and the feature the only
                                 text if not named

A row's number is its `example_id`, so none is left out, not even an empty
text; blank lines of a file are no rows.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

from runkit import InputError, closest
from runkit.json_lines import json_lines, text_field
from runkit.prepared_data import (
    check_split,
    in_order,
    prepared_builder,
    split_spec,
)


def pool_texts(spec: str) -> Iterator[bytes]:
    """Yields the text of every row, in order.

    Args:
        spec: see the module docstring.

    Raises:
        InputError: an unknown kind, a missing file or dataset, a row without
            the text.
    """
    kind, _, rest = spec.partition(":")
    if kind == "jsonl":
        path, _, name = rest.partition(":")
        return _json_lines(pathlib.Path(path), name.partition(":")[0])
    if kind == "tfds":
        return _tfds(rest)
    raise InputError(
        "unknown kind of dataset", where="--dataset", got=spec,
        remedy=closest(kind, ("jsonl", "tfds")),
    )  # fmt: skip


def _json_lines(path: pathlib.Path, name: str) -> Iterator[bytes]:
    if not path.is_file() or not name:
        raise InputError(
            "no such file" if name else "names no field",
            where="--dataset", got=str(path), expected="jsonl:PATH:FIELD",
        )  # fmt: skip
    for place, row in json_lines(path):
        yield text_field(row, name, place).encode("utf-8", "replace")


def _tfds(rest: str) -> Iterator[bytes]:
    import tensorflow_datasets as tfds

    name, *more = split_spec(rest)
    if len(more) > 2:
        raise InputError(
            "has too many parts", where="--dataset", got=f"tfds:{rest}",
            expected="tfds:NAME[:SPLIT][:FEATURE]",
        )  # fmt: skip
    builder = prepared_builder(name)
    split = check_split(builder, more[0] if more and more[0] else "train")
    feature = more[1] if len(more) > 1 else _only_text(builder)
    if feature not in builder.info.features:
        raise InputError(
            "unknown feature", where="--dataset", got=feature,
            remedy=closest(feature, builder.info.features),
        )  # fmt: skip
    for row in tfds.as_numpy(in_order(builder, split)):
        yield row[feature]


def _only_text(builder: Any) -> str:
    import tensorflow_datasets as tfds

    features = builder.info.features
    texts = [
        k for k, v in features.items() if isinstance(v, tfds.features.Text)
    ]
    if len(texts) != 1:
        raise InputError(
            "does not have exactly one text feature", where="--dataset",
            got=texts, expected="tfds:NAME:SPLIT:FEATURE",
        )  # fmt: skip
    return texts[0]
