"""What the binaries of pre-training and fine-tuning read from their flags."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

from runkit import InputError
from runkit.flag_values import check_flags
from spactor_tf import overrides

# (flag, field of the configuration, help).
FieldFlag = tuple[str, str, str]


def given_fields(values: Any, table: Iterable[FieldFlag]) -> dict[str, Any]:
    """Returns {field: text} of the flags that were given, --set included.

    Args:
        values: absl flags, with `set` among them.
        table: the flags that stand for fields.

    Raises:
        InputError: a --set that is no assignment.
    """
    fields = {
        field: getattr(values, name)
        for name, field, _ in table
        if getattr(values, name) is not None
    }
    return fields | overrides.assignments(values.set)


def output_folder(values: Any) -> pathlib.Path:
    """Returns the folder of --output_dir, which need not be there yet.

    Raises:
        InputError: the flag is missing, or names a file.
    """
    check_flags(values, required=("output_dir",))
    folder = pathlib.Path(values.output_dir)
    if folder.exists() and not folder.is_dir():
        raise InputError(
            "is no folder", where="--output_dir", got=values.output_dir
        )
    return folder
