"""What a task makes of a record: a pair of texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Example:
    """One pair of texts.

    Attributes:
        inputs: what the encoder reads, with the task's prefix.
        targets: what the decoder is to write; "" where the label is unknown.
        key: the benchmark's own index, or the row in the split.
        meta: what metrics, ranking and the predictions file need of the
            record; the keys are given in each suite's module.
    """

    inputs: str
    targets: str
    key: str
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)
