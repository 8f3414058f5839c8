"""Tokenized tasks, and batches of a mixture of them.

A mixture takes its examples from each task in proportion to
min(examples of the task, cap) (T5, arXiv 1910.10683, section 3.5.2). One pass
over the mixture holds exactly that many of each, in a pseudo-random order; a
task that is cut by the cap resumes in the next pass where it stopped in this
one, so that all its examples are used. Example e of a run is a pure function of
(seed, e): no state is kept, and a run resumes at any step.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from runkit import InputError
from spactor_tf.data.encoding import TokenRows, encode_texts
from spactor_tf.data.permutation import shuffled
from spactor_tf.data.step_pipeline import Batch, StepPipeline
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.tasks import Example

_COUNTED_AT_ONCE = 1 << 16
_STREAMS = 1 << 16  # Seeds of one run: the mixture's own, then its tasks'.


def bucket_length(length: int, limit: int) -> int:
    """Returns the least of 8, 12, 16, 24, 32, 48, ... that has room.

    A few static shapes instead of one for every length: at most a third of a
    row is padding, and a function is traced about ten times at most.

    Args:
        length: of the longest row.
        limit: the largest value returned.
    """
    size = 8
    while size < min(length, limit):
        # 8, 12, 16, 24, ...: by a half, then by a third.
        size += size // 2 if size & (size - 1) == 0 else size // 3
    return min(size, limit)


@dataclasses.dataclass(frozen=True)
class TokenizedTask:
    """The training examples of a task.

    Attributes:
        name: of the task.
        inputs: tokens of the inputs.
        targets: tokens of the targets, in the same order.
    """

    name: str
    inputs: TokenRows
    targets: TokenRows


def tokenized_task(
    name: str,
    examples: Sequence[Example],
    vocabulary: Vocabulary,
    input_length: int,
    target_length: int,
) -> TokenizedTask:
    """Tokenizes labeled examples for training.

    Raises:
        InputError: there are none, or one has no target.
    """
    missing = [example.key for example in examples if not example.targets]
    if missing or not examples:
        raise InputError(
            "has examples without a target" if missing else "is empty",
            where=f"training split of {name}",
            got=missing[:3] or None,
            expected="labeled examples",
        )
    return TokenizedTask(
        name,
        encode_texts(vocabulary, [e.inputs for e in examples], input_length),
        encode_texts(vocabulary, [e.targets for e in examples], target_length),
    )


@dataclasses.dataclass(frozen=True)
class Mixture(StepPipeline):
    """Examples-proportional mixing with a cap; one task is a mixture too.

    Attributes:
        tasks: at least one, each with at least one example.
        cap: most examples that a task counts as.
        batch_size: examples per step over all replicas.
        seed: of the order.
        input_length: longest input.
        target_length: longest target.
        static: pad every batch to these lengths, as a TPU needs, instead of to
            the bucket of the batch's longest row.
    """

    tasks: tuple[TokenizedTask, ...]
    cap: int
    batch_size: int
    seed: int
    input_length: int
    target_length: int
    static: bool = False

    @functools.cached_property
    def counts(self) -> np.ndarray:
        """[tasks] int64, examples of each task in one pass."""
        return np.array([min(len(t.inputs), self.cap) for t in self.tasks])

    def places(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns which examples have the given numbers in the run.

        Args:
            index: [n] int64 >= 0.

        Returns:
            (task [n], row in the task [n]), int64.
        """
        ends = np.cumsum(self.counts)
        size, stream = int(ends[-1]), (self.seed + 1) * _STREAMS
        slot = shuffled(index, size, stream)
        task = np.searchsorted(ends, slot, side="right")
        before = slot - (ends - self.counts)[task]
        row = np.empty_like(slot)
        for number, part in enumerate(self.tasks):
            mine = task == number
            # The place in the endless order of the task's own passes.
            place = (index // size)[mine] * self.counts[number] + before[mine]
            row[mine] = shuffled(place, len(part.inputs), stream + 1 + number)
        return task, row

    def examples(self, index: tf.Tensor) -> Batch:
        """Makes the examples with the given numbers, all of one step.

        Returns:
            encoder_tokens [n, input length] int32, decoder_targets
            [n, target length] int32.
        """
        inputs, targets = tf.numpy_function(
            self._tokens, [index], [tf.int32, tf.int32], stateful=False
        )
        lengths = (self.input_length, self.target_length)
        known = lengths if self.static else (None, None)
        rows = index.shape[0]
        return {
            "encoder_tokens": tf.ensure_shape(inputs, [rows, known[0]]),
            "decoder_targets": tf.ensure_shape(targets, [rows, known[1]]),
        }

    def _tokens(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # All replicas pad to the longest row of the step's whole batch.
        first = int(index[0]) // self.batch_size * self.batch_size
        task, row = self.places(first + np.arange(self.batch_size))
        input_length, target_length = self._lengths(task, row)
        inputs = np.zeros((len(index), input_length), np.int32)
        targets = np.zeros((len(index), target_length), np.int32)
        task, row = task[index - first], row[index - first]
        for number, part in enumerate(self.tasks):
            mine = task == number
            inputs[mine] = part.inputs.padded(input_length, row[mine])
            targets[mine] = part.targets.padded(target_length, row[mine])
        return inputs, targets

    def _lengths(self, task: np.ndarray, row: np.ndarray) -> tuple[int, int]:
        """Input and target length of a batch of these places."""
        if self.static:
            return self.input_length, self.target_length
        longest = np.zeros(2, np.int64)
        for number, part in enumerate(self.tasks):
            mine = row[task == number]
            if len(mine):
                both = part.inputs.lengths(mine), part.targets.lengths(mine)
                longest = np.maximum(longest, [rows.max() for rows in both])
        return (
            bucket_length(int(longest[0]), self.input_length),
            bucket_length(int(longest[1]), self.target_length),
        )

    def num_tokens(self, start: int, stop: int) -> int:
        """Counts the tokens of the run's examples start .. stop - 1.

        Inputs and targets as they are read: cut, with EOS, without padding.
        """
        total = 0
        for first in range(start, stop, _COUNTED_AT_ONCE):
            last = min(first + _COUNTED_AT_ONCE, stop)
            task, row = self.places(np.arange(first, last))
            for number, part in enumerate(self.tasks):
                mine = row[task == number]
                for rows in (part.inputs, part.targets):
                    total += int(rows.lengths(mine).sum())
        return total

    def describe(self) -> list[dict[str, Any]]:
        """Returns one row per task: examples, share, rows that were cut."""
        shares = self.counts / self.counts.sum()
        return [
            {
                "task": task.name,
                "examples": len(task.inputs),
                "share": float(share),
                "truncated_inputs": task.inputs.truncated,
                "truncated_targets": task.targets.truncated,
            }
            for task, share in zip(self.tasks, shares, strict=True)
        ]
