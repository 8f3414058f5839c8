"""A text-to-text task: records in, examples out, predictions scored.

A task is data: where its records are, how a record becomes a pair of texts,
which words are its labels, and by which metrics its benchmark is scored. All
metrics are in percent (0 to 100), as the benchmarks report them.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from absl import logging

from runkit import InputError
from runkit.errors import check_choice
from spactor_tf.tasks import metrics as metrics_lib
from spactor_tf.tasks import predictions as predictions_lib
from spactor_tf.tasks import records
from spactor_tf.tasks.example import Example


@dataclasses.dataclass(frozen=True)
class Task:
    """A benchmark task in T5's text-to-text form.

    Attributes:
        name: unique among all tasks.
        suite: the benchmark that it belongs to.
        source: "tfds:NAME", or a file pattern of `spactor_tf.tasks.records`.
        splits: name of a split in this package -> its name in the source.
        label_words: the possible targets; empty for free text.
        metrics: names in `spactor_tf.tasks.metrics`, the primary one first.
        to_examples: (record, row in the split) -> its examples.
        postprocess: (generated text, example) -> the text that is scored.
        keep: (example, split in this package) -> whether `load` keeps it.
        file_format: how the benchmark wants its predictions.
    """

    name: str
    suite: str
    source: str
    splits: Mapping[str, str]
    label_words: tuple[str, ...]
    metrics: tuple[str, ...]
    to_examples: Callable[[Mapping[str, Any], int], list[Example]]
    postprocess: Callable[[str, Example], str] = lambda text, example: (
        text.strip()
    )
    keep: Callable[[Example, str], bool] | None = None
    file_format: predictions_lib.FileFormat = predictions_lib.JsonLines()

    def load(
        self,
        split: str,
        limit: int | None = None,
        data_dir: str | os.PathLike | None = None,
    ) -> list[Example]:
        """Reads the examples of a split, in the source's own order.

        Args:
            split: one of `splits`.
            limit: most examples returned; None returns all.
            data_dir: directory of prepared datasets; None takes TFDS's default,
                which the environment variable TFDS_DATA_DIR sets.

        Raises:
            InputError: an unknown split, missing data, a record
                that lacks a field or has an unknown label.
        """
        check_choice(split, self.splits, where=f"split of {self.name}")
        return list(itertools.islice(self._examples(split, data_dir), limit))

    def data_files(
        self, split: str, data_dir: str | os.PathLike | None = None
    ) -> dict[str, Any]:
        """Returns {name: path} of the files that a split is read from.

        The name of a file below the data directory does not depend on where
        that is.

        Args:
            split: one of `splits`.
            data_dir: see `load`.

        Raises:
            InputError: missing data.
        """
        return records.files(self.source, self.splits[split], data_dir)

    def _examples(
        self, split: str, data_dir: str | os.PathLike | None
    ) -> Iterator[Example]:
        source_split = self.splits[split]
        rows = records.read(self.source, source_split, data_dir)
        for row, record in enumerate(rows):
            where = f"{self.source}, {source_split}, record {row}"
            try:
                examples = self.to_examples(record, row)
            except KeyError as error:
                raise InputError(
                    "lacks a field",
                    where=where,
                    got=error.args[0],
                    expected=f"a record of {self.name}",
                ) from None
            except InputError:
                raise
            except Exception as error:  # It may be a user's function.
                last = traceback.extract_tb(error.__traceback__)[-1]
                raise InputError(
                    f"cannot be made examples of {self.name} "
                    f"({type(error).__name__}: {error}; {last.filename}, line "
                    f"{last.lineno})",
                    where=where,
                    got=str(record)[:200],
                ) from None
            self._check(examples, where)
            for example in examples:
                if self.keep is None or self.keep(example, split):
                    yield example

    def _check(self, examples: Any, where: str) -> None:
        """Refuses what `to_examples` may not return."""
        is_whole = isinstance(examples, list | tuple) and all(
            isinstance(example, Example)
            and isinstance(example.inputs, str)
            and isinstance(example.targets, str)
            for example in examples
        )
        if not is_whole:
            raise InputError(
                f"to_examples of {self.name} did not return a list of examples",
                where=where,
                got=examples,
                expected="a list of Example, with texts as inputs and targets",
            )
        for example in examples:
            words = self.options(example)
            if words and example.targets and example.targets not in words:
                raise InputError(
                    f"has a target that is no label word of {self.name}",
                    where=where,
                    got=example.targets,
                    expected=", ".join(words),
                )

    def options(self, example: Example) -> tuple[str, ...]:
        """The texts that rank classification chooses from; () for free text."""
        return tuple(example.meta.get("options", self.label_words))

    def evaluate(
        self, predictions: Sequence[str], examples: Sequence[Example]
    ) -> dict[str, float]:
        """Scores generated (or ranked) texts by the benchmark's metrics.

        Args:
            predictions: one text per example.
            examples: labeled examples of this task.

        Returns:
            {metric: percent}, in the order of `metrics`.

        Raises:
            InputError: no examples, an example without a label, not one
                prediction per example, or a metric that these labels leave
                undefined (one class only).
        """
        texts = self._processed(predictions, examples)
        return metrics_lib.evaluate(
            self.metrics, texts, examples, self.label_words, where=self.name
        )

    def write_predictions(
        self,
        path: str | os.PathLike,
        predictions: Sequence[str],
        examples: Sequence[Example],
    ) -> None:
        """Writes predictions as the benchmark's server wants them.

        A text that is not a label word is written as the first one, with a
        warning: a server takes labels only.

        Args:
            path: the file.
            predictions: one text per example.
            examples: usually of the split "test".

        Raises:
            InputError: not one prediction per example.
        """
        texts = self._processed(predictions, examples)
        if self.label_words:
            strange = sum(text not in self.label_words for text in texts)
            if strange:
                logging.warning(
                    "%s: %d of %d predictions are not label words and are "
                    "written as %r",
                    self.name,
                    strange,
                    len(texts),
                    self.label_words[0],
                )
        self.file_format.write(path, texts, examples, self.label_words)

    def _processed(
        self, predictions: Sequence[str], examples: Sequence[Example]
    ) -> list[str]:
        if len(predictions) != len(examples):
            raise InputError(
                "needs one prediction per example",
                where=self.name,
                got=len(predictions),
                expected=f"{len(examples)} predictions",
            )
        return [
            self.postprocess(text, example)
            for text, example in zip(predictions, examples, strict=True)
        ]
