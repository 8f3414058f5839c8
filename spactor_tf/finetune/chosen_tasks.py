"""The tasks of a run: published ones, a user's files, a user's module."""

from __future__ import annotations

import importlib
import pathlib
import sys
import traceback

from runkit import InputError
from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.tasks import TASKS, Task, get_task
from spactor_tf.tasks.own_files import is_own, own_task


def chosen_tasks(config: FinetuneConfig) -> list[Task]:
    """Returns the tasks that a configuration names, in its order.

    Args:
        config: of the run; its `task_module` is imported first.

    Raises:
        InputError: an unknown task, a module that cannot be imported, options
            of own files without one, two tasks of one name.
    """
    if config.task_module:
        import_tasks(config.task_module)
    files = [name for name in config.task_names if is_own(name)]
    own = config.own
    given = [
        f"--{name}"
        for name in ("metrics", "label_words", "validation_file", "test_file")
        if getattr(own, name)
    ]
    if given and not files:
        raise InputError(
            "is for tasks of your own files",
            where=given[0],
            got=config.task,
            expected="--task=tsv:PATH or --task=jsonl:PATH:INPUT:TARGET",
        )
    if len(files) > 1 and (own.validation_file or own.test_file):
        raise InputError(
            "belongs to one file, but several are tasks",
            where="--validation_file or --test_file",
            got=config.task,
            remedy="Leave it out, or define the tasks in a module: --import",
        )
    tasks = [
        own_task(
            name,
            metrics=own.metric_names,
            label_words=own.words,
            holdout=own.holdout,
            validation_file=own.validation_file,
            test_file=own.test_file,
        )
        if is_own(name)
        else get_task(name)
        for name in config.task_names
    ]
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"two tasks are called {name!r}",
                where="--task",
                got=config.task,
                remedy="A file's task has the file's name: rename one",
            )
    return tasks


def import_tasks(module: str) -> None:
    """Imports a module of the user, which registers tasks.

    The working directory is looked in too, as it is by `python -m`.

    Args:
        module: its dotted name.

    Raises:
        InputError: there is none, it fails, or it registers no task.
    """
    if module in sys.modules:
        return
    here = str(pathlib.Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    before = set(TASKS)
    try:
        importlib.import_module(module)
    except InputError as error:
        # `register` has refused a task.
        raise InputError(
            f"{module} cannot be used ({error})", where="--import"
        ) from None
    except (Exception, SystemExit) as error:
        raise _import_error(module, error) from None
    if set(TASKS) == before:
        raise InputError(
            "registers no task",
            where="--import",
            got=module,
            expected="calls of spactor_tf.tasks.register",
        )


def _import_error(module: str, error: BaseException) -> InputError:
    """Says why a module could not be imported, and where it failed."""
    missing = getattr(error, "name", None)
    is_absent = isinstance(error, ModuleNotFoundError) and (
        module == missing or module.startswith(f"{missing}.")
    )
    if is_absent or isinstance(error, TypeError) and module.startswith("."):
        return InputError(
            "there is no such module",
            where="--import",
            got=module,
            expected="its dotted name: my_tasks for my_tasks.py",
            remedy="Run the command where the module lies, or add its folder "
            "to PYTHONPATH",
        )
    frames = traceback.extract_tb(error.__traceback__)
    last = [f for f in frames if not f.filename.startswith("<")][-1]
    place = f"{last.filename}, line {last.lineno}"
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}, line {error.lineno}"
    return InputError(
        f"cannot be imported ({type(error).__name__}: {error})",
        where=f"--import={module}, {place}",
    )
