"""Tasks whose answer is free text: SQuAD v1.1 and CNN/DailyMail.

SQuAD's punctuation is set apart by spaces, as T5 does ("10-24" becomes
"10 - 24"); a prediction gets its passage's own spacing back, so that scores and
files are those of the official script.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any

from spactor_tf.tasks import predictions
from spactor_tf.tasks.example import Example
from spactor_tf.tasks.task import Task

_SPACE = r"[\t\n\f\r ]"
_PUNCTUATION = re.compile(f"([{re.escape(string.punctuation)}])")


def spaced_punctuation(text: str) -> str:
    """Sets each ASCII punctuation mark apart by single spaces."""
    return re.sub(f"{_SPACE}+", " ", _PUNCTUATION.sub(r" \1 ", text))


def as_in_passage(answer: str, passage: str) -> str:
    """Returns the passage's own writing of a spaced answer, if it has one."""
    tokens = answer.split()
    if not tokens:
        return ""
    pattern = re.escape(tokens[0])
    for before, token in zip(tokens, tokens[1:], strict=False):
        loose = {before, token} & set(string.punctuation)
        pattern += ("\\s*" if loose else "\\s+") + re.escape(token)
    found = re.search(pattern, passage)
    return found.group() if found else answer.strip()


def squad_examples(record: Mapping[str, Any], row: int) -> list[Example]:
    """Returns one example; the first accepted answer is the target."""
    del row
    question = spaced_punctuation(record["question"])
    context = spaced_punctuation(record["context"])
    # Padded texts may begin and end with a space.
    inputs = re.sub(" +", " ", f"question: {question} context: {context}")
    answers = tuple(record["answers"]["text"])
    return [
        Example(
            inputs=inputs,
            targets=spaced_punctuation(answers[0]) if answers else "",
            key=record["id"],
            meta={"answers": answers, "context": record["context"]},
        )
    ]


_SQUAD = Task(
    name="squad",
    suite="SQuAD v1.1",
    source="tfds:squad/v1.1",
    splits={"train": "train", "validation": "validation"},
    label_words=(),
    metrics=("token_f1", "exact_match"),
    to_examples=squad_examples,
    postprocess=lambda prediction, example: as_in_passage(
        prediction, example.meta["context"]
    ),
    file_format=predictions.JsonObject(),
)


def summary_examples(record: Mapping[str, Any], row: int) -> list[Example]:
    """Returns one example: article and highlights."""
    key = record.get("id") or str(row)
    article, summary = record["article"], record["highlights"]
    return [Example(f"summarize: {article}", summary, key)]


_CNN_DAILYMAIL = Task(
    name="cnn_dailymail",
    suite="CNN/DailyMail",
    source="tfds:cnn_dailymail",
    splits={"train": "train", "validation": "validation", "test": "test"},
    label_words=(),
    # T5 chooses its checkpoints by ROUGE-2.
    metrics=("rouge2", "rouge1", "rougeLsum"),
    to_examples=summary_examples,
    file_format=predictions.JsonLines(names=("id", "summary")),
)

TASKS = (_SQUAD, _CNN_DAILYMAIL)
