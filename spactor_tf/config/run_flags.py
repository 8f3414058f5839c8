"""What the binaries of pre-training and fine-tuning read from their flags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spactor_tf.config import overrides

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
