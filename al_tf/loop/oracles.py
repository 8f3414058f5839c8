"""Who answers: the labels of the data set, or people with a file."""

from __future__ import annotations

import pathlib
from typing import Any, Protocol

import numpy as np

from al_tf.loop import label_files
from al_tf.pools.pool import Examples
from runkit import InputError
from runkit.errors import InterruptedRun


class Oracle(Protocol):
    """Labels a batch, or stops the run until there are labels.

    Attributes:
        wants_suggestions: batches are to carry the model's own answers.
    """

    wants_suggestions: bool

    def check_pool(self) -> None:
        """Refuses a pool that cannot be labeled by this oracle."""

    def labels(
        self, number: int, ids: np.ndarray, suggested: list[Any]
    ) -> np.ndarray:
        """Returns the labels of a batch, in its order.

        Args:
            number: of the round.
            ids: `[batch]` int64 positions in the pool.
            suggested: the model's answers as `Examples.labels` has them, or
                nothing.

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
        """Refuses one class only, and examples without a label."""
        if len(self._pool.classes) < 2:
            raise InputError(
                "fewer than two classes", where="--dataset",
                got=self._pool.classes,
            )  # fmt: skip
        unknown = self._pool.rows[~self._pool.labeled]
        if len(unknown):
            raise InputError(
                f"{len(unknown)} examples have no label; example ids "
                f"{unknown[:10].tolist()}",
                where="--dataset",
                got=self._pool.name,
                remedy="Leave them out, or let people label: --oracle=people",
            )

    def labels(
        self, number: int, ids: np.ndarray, suggested: list[Any]
    ) -> np.ndarray:
        """Looks the labels up."""
        del number, suggested
        return self._pool.labels[ids]


class PeopleOracle:
    """Writes what is to be labeled, and reads it when it has been.

    Labels that the pool has are not read here. A stratified seed set looks at
    them (`LoopConfig.seed_set`), whoever answers.

    Args:
        pool: the examples.
        folder: of the run; `to_label/` and `labels/` are in it.
    """

    wants_suggestions = True

    def __init__(self, pool: Examples, folder: pathlib.Path):
        self._pool, self._folder = pool, folder

    def check_pool(self) -> None:
        """Refuses a pool whose classes nobody names."""
        if len(self._pool.classes) < 2:
            raise InputError(
                "fewer than two classes are known",
                where="--classes",
                got=self._pool.classes,
                remedy="Name them: --classes=ham,spam",
            )
        label_files.check_names(self._pool)

    def labels(
        self, number: int, ids: np.ndarray, suggested: list[Any]
    ) -> np.ndarray:
        """Reads the labels file, or stops with where it is expected."""
        batch = self._pool.take(ids)
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
            return label_files.read_labels(found[0], batch)
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
