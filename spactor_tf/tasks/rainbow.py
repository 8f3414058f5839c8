"""Rainbow (arXiv 2103.13009): six tasks of common-sense reasoning.

Inputs and label words are the published ones: the task's name in brackets,
then each field between tags. TFDS's own `anli` is another dataset
(Adversarial NLI), and it has no Social IQA: these two are read from the files
that the authors publish, unpacked below rainbow/anli and rainbow/socialiqa.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from runkit.errors import check_choice
from spactor_tf.tasks import predictions, text
from spactor_tf.tasks.example import Example
from spactor_tf.tasks.task import Task

SUITE = "Rainbow"
_SPLITS = {"train": "train", "validation": "validation", "test": "test"}


def _tagged(tag: str, value: str | Sequence) -> Iterator[str]:
    if isinstance(value, str):
        yield f"<{tag}>{value}</{tag}>"
        return
    for number, item in enumerate(value):
        yield from _tagged(f"{tag} {number}", item)


def _to_examples(
    published: str, tags: Mapping[str, str], words: tuple[str, ...]
) -> Callable[[Mapping[str, Any], int], list[Example]]:
    def to_examples(record: Mapping[str, Any], row: int) -> list[Example]:
        lines = [f"[{published}]:"]
        for field, tag in tags.items():
            lines.extend(_tagged(tag, record[field]))
        # Files have words, TFDS has numbers, tests have no label.
        label = record.get("label", text.UNLABELED)
        if isinstance(label, str):
            word = check_choice(label, words, where="label of a record")
        else:
            word = text.label_word({"label": label}, words)
        return [Example("\n".join(lines), word, str(row))]

    return to_examples


def _same(*fields: str) -> dict[str, str]:
    return dict(zip(fields, fields, strict=True))


def _task(
    name: str,
    published: str,
    source: str,
    tags: Mapping[str, str],
    words: tuple[str, ...],
    splits: Mapping[str, str] = _SPLITS,
) -> Task:
    return Task(
        name=name,
        suite=SUITE,
        source=source,
        splits=splits,
        label_words=words,
        metrics=("accuracy",),
        to_examples=_to_examples(published, tags, words),
        file_format=predictions.Lines(),
    )


_ANSWERS = ("answer0", "answer1", "answer2", "answer3")

TASKS = (
    _task(
        "anli",
        "anli",
        "jsonl:rainbow/anli/{split}.jsonl",
        _same("obs1", "obs2", "hyp1", "hyp2"),
        ("1", "2"),
        {
            "train": "train",
            "validation": "dev",
            "test": "alphanli-test/anli",
        },
    ),
    _task(
        "cosmosqa",
        "cosmosqa",
        "tfds:cosmos_qa",
        _same("context", "question", *_ANSWERS),
        ("0", "1", "2", "3"),
    ),
    _task(
        "hellaswag",
        "hellaswag",
        "tfds:hellaswag",
        {"context": "ctx", "endings": "ending_options"},
        ("0", "1", "2", "3"),
    ),
    _task(
        "piqa",
        "physicaliqa",
        "tfds:piqa",
        _same("goal", "sol1", "sol2"),
        ("0", "1"),
        {"train": "train", "validation": "validation"},
    ),
    _task(
        "socialiqa",
        "socialiqa",
        "jsonl:rainbow/socialiqa/{split}.jsonl",
        _same("context", "question", "answerA", "answerB", "answerC"),
        ("1", "2", "3"),
        {
            "train": "socialiqa-train-dev/train",
            "validation": "socialiqa-train-dev/dev",
            "test": "socialiqa-test/socialiqa",
        },
    ),
    _task(
        "winogrande",
        "winogrande",
        "tfds:winogrande",
        _same("sentence", "option1", "option2"),
        ("1", "2"),
        {
            "train": "train_xl",
            "validation": "validation",
            "test": "test",
            **{f"train_{size}": f"train_{size}" for size in ("xs", "s", "m")},
            "train_l": "train_l",
        },
    ),
)
