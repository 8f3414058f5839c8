"""Benchmark tasks in T5's text-to-text form, with their official metrics.

task = spactor_tf.tasks.get_task("sst2")
examples = task.load("validation")
task.evaluate(["positive"] * len(examples), examples)

Tasks of your own: `own_files` for files named on the command line, `register`
for what a module defines.
"""

from __future__ import annotations

from runkit import InputError
from runkit.errors import check_choice
from spactor_tf.tasks import (
    generation,
    glue,
    metrics,
    prompted,
    rainbow,
    sentiment,
    super_glue,
)
from spactor_tf.tasks.example import Example
from spactor_tf.tasks.task import Task

__all__ = [
    "PUBLISHED",
    "TASKS",
    "Example",
    "Task",
    "get_task",
    "register",
    "task_names",
]

_MODULES = (glue, super_glue, generation, sentiment, rainbow, prompted)
TASKS = {task.name: task for module in _MODULES for task in module.TASKS}
PUBLISHED = frozenset(TASKS)  # `register` adds to TASKS.


def task_names() -> tuple[str, ...]:
    """Names of all tasks, by suite."""
    return tuple(TASKS)


def get_task(name: str) -> Task:
    """Returns a task by its name.

    Raises:
        InputError: an unknown name; the message names the closest known one.
    """
    return TASKS[check_choice(name, TASKS, where="task")]


def register(task: Task) -> Task:
    """Makes a task known by its name, as `--import` expects of a module.

    Args:
        task: with a name of its own, and a split "train" or "test".

    Returns:
        The task itself.

    Raises:
        InputError: no task, a name that is taken or cannot be one, an unknown
            metric, or no split to train or test on.
    """
    if not isinstance(task, Task):
        raise InputError(
            "is not a task", where="register", got=task, expected="a Task"
        )
    where = f"task {task.name!r}"
    if not task.name or set(task.name) & set(",:/\\ "):
        raise InputError(
            "is not a name",
            where="register",
            got=task.name,
            expected="letters, digits, '_', '-', '.'",
        )
    if task.name in TASKS:
        raise InputError(
            "the name is taken",
            where=where,
            got=task.name,
            remedy="Give it another name",
        )
    for name in task.metrics:
        check_choice(name, metrics.NAMES, where=f"metrics of {where}")
    if not task.metrics or not {"train", "test"} & set(task.splits):
        raise InputError(
            "has no metrics" if not task.metrics else "has no split to use",
            where=where,
            expected="metrics, and splits named train, validation or test",
        )
    TASKS[task.name] = task
    return task
