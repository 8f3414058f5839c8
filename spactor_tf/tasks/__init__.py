"""Benchmark tasks in T5's text-to-text form, with their official metrics.

task = spactor_tf.tasks.get_task("sst2")
examples = task.load("validation")
task.evaluate(["positive"] * len(examples), examples)
"""

from __future__ import annotations

from runkit.errors import check_choice
from spactor_tf.tasks import (
    generation,
    glue,
    prompted,
    rainbow,
    sentiment,
    super_glue,
)
from spactor_tf.tasks.example import Example
from spactor_tf.tasks.task import Task

__all__ = ["TASKS", "Example", "Task", "get_task", "task_names"]

_MODULES = (glue, super_glue, generation, sentiment, rainbow, prompted)
TASKS = {task.name: task for module in _MODULES for task in module.TASKS}


def task_names() -> tuple[str, ...]:
    """Names of all tasks, by suite."""
    return tuple(TASKS)


def get_task(name: str) -> Task:
    """Returns a task by its name.

    Raises:
        InputError: an unknown name; the message names the closest known one.
    """
    return TASKS[check_choice(name, TASKS, where="task")]
