"""Who answers: the labels of the data set, or people through files."""

from __future__ import annotations

import pathlib
from typing import Protocol

import numpy as np

from al_tf.loop import label_files
from al_tf.loop.label_store import Label
from al_tf.pools.pool import Examples
from runkit import InputError
from runkit.errors import InterruptedRun


class Oracle(Protocol):
    """Labels a batch, or stops the run until there are labels.

    Attributes:
        wants_suggestions: whether batches carry the model's own answers.
    """

    wants_suggestions: bool

    def check_pool(self) -> None:
        """Refuses a pool that cannot be labeled by this oracle."""

    def labels(
        self, number: int, ids: np.ndarray, suggested: list[Label]
    ) -> np.ndarray:
        """Returns the labels of a batch, in its order.

        Args:
            number: the round.
            ids: `[batch]` int64 positions in the pool.
            suggested: the model's answers, as `Examples.labels` has them;
                empty where there are none.

        Raises:
            InterruptedRun: the labels are still to come.
            InputError: the labels that came cannot be used.
        """


class LabelOracle:
    """Answers with the labels that the pool has."""

    wants_suggestions = False

    def __init__(self, pool: Examples):
        self._pool = pool

    def check_pool(self) -> None:
        """Refuses a pool of one class, and examples without a label."""
        if len(self._pool.classes) < 2:
            raise InputError(
                "has fewer than two classes",
                where="--dataset",
                got=self._pool.classes,
            )
        unknown = self._pool.named[~self._pool.labeled]
        if len(unknown):
            raise InputError(
                f"{len(unknown)} examples have no label; example ids "
                f"{unknown[:10].tolist()}",
                where="--dataset",
                got=self._pool.name,
                remedy="Leave them out, or let people label: --oracle=people",
            )

    def labels(
        self, number: int, ids: np.ndarray, suggested: list[Label]
    ) -> np.ndarray:
        """Looks the labels up."""
        del number, suggested
        return self._pool.labels[ids]


class PeopleOracle:
    """Writes what people have to label, and reads their answers.

    The pool's own labels are not used here; only a stratified seed set looks
    at them (`LoopConfig.seed_set`).

    Args:
        pool: the examples.
        folder: directory of the run, with `to_label/` and `labels/`.
    """

    wants_suggestions = True

    def __init__(self, pool: Examples, folder: pathlib.Path):
        self._pool, self._folder = pool, folder

    def check_pool(self) -> None:
        """Refuses a pool whose classes are not named."""
        if len(self._pool.classes) < 2:
            raise InputError(
                "fewer than two classes are known",
                where="--classes",
                got=self._pool.classes,
                remedy="Name them: --classes=ham,spam",
            )
        label_files.check_names(self._pool)

    def labels(
        self, number: int, ids: np.ndarray, suggested: list[Label]
    ) -> np.ndarray:
        """Reads the labels file, or stops and says where it is expected."""
        answers = self.answered(number, ids)
        if answers is not None:
            return answers
        batch, stem = self._pool.take(ids), f"round-{number:03d}"
        asked = label_files.write_questions(
            self._folder / "to_label", stem, batch, suggested
        )
        raise InterruptedRun(
            f"round {number}: {len(ids)} examples wait for their labels.\n"
            f"  1. Fill in the column `label` of {asked}\n"
            f"     with one of: {', '.join(batch.classes)}\n"
            f"  2. Save it as {self._folder / 'labels' / asked.name}\n"
            "  3. Run the same command again"
        )

    def answered(self, number: int, ids: np.ndarray) -> np.ndarray | None:
        """Reads the labels file of a round; None if there is none."""
        stem = f"round-{number:03d}"
        found = [
            self._folder / "labels" / f"{stem}{suffix}"
            for suffix in label_files.SUFFIXES
        ]
        found = [path for path in found if path.exists()]
        if len(found) > 1:
            raise InputError(
                "two labels files for one round",
                where=str(found[0]),
                got=found[1].name,
                remedy="Leave one of them",
            )
        if found:
            return label_files.read_labels(found[0], self._pool.take(ids))
        return None
