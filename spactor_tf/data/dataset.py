"""Batches as a pure function of (seed, step): the input pipeline.

Step i of a run reads examples i*B .. (i+1)*B - 1. Example e is window
`shuffled(e)` of the corpus: every pass visits every window once, in a new
order, with new noise. No state is kept anywhere, so the pipeline starts at any
step at once, gives the same examples for any number of replicas, and each host
reads only its own rows.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from runkit import InputError
from runkit.hashing import splitmix64
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.corruption import (
    CorruptionLengths,
    corruption_lengths,
    masked_lm_positions,
    replacement_uniforms,
    span_corrupt,
)
from spactor_tf.data.token_store import TokenStore
from spactor_tf.data.vocabulary import Vocabulary

# Four rounds leave the orders of a few dozen windows visibly uneven.
_FEISTEL_ROUNDS = 8
_EVALUATION_SEED = 1 << 31  # No run can have it: theirs are below.


def feature_specs(
    lengths: CorruptionLengths, batch_size: int
) -> dict[str, tf.TensorSpec]:
    """Names, dtypes and static shapes of a batch."""
    mlm = [batch_size, lengths.mlm_tokens]
    return {
        "encoder_tokens": tf.TensorSpec(
            [batch_size, lengths.input_length], tf.int32
        ),
        "decoder_targets": tf.TensorSpec(
            [batch_size, lengths.target_length], tf.int32
        ),
        "mlm_positions": tf.TensorSpec(mlm, tf.int32),
        "mlm_uniforms": tf.TensorSpec(mlm, tf.float32),
    }


class StepPipeline(abc.ABC):
    """Batches that are a function of the step alone.

    A subclass says what the examples with given numbers are; step i holds the
    numbers i * batch_size .. (i + 1) * batch_size - 1.
    """

    batch_size: int

    @abc.abstractmethod
    def examples(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Makes the examples with the numbers `index`, [n] int64."""

    def dataset(
        self,
        start_step: int,
        end_step: int,
        *,
        replicas: int = 1,
        first_replica: int = 0,
        local_replicas: int | None = None,
    ) -> tf.data.Dataset:
        """Batches of steps start_step .. end_step - 1 for some replicas.

        Args:
            start_step: first step.
            end_step: behind the last step.
            replicas: of the whole job; each gets batch_size / replicas rows.
            first_replica: number of this host's first replica.
            local_replicas: replicas of this host; all by default. Their
                batches follow one another, as `distribute_datasets_from_`
                `function` wants them.

        Raises:
            InputError: the batch is not divisible by the replicas.
        """
        if self.batch_size % replicas:
            raise InputError(
                f"is not divisible by {replicas} replicas", where="batch_size",
                got=self.batch_size, expected=f"a multiple of {replicas}",
            )  # fmt: skip
        local = replicas if local_replicas is None else local_replicas
        rows = self.batch_size // replicas

        def examples(number: tf.Tensor) -> dict[str, tf.Tensor]:
            step, replica = number // local, number % local + first_replica
            first = step * self.batch_size + replica * rows
            index = first + tf.range(rows, dtype=tf.int64)
            return self.examples(tf.ensure_shape(index, [rows]))

        dataset = tf.data.Dataset.range(start_step * local, end_step * local)
        dataset = dataset.map(
            examples, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return dataset.prefetch(tf.data.AUTOTUNE)


@dataclasses.dataclass(frozen=True)
class Pipeline(StepPipeline):
    """Everything that a batch is a function of.

    Args:
        store: tokens of the corpus.
        vocabulary: names the special ids.
        lengths: static sizes.
        batch_size: examples per step over all replicas.
        seed: of order and noise.
        masking: whether batches carry what the generator needs.
    """

    store: TokenStore
    vocabulary: Vocabulary
    lengths: CorruptionLengths
    batch_size: int
    seed: int
    masking: bool = True

    def dataset(self, *steps: Any, **replicas: Any) -> tf.data.Dataset:
        """`StepPipeline.dataset`; refuses a corpus shorter than a window."""
        self.store.num_windows(self.lengths.raw_length)
        return super().dataset(*steps, **replicas)

    def examples(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Makes the examples with the given numbers.

        Args:
            index: [n] int64, numbers of examples in the run.

        Returns:
            See `feature_specs`.
        """
        tokens = tf.numpy_function(self._windows, [index], tf.int32)
        tokens = tf.ensure_shape(
            tokens, [index.shape[0], self.lengths.raw_length]
        )
        special = self.vocabulary.special_ids
        corrupted = span_corrupt(
            tokens,
            index,
            lengths=self.lengths,
            sentinel_ids=self.vocabulary.sentinel_ids,
            seed=self.seed,
            eos_id=self.vocabulary.eos_id,
            pad_id=self.vocabulary.pad_id,
        )
        batch = dict(corrupted._asdict())
        if self.masking:
            count = self.lengths.mlm_tokens
            batch["mlm_positions"] = masked_lm_positions(
                corrupted.encoder_tokens,
                index,
                num_positions=count,
                ineligible_ids=special,
                seed=self.seed,
            )
            batch["mlm_uniforms"] = replacement_uniforms(
                index, count, self.seed
            )
        return batch

    def _windows(self, index: np.ndarray) -> np.ndarray:
        length = self.lengths.raw_length
        windows = self.store.num_windows(length)
        numbers = shuffled(index, windows, self.seed)
        return self.store.windows(numbers, length)


def train_pipeline(
    config: PretrainConfig,
    store: TokenStore,
    vocabulary: Vocabulary,
    masking: bool,
) -> Pipeline:
    """Returns the pipeline that a run trains on."""
    lengths = corruption_lengths(config.corruption)
    return Pipeline(
        store, vocabulary, lengths, config.batch_size, config.seed, masking
    )


def evaluation_pipeline(
    config: PretrainConfig, store: TokenStore, vocabulary: Vocabulary
) -> Pipeline:
    """Returns the pipeline of held-out batches, equal for all runs.

    Order and noise do not depend on the run's seed, so that losses of runs
    with other seeds compare.
    """
    lengths = corruption_lengths(config.corruption)
    return Pipeline(
        store, vocabulary, lengths, config.batch_size, _EVALUATION_SEED
    )


def shuffled(position: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Maps places in the endless order of examples to windows.

    Each pass is a pseudo-random permutation of range(size), computed place by
    place: Feistel rounds on the next even number of bits, walked on until
    the value falls below `size`. It needs no memory, however large the corpus.

    Args:
        position: [n] int64 >= 0.
        size: number of windows.
        seed: of the run.

    Returns:
        [n] int64 in [0, size).
    """
    position = np.asarray(position, np.int64)
    passes, value = np.divmod(position, size)
    half = max(1, -(-int(size - 1).bit_length() // 2))
    keys = _round_keys(passes, seed)
    value = _feistel(value.astype(np.uint64), keys, half)
    outside = value >= size
    while outside.any():
        value[outside] = _feistel(value[outside], keys[:, outside], half)
        outside = value >= size
    return value.astype(np.int64)


def _round_keys(passes: np.ndarray, seed: int) -> np.ndarray:
    """[rounds, n] uint64 keys, one set for each pass."""
    rounds = np.arange(_FEISTEL_ROUNDS, dtype=np.uint64)[:, np.newaxis]
    base = passes.astype(np.uint64) * np.uint64(_FEISTEL_ROUNDS) + rounds
    return splitmix64(
        base + splitmix64(np.uint64(seed + 1) + np.zeros_like(base))
    )


def _feistel(value: np.ndarray, keys: np.ndarray, half: int) -> np.ndarray:
    mask = np.uint64((1 << half) - 1)
    left, right = value >> np.uint64(half), value & mask
    for key in keys:
        left, right = right, left ^ (splitmix64(right + key) & mask)
    return (left << np.uint64(half)) | right
