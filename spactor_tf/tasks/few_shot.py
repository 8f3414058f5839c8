"""Solved exemplars before each question: k-shot evaluation.

MMLU's published scores put 5 exemplars of the same subject before each
question. An encoder cuts its inputs at the end, where the question is; so a
question gets only as many exemplars as fit.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence

from runkit import InputError
from spactor_tf.tasks.example import Example
from spactor_tf.tasks.task import Task

EXEMPLARS = "exemplars"


def check_shots(task: Task, shots: int) -> None:
    """Raises InputError where a task has no exemplars to show."""
    if shots and EXEMPLARS not in task.splits:
        raise InputError(
            f"{task.name} has no exemplars",
            where="--shots",
            got=shots,
            expected=f"0, or a task with a split {EXEMPLARS!r}, as MMLU's",
        )


def load_with_exemplars(
    task: Task,
    split: str,
    shots: int,
    fits: Callable[[str], bool],
    data_dir: str | os.PathLike | None = None,
) -> list[Example]:
    """Loads a split and puts solved exemplars before each question.

    Args:
        task: it must have a split "exemplars" if `shots` is not 0.
        split: what to load.
        shots: most exemplars per question.
        fits: whether the encoder can read a text whole.
        data_dir: see `Task.load`.

    Raises:
        InputError: see `Task.load` and `check_shots`.
    """
    check_shots(task, shots)
    examples = task.load(split, data_dir=data_dir)
    if not shots:
        return examples
    exemplars = task.load(EXEMPLARS, data_dir=data_dir)
    return with_exemplars(examples, exemplars, shots, fits)


def with_exemplars(
    examples: Sequence[Example],
    exemplars: Sequence[Example],
    shots: int,
    fits: Callable[[str], bool] = lambda text: True,
) -> list[Example]:
    """Puts solved exemplars of the same group before each question.

    Args:
        examples: the questions.
        exemplars: solved questions; the first of each group are used.
        shots: most exemplars per question.
        fits: whether a prompt can be read whole; exemplars are left out, the
            last ones first, until it can.

    Returns:
        The examples with longer inputs, in their order; `meta["exemplars"]` is
        the number that each got.
    """
    solved: dict[str, list[str]] = {}
    for exemplar in exemplars:
        start = exemplar.meta.get("instruction", "")
        question = exemplar.inputs.removeprefix(start)
        group = solved.setdefault(exemplar.meta["group"], [])
        group.append(f"{question} {exemplar.targets}\n\n")
    prompted = []
    for example in examples:
        start = example.meta.get("instruction", "")
        question = example.inputs.removeprefix(start)
        before = solved.get(example.meta["group"], [])[:shots]
        while before and not fits(start + "".join(before) + question):
            before.pop()
        inputs = start + "".join(before) + question
        meta = {**example.meta, "exemplars": len(before)}
        prompted.append(dataclasses.replace(example, inputs=inputs, meta=meta))
    return prompted
