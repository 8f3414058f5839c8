"""Predictions in the file format of each benchmark's server."""

from __future__ import annotations

import collections
import csv
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from runkit import atomic_write
from spactor_tf.tasks.example import Example

# A benchmark's own name of a class.
ServerLabel = str | int


class FileFormat(Protocol):
    """How a benchmark wants its predictions.

    Attributes:
        suffix: of the file's name.
    """

    suffix: ClassVar[str]

    def write(
        self,
        path: str | os.PathLike,
        predictions: Sequence[str],
        examples: Sequence[Example],
        label_words: Sequence[str],
    ) -> None:
        """Writes one prediction per example; the file appears whole."""


def server_label(
    text: str,
    label_words: Sequence[str],
    labels: Sequence[ServerLabel],
) -> ServerLabel:
    """Returns the server's name of a predicted word.

    Free text stays as it is; a text that is not one of the words counts as the
    first, since servers refuse files with any other value.

    Args:
        text: the prediction.
        label_words: the task's words, () for free text.
        labels: the server's names in the order of the words; () if they are
            the words themselves.
    """
    if not label_words:
        return text
    index = label_words.index(text) if text in label_words else 0
    return (labels or label_words)[index]


def _write_lines(
    path: str | os.PathLike, values: Sequence[Mapping[str, Any]]
) -> None:
    with atomic_write(path) as handle:
        for value in values:
            handle.write(json.dumps(value, ensure_ascii=False) + "\n")


def _index(key: str) -> int | str:
    return int(key) if key.isdecimal() else key


@dataclasses.dataclass(frozen=True)
class Tsv:
    """GLUE: a header and lines of index and prediction, by index.

    Attributes:
        labels: the server's labels in the order of the label words.
    """

    suffix: ClassVar[str] = ".tsv"
    labels: tuple[ServerLabel, ...] = ()

    def write(
        self,
        path: str | os.PathLike,
        predictions: Sequence[str],
        examples: Sequence[Example],
        label_words: Sequence[str],
    ) -> None:
        """Writes the lines."""
        rows = [
            (_index(e.key), server_label(p, label_words, self.labels))
            for p, e in zip(predictions, examples, strict=True)
        ]
        with atomic_write(path) as handle:
            writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
            writer.writerow(["index", "prediction"])
            writer.writerows(sorted(rows))


@dataclasses.dataclass(frozen=True)
class JsonLines:
    """SuperGLUE: one object with index and label per line, by index.

    Attributes:
        labels: the server's labels in the order of the label words.
        names: the fields' names.
        empty: written for a text without words.
    """

    suffix: ClassVar[str] = ".jsonl"
    labels: tuple[ServerLabel, ...] = ()
    names: tuple[str, str] = ("idx", "label")
    empty: str = ""

    def write(
        self,
        path: str | os.PathLike,
        predictions: Sequence[str],
        examples: Sequence[Example],
        label_words: Sequence[str],
    ) -> None:
        """Writes the lines."""
        index, label = self.names
        by_key = {
            _index(e.key): server_label(
                p or self.empty, label_words, self.labels
            )
            for p, e in zip(predictions, examples, strict=True)
        }
        _write_lines(
            path, [{index: k, label: by_key[k]} for k in sorted(by_key)]
        )


@dataclasses.dataclass(frozen=True)
class MultiRc:
    """SuperGLUE's MultiRC: one passage per line, with questions and answers.

    The examples carry "paragraph", "question" and "answer", the three indices.
    """

    suffix: ClassVar[str] = ".jsonl"

    def write(
        self,
        path: str | os.PathLike,
        predictions: Sequence[str],
        examples: Sequence[Example],
        label_words: Sequence[str],
    ) -> None:
        """Writes the lines."""
        answers: dict[int, dict[int, dict[int, ServerLabel]]] = (
            collections.defaultdict(lambda: collections.defaultdict(dict))
        )
        for text, example in zip(predictions, examples, strict=True):
            meta = example.meta
            label = server_label(text, label_words, (0, 1))
            question = answers[meta["paragraph"]][meta["question"]]
            question[meta["answer"]] = label
        _write_lines(path, [_passage(p, answers[p]) for p in sorted(answers)])


def _passage(
    index: int, questions: Mapping[int, Mapping[int, ServerLabel]]
) -> dict[str, Any]:
    listed = [
        {
            "idx": question,
            "answers": [
                {"idx": answer, "label": questions[question][answer]}
                for answer in sorted(questions[question])
            ],
        }
        for question in sorted(questions)
    ]
    return {"idx": index, "passage": {"questions": listed}}


@dataclasses.dataclass(frozen=True)
class JsonObject:
    """SQuAD: one object, question id -> answer."""

    suffix: ClassVar[str] = ".json"

    def write(
        self,
        path: str | os.PathLike,
        predictions: Sequence[str],
        examples: Sequence[Example],
        label_words: Sequence[str],
    ) -> None:
        """Writes the object."""
        del label_words
        keys = [example.key for example in examples]
        answers = dict(zip(keys, predictions, strict=True))
        with atomic_write(path) as handle:
            json.dump(answers, handle, ensure_ascii=False)
            handle.write("\n")


@dataclasses.dataclass(frozen=True)
class Lines:
    """Rainbow's leaderboards: one label per line, in the order of the split.

    Attributes:
        labels: the leaderboard's labels in the order of the label words.
    """

    suffix: ClassVar[str] = ".lst"
    labels: tuple[ServerLabel, ...] = ()

    def write(
        self,
        path: str | os.PathLike,
        predictions: Sequence[str],
        examples: Sequence[Example],
        label_words: Sequence[str],
    ) -> None:
        """Writes the lines."""
        del examples
        with atomic_write(path) as handle:
            for text in predictions:
                label = server_label(text, label_words, self.labels)
                handle.write(f"{label}\n")
