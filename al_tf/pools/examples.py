"""Inputs and labels in memory, and what can be done with them."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence

import numpy as np

from runkit import InputError
from runkit.datasets.labels import UNKNOWN, encode_labels, renumber

__all__ = [
    "UNKNOWN",
    "Examples",
    "check_same_frame",
    "encode_labels",
    "hold_out",
    "make_examples",
    "with_classes",
]


@dataclasses.dataclass(frozen=True)
class Examples:
    """Inputs and labels of a pool or a test set.

    Attributes:
        name: the specification that it was read from.
        kind: "text", "image" or "embedding".
        inputs: `[n]` object array of str; `[n, height, width, channels]`
            uint8; or `[n, d]` float32.
        labels: `[n]` int64 class numbers; multi-label: `[n, classes]` int8 of
            0 and 1. `UNKNOWN` (in the whole row) where there is none.
        classes: names of the classes, by number.
        multilabel: an example may have any number of classes.
        rows: `[n]` int64, the row of each example in its source; what files
            call `example_id`.
        ids: `[n]` object array of str or of int, the ids of the source, which
            take the place of rows in files; None without any.
        id_name: what files call the ids.
    """

    name: str
    kind: str
    inputs: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    multilabel: bool
    rows: np.ndarray
    ids: np.ndarray | None = None
    id_name: str = "example_id"

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def labeled(self) -> np.ndarray:
        """`[n]` bool: examples whose label is known."""
        known = self.labels != UNKNOWN
        return known.all(1) if self.multilabel else known

    @property
    def named(self) -> np.ndarray:
        """`[n]` what files and messages call the examples."""
        return self.rows if self.ids is None else self.ids

    @property
    def fingerprint(self) -> str:
        """Changes when inputs, labels or classes do."""
        if self.kind == "text":
            lines = "\0".join(self.inputs).encode("utf-8", "surrogatepass")
            value = zlib.crc32(lines)
        else:
            value = zlib.crc32(np.ascontiguousarray(self.inputs).data)
        value = zlib.crc32(np.ascontiguousarray(self.labels).data, value)
        if self.ids is not None:
            value = zlib.crc32(repr(self.ids.tolist()).encode(), value)
        return f"{zlib.crc32(repr(self.classes).encode(), value):08x}"

    def take(self, positions: np.ndarray) -> Examples:
        """Returns the examples at `positions`, which keep their rows."""
        return dataclasses.replace(
            self,
            inputs=self.inputs[positions],
            labels=self.labels[positions],
            rows=self.rows[positions],
            ids=None if self.ids is None else self.ids[positions],
        )


def make_examples(
    kind: str,
    inputs: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    multilabel: bool = False,
) -> Examples:
    """Examples in memory, as `open_pool` would read them."""
    return Examples(
        name="memory",
        kind=kind,
        inputs=inputs,
        labels=labels,
        classes=tuple(str(name) for name in classes),
        multilabel=multilabel,
        rows=np.arange(len(inputs)),
    )


def with_classes(
    examples: Examples, classes: Sequence[str], where: str
) -> Examples:
    """Numbers the labels as `classes` does; the names stay the same.

    Args:
        examples: with class names of their own, in any order.
        classes: all names.
        where: shown in messages.

    Raises:
        InputError: an example of a class that is not in `classes`; a matrix
            of labels that has no column for one of `classes`.
    """
    own, classes = examples.classes, tuple(classes)
    if own == classes:
        return examples
    # Lists in a file name all classes of an example; columns might lack some.
    missing = sorted({*classes} - {*own})
    if missing and examples.multilabel and examples.kind != "text":
        raise InputError(
            f"has no column of labels for the class {missing[0]!r}",
            where=where,
            got=own,
            expected=", ".join(classes),
        )
    return dataclasses.replace(
        examples,
        labels=renumber(
            examples.labels, own, classes, rows=examples.named, where=where
        ),
        classes=classes,
    )


def hold_out(
    pool: Examples, fraction: float, seed: int = 0
) -> tuple[Examples, Examples]:
    """Splits a pool at random into (rest, test).

    Only labeled examples are held out: the others can test nothing. The
    choice depends on `seed` alone, so that every run over the same pool tests
    on the same examples.

    Args:
        pool: all examples.
        fraction: of the labeled examples that become the test set.
        seed: of the choice.
    """
    known = np.flatnonzero(pool.labeled)
    count = round(fraction * len(known))
    held = np.random.default_rng(seed).choice(known, count, replace=False)
    is_test = np.zeros(len(pool), bool)
    is_test[held] = True
    return pool.take(np.flatnonzero(~is_test)), pool.take(
        np.flatnonzero(is_test)
    )


def check_same_frame(pool: Examples, test: Examples) -> None:
    """Refuses a test set that the pool's model could not judge."""
    same_kind = pool.kind == test.kind
    if not same_kind or pool.inputs.shape[1:] != test.inputs.shape[1:]:
        raise InputError(
            "examples of another shape than those of the pool",
            where="--test",
            got=_shape(test),
            expected=_shape(pool),
        )
    if pool.multilabel != test.multilabel:
        kinds = ("one class each", "any number of classes each")
        raise InputError(
            "examples with another kind of labels than those of the pool",
            where="--test",
            got=kinds[test.multilabel],
            expected=kinds[pool.multilabel],
        )
    if pool.classes != test.classes:
        raise InputError(
            "other classes than those of the pool",
            where="--test",
            got=test.classes,
            expected=", ".join(pool.classes),
        )


def _shape(examples: Examples) -> str:
    return f"{examples.kind} of shape {list(examples.inputs.shape[1:])}"
