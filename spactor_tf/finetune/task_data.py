"""The examples of a fine-tuning run, loaded and checked before any step."""

from __future__ import annotations

import os
from collections.abc import Sequence

from runkit import InputError
from runkit.errors import check_choice
from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.finetune.mixture import Mixture, tokenized_task
from spactor_tf.finetune.predictor import ranked_examples
from spactor_tf.inference.decoding import label_targets
from spactor_tf.tasks import Example, Task, few_shot


class TaskData:
    """The splits of a run's tasks.

    Args:
        tasks: of the run.
        vocabulary: of the model.
        config: of the run.
        data_dir: directory of prepared datasets; None is TFDS's default.

    Attributes:
        validation: examples of each task that has a validation split, by the
            task's name.

    Raises:
        InputError: missing data, label words that the model cannot tell apart
            or write, examples that cannot be scored as the run wants.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        vocabulary: Vocabulary,
        config: FinetuneConfig,
        data_dir: str | os.PathLike | None = None,
    ):
        self._tasks, self._vocabulary = tasks, vocabulary
        self._config, self._data_dir = config, data_dir
        self.validation = self._load_validation()
        for task in tasks:
            if "test" in self.final_splits(task):
                self._check_test(task)

    def _check_test(self, task: Task) -> None:
        """Refuses a test split that could not be scored after the training."""
        where = f"test split of {task.name}"
        examples = task.load("test", None, self._data_dir)
        if not examples:
            raise InputError("is empty", where=where)
        if all(example.targets for example in examples):
            try:
                task.evaluate([e.targets for e in examples], examples)
            except InputError as error:
                raise InputError(str(error), where=where) from None

    def questions(self, task: Task, split: str) -> list[Example]:
        """Loads a split to evaluate, with the exemplars that are wanted."""
        length = self._config.data.input_length
        return few_shot.load_with_exemplars(
            task,
            split,
            self._config.evaluation.shots,
            lambda text: len(self._vocabulary.encode([text])[0]) < length,
            self._data_dir,
        )

    def final_splits(self, task: Task) -> list[str]:
        """Returns the splits of a task that are predicted at the end."""
        wanted = ["validation", *(["test"] * self._config.evaluation.test)]
        return [split for split in wanted if split in task.splits]

    def mixture(self) -> Mixture:
        """Loads and tokenizes the training splits.

        Raises:
            InputError: a task without a training split, or one without
                examples or with unlabeled ones.
        """
        data = self._config.data
        parts = []
        for task in self._tasks:
            check_choice("train", task.splits, where=f"splits of {task.name}")
            examples = task.load("train", data.train_examples, self._data_dir)
            parts.append(
                tokenized_task(
                    task.name,
                    examples,
                    self._vocabulary,
                    data.input_length,
                    data.target_length,
                )
            )
        return Mixture(
            tuple(parts),
            data.examples_cap,
            self._config.batch_size,
            self._config.seed,
            data.input_length,
            data.target_length,
            static=self._config.runtime.strategy == "tpu",
        )

    def _load_validation(self) -> dict[str, list[Example]]:
        method = self._config.evaluation.method
        loaded = {}
        for task in self._tasks:
            self._check_labels(task)
            few_shot.check_shots(task, self._config.evaluation.shots)
            if "validation" not in task.splits and not self._config.train_steps:
                # Evaluation only, on the test split.
                ranked_examples(task, self.questions(task, "test"), method)
                continue
            examples = self.questions(task, "validation")
            ranked_examples(task, examples, method)
            shortened = examples[: self._config.evaluation.examples]
            for part in (examples, shortened):
                # Undefined metrics are found before any step, not after.
                task.evaluate([e.targets for e in part], part)
            loaded[task.name] = examples
        return loaded

    def _check_labels(self, task: Task) -> None:
        """Refuses label words that the model could not tell apart or write."""
        if not task.label_words:
            return
        longest = label_targets(
            self._vocabulary, task.label_words, f"task {task.name}"
        ).shape[1]
        if longest > self._config.data.target_length:
            raise InputError(
                f"a label word of {task.name} is longer than a target may be",
                where="--target_length",
                got=self._config.data.target_length,
                expected=f"at least {longest}",
            )
