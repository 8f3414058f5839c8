"""TensorFlow Datasets by name: only what is prepared on this machine."""

from __future__ import annotations

import os
import pathlib
import re
from typing import Any

from runkit.errors import InputError, closest


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
    """Returns the TFDS builder of a data set that is prepared.

    Args:
        name: as TFDS writes it: `imdb_reviews`, `glue/sst2`, `name:1.0.0`.
        where: shown in the message.
        data_dir: folder of prepared data sets; None takes TFDS's default.

    Raises:
        InputError: an unknown name, or no prepared data.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # TFDS has many classes for "unknown".
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"TFDS does not know it ({reason})", where=where, got=name,
            remedy=closest(name, tfds.list_builders()),
        ) from None  # fmt: skip
    if not pathlib.Path(builder.data_dir).is_dir():
        raise InputError(
            "is not prepared", where=where, got=name,
            expected=f"data in {builder.data_dir}",
            remedy="Set TFDS_DATA_DIR to where it is, or prepare it with "
            f"`tfds build {name}` (or tfds.builder({name!r})"
            ".download_and_prepare())",
        )  # fmt: skip
    return builder


def check_split(builder: Any, split: str, where: str = "--dataset") -> str:
    """Returns `split` if the data set has it, else names the nearest."""
    try:
        _ = builder.info.splits[split]
    except Exception:  # KeyError, ValueError or TFDS's own.
        raise InputError(
            "has no such split", where=where, got=split,
            remedy=closest(split, builder.info.splits),
        ) from None  # fmt: skip
    return split


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
