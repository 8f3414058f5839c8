"""Flags of a binary: defined among values of its own, checked at the door."""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from absl import flags

from runkit.errors import InputError
from runkit.files import check_folder


class Definers(NamedTuple):
    """absl's functions that define a flag: (name, default, help).

    Attributes:
        text: a string.
        number: a whole number.
        real: a floating-point number.
        switch: true or false.
    """

    text: Callable[..., Any]
    number: Callable[..., Any]
    real: Callable[..., Any]
    switch: Callable[..., Any]


def definers(values: flags.FlagValues) -> Definers:
    """Returns functions that define flags in `values`.

    Binaries use `flags.FLAGS`; a process that holds several of them, a test,
    gives each its own.
    """
    return Definers(
        *(
            functools.partial(define, flag_values=values)
            for define in (
                flags.DEFINE_string, flags.DEFINE_integer,
                flags.DEFINE_float, flags.DEFINE_bool,
            )
        )
    )  # fmt: skip


def output_folder(values: Any) -> pathlib.Path:
    """Returns the folder of --output_dir, which need not be there yet.

    Raises:
        InputError: the flag is missing, or names no place for a folder.
    """
    check_flags(values, required=("output_dir",))
    check_folder(values.output_dir, where="--output_dir")
    return pathlib.Path(values.output_dir)


def check_flags(
    values: Any,
    *,
    required: Iterable[str] = (),
    positive: Iterable[str] = (),
    least: Mapping[str, int] | None = None,
) -> None:
    """Refuses missing and impossible flags.

    Args:
        values: the flags as attributes; a number may be None for a default
            that is chosen later.
        required: names of flags that must be given.
        positive: names of numbers above 0 and finite.
        least: {name: smallest number allowed}.

    Raises:
        InputError: with the flag's name.
    """
    for name in required:
        if not getattr(values, name):
            raise InputError("is missing", where=f"--{name}")
    for name in positive:
        value = getattr(values, name)
        if value is not None and not 0 < value < math.inf:
            raise InputError(
                "is not positive and finite", where=f"--{name}", got=value
            )
    for name, limit in (least or {}).items():
        value = getattr(values, name)
        if value is not None and value < limit:
            raise InputError(
                "is too small", where=f"--{name}", got=value,
                expected=f">= {limit}",
            )  # fmt: skip
