"""A project's batches as files for people and their tools."""

from __future__ import annotations

import pathlib

import numpy as np

from al_tf.label_tools.tasks import Tasks, write_tasks
from al_tf.loop.label_files import write_questions
from al_tf.project.project import Batch, Project
from runkit.datasets.labels import encode_labels

FOLDER = "to_label"


def write_batch(
    project: Project, batch: Batch, tool: str
) -> list[pathlib.Path]:
    """Writes the tasks of a batch, unless they are there already.

    Args:
        project: of the batch.
        batch: the batch that goes out.
        tool: "csv", or one of `al_tf.label_tools.tasks.TOOLS`.

    Returns:
        The files; the first is the one to import.
    """
    pool, folder = project.pool, project.folder / FOLDER
    places = {name: i for i, name in enumerate(pool.named.tolist())}
    examples = pool.take(np.array([places[i] for i in batch.ids], np.int64))
    stem = f"batch-{batch.name.rpartition('-')[2]}"
    if tool != "csv":
        tasks = Tasks(batch.name, examples, batch.suggested, batch.confidence)
        return write_tasks(folder, stem, tasks, tool)
    suggested: list[object] = []
    if batch.suggested:
        names = [n if pool.multilabel else n[0] for n in batch.suggested]
        suggested = encode_labels(names, pool.classes)[0].tolist()
    path = write_questions(folder, stem, examples, suggested, batch.name)
    return [path, path.with_suffix(".jsonl")]
