"""Datasets of TFDS that lie on this machine already; nothing is downloaded."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from runkit import InputError, closest


def prepared_builder(
    name: str,
    where: str = "--dataset",
    data_dir: str | os.PathLike | None = None,
) -> Any:
    """Opens a TFDS dataset that lies on this machine already.

    Args:
        name: TFDS's name, with its configuration and version if need be.
        where: what named it, for messages.
        data_dir: folder of prepared datasets; None takes TFDS's default.

    Raises:
        InputError: TFDS does not know the name, or its data are not there.
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
