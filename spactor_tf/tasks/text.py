"""T5's text form of a record: the task's name, then "field: value" pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runkit import InputError
from spactor_tf.tasks.example import Example

UNLABELED = -1  # TFDS's label where a benchmark keeps its labels to itself.


def prefixed(
    prefix: str, record: Mapping[str, Any], fields: Sequence[str]
) -> str:
    """Returns "prefix field1: value1 field2: value2"."""
    pairs = (f"{field}: {record[field]}" for field in fields)
    return " ".join([prefix, *pairs])


def label_word(record: Mapping[str, Any], words: Sequence[str]) -> str:
    """Returns the word of the record's label; "" where it is unknown.

    Raises:
        InputError: a label outside 0..len(words)-1, which has no word.
    """
    label = int(record["label"])
    if label == UNLABELED:
        return ""
    if not 0 <= label < len(words):
        raise InputError(
            "unknown label",
            where="record",
            got=record["label"],
            expected=f"0 to {len(words) - 1}, or {UNLABELED} for none",
        )
    return words[label]


def classification(
    prefix: str, fields: Sequence[str], words: Sequence[str]
) -> Callable[[Mapping[str, Any], int], list[Example]]:
    """Returns the `to_examples` of a task with one label per record.

    Args:
        prefix: the task's published name.
        fields: text features in the order in which T5 reads them.
        words: label words by label id.
    """

    def to_examples(record: Mapping[str, Any], row: int) -> list[Example]:
        inputs = prefixed(prefix, record, fields)
        key = str(record.get("idx", row))
        return [Example(inputs, label_word(record, words), key)]

    return to_examples
