"""Batches as a pure function of the step, for any number of replicas."""

from __future__ import annotations

import abc
from typing import NotRequired, TypedDict

import tensorflow as tf

from runkit import InputError


class Batch(TypedDict):
    """A batch of a model's examples.

    Keys:
        encoder_tokens: [batch, input_length] int32.
        decoder_targets: [batch, target_length] int32, padded with 0.
        mlm_positions: [batch, mlm_tokens] int32, positions in the encoder
            tokens that the generator predicts; in stage 1 only.
        mlm_uniforms: [batch, mlm_tokens] float32 in [0, 1), one random number
            per sampled replacement; in stage 1 only.
    """

    encoder_tokens: tf.Tensor
    decoder_targets: tf.Tensor
    mlm_positions: NotRequired[tf.Tensor]
    mlm_uniforms: NotRequired[tf.Tensor]


class StepPipeline(abc.ABC):
    """Batches that are a function of the step alone.

    A subclass makes the examples with given numbers; step i consists of the
    numbers i * batch_size .. (i + 1) * batch_size - 1. No state is kept, so a
    pipeline starts at any step at once and gives the same examples for any
    number of replicas, and each host reads only its own rows.
    """

    batch_size: int

    @abc.abstractmethod
    def examples(self, index: tf.Tensor) -> Batch:
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
        """Returns the batches of steps start_step .. end_step - 1.

        Args:
            start_step: first step.
            end_step: the step after the last one.
            replicas: of the whole job; each gets batch_size / replicas rows.
            first_replica: number of this host's first replica.
            local_replicas: replicas of this host; all by default. Their
                batches follow one another, as
                `tf.distribute.Strategy.distribute_datasets_from_function`
                expects.

        Raises:
            InputError: the batch is not divisible by the replicas.
        """
        if self.batch_size % replicas:
            raise InputError(
                f"is not divisible by {replicas} replicas",
                where="batch_size",
                got=self.batch_size,
                expected=f"a multiple of {replicas}",
            )
        local = replicas if local_replicas is None else local_replicas
        rows = self.batch_size // replicas

        def examples(number: tf.Tensor) -> Batch:
            step, replica = number // local, number % local + first_replica
            first = step * self.batch_size + replica * rows
            index = first + tf.range(rows, dtype=tf.int64)
            return self.examples(tf.ensure_shape(index, [rows]))

        dataset = tf.data.Dataset.range(start_step * local, end_step * local)
        dataset = dataset.map(
            examples, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return dataset.prefetch(tf.data.AUTOTUNE)
