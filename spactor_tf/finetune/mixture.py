"""Tokenized tasks, and batches of a mixture of them.

A mixture takes its examples from each task in proportion to
min(examples of the task, cap) (T5, arXiv 1910.10683, section 3.5.2). One pass
over the mixture holds exactly that many of each, in a pseudo-random order; a
task that is cut by the cap goes on in the next pass where it stopped in this
one, so that all its examples have their turn. Example e of a run is a pure
function of (seed, e): no state is kept, and a run resumes anywhere.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from runkit import InputError
from spactor_tf.data.permutation import shuffled
from spactor_tf.data.step_pipeline import Batch, StepPipeline
from spactor_tf.data.vocabulary import PAD_ID, Vocabulary
from spactor_tf.tasks import Example

_STREAMS = 1 << 16  # Seeds of one run: the mixture's own, then its tasks'.


def bucket_length(length: int, limit: int) -> int:
    """Returns the least of 8, 12, 16, 24, 32, 48, ... that has room.

    A few static shapes instead of one for every length: at most a third of a
    row is padding, and a function is traced some ten times at most.

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
class Rows:
    """Token sequences of different lengths, one after another.

    Attributes:
        flat: [tokens] uint16 or int32.
        starts: [rows + 1] int64.
        truncated: how many rows were cut.
    """

    flat: np.ndarray
    starts: np.ndarray
    truncated: int = 0

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self, index: np.ndarray) -> np.ndarray:
        """Returns [n] int64."""
        return self.starts[index + 1] - self.starts[index]

    def padded(self, index: np.ndarray, length: int) -> np.ndarray:
        """Returns rows `index` as [n, length] int32, padded with 0."""
        tokens = np.full((len(index), length), PAD_ID, np.int32)
        for target, row in zip(tokens, index, strict=True):
            ids = self.flat[self.starts[row] : self.starts[row + 1]]
            target[: len(ids)] = ids
        return tokens


def tokenize(vocabulary: Vocabulary, texts: Sequence[str], length: int) -> Rows:
    """Returns the tokens of texts, each ended by EOS.

    Args:
        vocabulary: sentinels in a text are read as sentinels.
        texts: any.
        length: tokens at most, EOS included; the rest of a text is cut off.
    """
    rows = vocabulary.encode(texts) if texts else []
    cut = [np.append(ids[: length - 1], vocabulary.eos_id) for ids in rows]
    sizes = np.array([len(ids) for ids in cut], np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    kind = np.uint16 if vocabulary.size <= 1 << 16 else np.int32
    flat = np.concatenate(cut) if cut else np.zeros(0)
    truncated = sum(len(ids) >= length for ids in rows)
    return Rows(flat.astype(kind), starts, truncated)


@dataclasses.dataclass(frozen=True)
class TokenizedTask:
    """The training examples of a task.

    Attributes:
        name: of the task.
        inputs: tokens of the inputs.
        targets: tokens of the targets, in the same order.
    """

    name: str
    inputs: Rows
    targets: Rows


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
            where=f"training split of {name}", got=missing[:3] or None,
            expected="labeled examples",
        )  # fmt: skip
    return TokenizedTask(
        name,
        tokenize(vocabulary, [e.inputs for e in examples], input_length),
        tokenize(vocabulary, [e.targets for e in examples], target_length),
    )


@dataclasses.dataclass(frozen=True)
class Mixture(StepPipeline):
    """Examples-proportional mixing with a cap; one task is a mixture too.

    Attributes:
        tasks: at least one, each with at least one example.
        cap: a task counts as no more examples than this.
        batch_size: examples per step over all replicas.
        seed: of the order.
        input_length: longest input.
        target_length: longest target.
        static: pad every batch to these lengths, as a TPU needs it, not to
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
            # Its place in the endless order of the task's own passes.
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
        task, row = self.places(index)
        input_length, target_length = self._lengths(int(index[0]))
        inputs = np.zeros((len(index), input_length), np.int32)
        targets = np.zeros((len(index), target_length), np.int32)
        for number, part in enumerate(self.tasks):
            mine = task == number
            inputs[mine] = part.inputs.padded(row[mine], input_length)
            targets[mine] = part.targets.padded(row[mine], target_length)
        return inputs, targets

    def _lengths(self, number: int) -> tuple[int, int]:
        """Lengths of the step of example `number`, alike on all replicas."""
        if self.static:
            return self.input_length, self.target_length
        first = number // self.batch_size * self.batch_size
        task, row = self.places(first + np.arange(self.batch_size))
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

    def describe(self) -> list[dict[str, Any]]:
        """Returns a line a task: examples, share, rows that were cut."""
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
