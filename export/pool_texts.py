"""The texts of a pool, one for every row of its dataset.

jsonl:PATH:FIELD[:...]           one object a line; further fields are not read
tfds:NAME[:SPLIT][:FEATURE]      TensorFlow Datasets, prepared already; the
                                 split is `train` and the feature the only
                                 text if not named

A row's number is its `example_id`, so none is left out, not even an empty one.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

from runkit import InputError, closest


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
        path, _, field = rest.partition(":")
        return _json_lines(pathlib.Path(path), field.partition(":")[0])
    if kind == "tfds":
        return _tfds(*[*rest.split(":"), "", ""][:3])
    raise InputError(
        "unknown kind of dataset", where="--dataset", got=spec,
        remedy=closest(kind, ("jsonl", "tfds")),
    )  # fmt: skip


def _json_lines(path: pathlib.Path, field: str) -> Iterator[bytes]:
    if not path.is_file() or not field:
        raise InputError(
            "no such file" if field else "names no field",
            where="--dataset", got=str(path), expected="jsonl:PATH:FIELD",
        )  # fmt: skip
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                text = json.loads(line)[field]
                yield text.encode("utf-8", "replace")
            except (ValueError, KeyError, TypeError, AttributeError):
                raise InputError(
                    f"is no JSON object with a text {field!r}",
                    where=f"{path}, line {number}", got=line[:80],
                ) from None  # fmt: skip


def _tfds(name: str, split: str, feature: str) -> Iterator[bytes]:
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name)
        config = tfds.ReadConfig(interleave_cycle_length=1)
        feature = feature or _only_text(builder)
        rows = builder.as_dataset(
            split=split or "train", read_config=config, shuffle_files=False
        )
    except (ValueError, AssertionError, tfds.core.DatasetNotFoundError) as e:
        raise InputError(
            f"cannot be read ({str(e).splitlines()[0][:200]})",
            where="--dataset", got=f"tfds:{name}:{split}",
        ) from None  # fmt: skip
    if feature not in builder.info.features:
        raise InputError(
            "unknown feature", where="--dataset", got=feature,
            remedy=closest(feature, builder.info.features),
        )  # fmt: skip
    for row in tfds.as_numpy(rows):
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
