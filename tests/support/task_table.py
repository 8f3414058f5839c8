"""Writes the table of docs/tasks.md: `python -m tests.support.task_table`."""

import pathlib

from spactor_tf import tasks
from tests.testdata.task_records import REAL

PATH = pathlib.Path(__file__).absolute().parents[2] / "docs" / "tasks.md"
START, END = "<!-- table: start -->\n", "<!-- table: end -->\n"
_PARTS = ("bbh", "mmlu")  # Each of their parts is a task too.
_HEADER = (
    "task",
    "suite",
    "source",
    "splits",
    "label words",
    "metrics",
    "tested on",
)


def _words(task: tasks.Task) -> str:
    words = [f"`{word}`" for word in task.label_words]
    if task.name in _PARTS and not words:
        return "the question's options"
    if task.name == "record":
        return "the passage's entities"
    if len(words) > 6:
        words = [*words[:2], "...", words[-1]]
    return ", ".join(words) or "free text"


def _row(task: tasks.Task) -> tuple[str, ...]:
    real = task.name in REAL
    name = f"`{task.name}`"
    if task.name in _PARTS:
        prefix = f"{task.name}_"
        count = sum(n.startswith(prefix) for n in tasks.task_names())
        name += f", and {count} single `{prefix}...`"
    splits = [
        ours if ours == theirs else f"{ours} ({theirs})"
        for ours, theirs in task.splits.items()
    ]
    return (
        name,
        task.suite,
        f"`{task.source}`",
        ", ".join(splits),
        _words(task),
        ", ".join(task.metrics),
        "real data" if real else "mock records",
    )


def table() -> str:
    """The table in Markdown, a row a task."""
    listed = [tasks.get_task(name) for name in tasks.task_names()]
    rows = [
        _row(task)
        for task in listed
        if not task.name.startswith(tuple(f"{part}_" for part in _PARTS))
    ]
    lines = [_HEADER, ("---",) * len(_HEADER), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def replaced(text: str) -> str:
    """The document with the table of today."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}{table()}{END}{after}"


if __name__ == "__main__":
    PATH.write_text(replaced(PATH.read_text("utf-8")), "utf-8")
