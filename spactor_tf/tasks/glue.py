"""GLUE (arXiv 1804.07461): nine tasks on sentences and sentence pairs.

Prefixes, order of the fields and label words are T5's (arXiv 1910.10683,
appendix D). The test splits have no labels: the server keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spactor_tf.tasks import predictions, text
from spactor_tf.tasks.example import Example
from spactor_tf.tasks.task import Task

SUITE = "GLUE"
_SPLITS = {"train": "train", "validation": "validation", "test": "test"}
_PAIR = ("sentence1", "sentence2")
_NLI_WORDS = ("entailment", "neutral", "contradiction")
_TWO_WAY = ("entailment", "not_entailment")
_F1_ACCURACY = ("f1", "accuracy")

# name -> fields in T5's order, label words by id, metrics; the server wants
# class numbers, and the words themselves only for the entailment tasks.
_CLASSIFICATION = {
    "cola": (
        ("sentence",),
        ("unacceptable", "acceptable"),
        ("matthews_corrcoef",),
    ),
    "sst2": (("sentence",), ("negative", "positive"), ("accuracy",)),
    "mrpc": (_PAIR, ("not_equivalent", "equivalent"), _F1_ACCURACY),
    "qqp": (
        ("question1", "question2"),
        ("not_duplicate", "duplicate"),
        _F1_ACCURACY,
    ),
    "qnli": (("question", "sentence"), _TWO_WAY, ("accuracy",)),
    "rte": (_PAIR, _TWO_WAY, ("accuracy",)),
    "wnli": (_PAIR, ("not_entailment", "entailment"), ("accuracy",)),
}
_WORDS_IN_FILE = ("qnli", "rte")


def _classification(name: str) -> Task:
    fields, words, metrics = _CLASSIFICATION[name]
    labels = () if name in _WORDS_IN_FILE else tuple(range(len(words)))
    return Task(
        name=name,
        suite=SUITE,
        source=f"tfds:glue/{name}",
        splits=_SPLITS,
        label_words=words,
        metrics=metrics,
        to_examples=text.classification(name, fields, words),
        file_format=predictions.Tsv(labels),
    )


def _mnli(name: str, kind: str) -> Task:
    """MNLI has one training split and two of each other kind."""
    return Task(
        name=name,
        suite=SUITE,
        source="tfds:glue/mnli",
        splits={
            "train": "train",
            "validation": f"validation_{kind}",
            "test": f"test_{kind}",
        },
        label_words=_NLI_WORDS,
        metrics=("accuracy",),
        to_examples=text.classification(
            "mnli", ("hypothesis", "premise"), _NLI_WORDS
        ),
        file_format=predictions.Tsv(),
    )


# 0.0, 0.2, ... 5.0: T5 makes a choice of 26 words of the regression.
STSB_WORDS = tuple(f"{step / 5:.1f}" for step in range(26))


def stsb_word(score: float) -> str:
    """Returns the word nearest to a score of 0 to 5; a tie goes to even.

    Computed in float32, in which the scores come, as T5 does.
    """
    return f"{np.round(np.float32(score) * np.float32(5)) / 5:.1f}"


def stsb_examples(record: Mapping[str, Any], row: int) -> list[Example]:
    """Returns one example; the target is the word nearest to the score."""
    score = float(record["label"])
    known = score >= 0
    return [
        Example(
            inputs=text.prefixed("stsb", record, _PAIR),
            targets=stsb_word(score) if known else "",
            key=str(record.get("idx", row)),
            # The metrics take the score itself, not the word nearest to it.
            meta={"score": score} if known else {},
        )
    ]


_STSB = Task(
    name="stsb",
    suite=SUITE,
    source="tfds:glue/stsb",
    splits=_SPLITS,
    label_words=STSB_WORDS,
    metrics=("pearson_corrcoef", "spearman_corrcoef"),
    to_examples=stsb_examples,
    file_format=predictions.Tsv(),
)

TASKS = (
    *(_classification(name) for name in _CLASSIFICATION),
    _STSB,
    _mnli("mnli", "matched"),
    _mnli("mnli_mismatched", "mismatched"),
)
