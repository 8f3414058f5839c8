"""What a fine-tuning run was trained and tested on, kept in its folder.

    output_dir/data.json    {"content": {"TASK, SPLIT": {file: its SHA-256}}}

As with the corpus of a pre-training run, a later start with other data is
refused with the difference. The texts that a user's own module makes of its
records have an entry too: a change of the module is a change of the data.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from runkit import InputError, write_json
from runkit.datasets import inputs
from runkit.files import Content, as_path, changes, contents, read_record
from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.finetune.chosen_tasks import chosen_tasks
from spactor_tf.tasks import PUBLISHED, Task, few_shot
from spactor_tf.tasks.own_files import OwnTask

RECORD = "data.json"


class DataRecord:
    """The data of a run, compared with those of its earlier starts.

    Args:
        tasks: of the run.
        config: of the run.
        folder: of the run, which may have a record already.
        data_dir: directory of prepared datasets; None is TFDS's default.
        accept_changed: go on with other data than the run's.

    Attributes:
        changes: what differs from the earlier starts, in words.

    Raises:
        InputError: data that are not there, or that differ.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        config: FinetuneConfig,
        folder: pathlib.Path,
        data_dir: str | os.PathLike | None = None,
        accept_changed: bool = False,
    ):
        self._path = folder / RECORD
        self._before = read_record(self._path, "a run's data").get(
            "content", {}
        )
        self._now: dict[str, Content] = {}
        for task in tasks:
            for split in _splits(task, config):
                name = f"{task.name}, {split}"
                known = self._before.get(name)
                self._now[name] = _content(
                    name, task, split, config, data_dir, known
                )
        # A split that the earlier starts did not read has no entry.
        found = [
            changes(self._before[name], self._now[name])
            for name in self._before.keys() & self._now.keys()
        ]
        self.changes = sorted({words for part in found for words in part})
        if self.changes and not accept_changed:
            raise InputError(
                "are not the data of this run's earlier start",
                where="--task",
                got="; ".join(self.changes),
                remedy="Restore them, take another --output_dir, or go on with "
                "the other data by --accept_changed_data",
            )

    def write(self) -> None:
        """Writes the record, and warns of what was accepted."""
        if self.changes:
            print(f"warning: {'; '.join(self.changes)}", file=sys.stderr)
        write_json(self._path, {"content": {**self._before, **self._now}})


def has_same_data(
    config: FinetuneConfig,
    folder: pathlib.Path,
    data_dir: str | os.PathLike | None = None,
    accept_changed: bool = False,
) -> bool:
    """Whether a run's data are those of its earlier starts, if it has any.

    A run without a record, of an older version or not begun yet, has.

    Raises:
        InputError: they are not, and that is not accepted.
    """
    if not (folder / RECORD).is_file():
        return True
    tasks = chosen_tasks(config)
    record = DataRecord(tasks, config, folder, data_dir, accept_changed)
    return not record.changes


def _splits(task: Task, config: FinetuneConfig) -> list[str]:
    """The splits that a run reads."""
    wanted = {
        "train": config.train_steps > 0,
        "validation": True,
        "test": config.evaluation.test,
        few_shot.EXEMPLARS: config.evaluation.shots > 0,
    }
    return [name for name in wanted if wanted[name] and name in task.splits]


def _content(
    name: str,
    task: Task,
    split: str,
    config: FinetuneConfig,
    data_dir: str | os.PathLike | None,
    before: Content | None,
) -> Content:
    """The files of a split, and the examples that foreign code makes."""
    found: Content = {}
    if type(task) in (Task, OwnTask):  # A user's class may read anything.
        files = task.data_files(split, data_dir)
        paths = {file: as_path(os.fspath(files[file])) for file in files}
        identity = inputs.identity(paths.values(), paths)
        found = contents(
            identity, before, lambda file: inputs.sha256(paths[file])
        )
    if task.name not in PUBLISHED and type(task) is not OwnTask:
        limit = config.data.train_examples if split == "train" else None
        digest = hashlib.sha256()
        digest.update(_line(task.label_words, task.metrics))
        examples = task.load(split, limit, data_dir)
        for example in examples:
            digest.update(
                _line(example.inputs, example.targets, example.key)
                + _line(dict(example.meta))
            )
        found[f"what the code of {name} makes of it"] = {
            "sha256": digest.hexdigest(),
            "examples": len(examples),
        }
    return found


def _line(*values: Any) -> bytes:
    """Values as a line of bytes; what JSON cannot hold is left out."""
    text = json.dumps(values, sort_keys=True, default=lambda value: None)
    return text.encode() + b"\n"
