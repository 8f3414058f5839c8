"""IMDb reviews (Maas et al. 2011): sentiment of whole texts.

T5 has no published form of it; this one follows the form of its GLUE tasks.
A tenth of the training split serves as validation, since there is none: the
test split stays unseen until the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from spactor_tf.tasks import predictions, text
from spactor_tf.tasks.example import Example
from spactor_tf.tasks.task import Task

_WORDS = ("negative", "positive")
_LINE_BREAK = re.compile(r"(?:\s*<br\s*/?>\s*)+")


def imdb_examples(record: Mapping[str, Any], row: int) -> list[Example]:
    """Returns one example; HTML line breaks become spaces."""
    review = _LINE_BREAK.sub(" ", record["text"])
    inputs = text.prefixed("imdb", {"text": review}, ["text"])
    return [Example(inputs, text.label_word(record, _WORDS), str(row))]


TASKS = (
    Task(
        name="imdb",
        suite="IMDb",
        source="tfds:imdb_reviews/plain_text",
        splits={
            "train": "train[:90%]",
            "validation": "train[90%:]",
            "test": "test",
            "unlabeled": "unsupervised",
        },
        label_words=_WORDS,
        metrics=("accuracy",),
        to_examples=imdb_examples,
        file_format=predictions.Tsv((0, 1)),
    ),
)
