"""Batches as a pure function of the step, for any number of replicas."""

from __future__ import annotations

import abc
import dataclasses
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


@dataclasses.dataclass(frozen=True)
class Share:
    """The examples of a run that one host makes.

    Attributes:
        first: number of the first example of the first step.
        end: number behind the last example of the last step.
        batch_size: examples of a step over all hosts.
        first_row: this host's first row in a step's batch.
        end_row: the row behind its last one.
        rows: examples of one replica's batch.
    """

    first: int
    end: int
    batch_size: int
    first_row: int
    end_row: int
    rows: int


class StepPipeline(abc.ABC):
    """Batches that are a function of the step alone.

    A subclass makes the examples with given numbers; step i consists of the
    numbers i * batch_size .. (i + 1) * batch_size - 1. No state is kept, so a
    pipeline starts at any step at once and gives the same examples for any
    number of replicas, and each host makes only its own rows.
    """

    batch_size: int

    @abc.abstractmethod
    def examples(self, index: tf.Tensor, *inputs: tf.Tensor) -> Batch:
        """Makes examples.

        Args:
            index: [n] int64, numbers of the examples.
            *inputs: what `inputs` gives besides.
        """

    def inputs(self, share: Share) -> tf.data.Dataset:
        """Returns what `examples` is called with, in the order of the run.

        Args:
            share: the examples of the run that the host makes.

        Returns:
            Dataset of tuples, one for the batch of each replica of the host,
            of which the first is [rows] int64, the numbers of the examples.
        """
        local = share.end_row - share.first_row
        replicas = local // share.rows

        def numbers(place: tf.Tensor) -> tuple[tf.Tensor]:
            row = share.first_row + place % replicas * share.rows
            first = share.first + place // replicas * share.batch_size + row
            return (first + tf.range(share.rows, dtype=tf.int64),)

        steps = (share.end - share.first) // share.batch_size
        return tf.data.Dataset.range(steps * replicas).map(numbers)

    # Nothing in a pipeline branches on tensors: AutoGraph would find nothing to
    # convert, and takes longer than all of the tracing.
    @tf.autograph.experimental.do_not_convert
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
        share = Share(
            start_step * self.batch_size,
            end_step * self.batch_size,
            self.batch_size,
            first_replica * rows,
            (first_replica + local) * rows,
            rows,
        )
        dataset = self.inputs(share).map(
            lambda index, *inputs: self.examples(
                tf.ensure_shape(index, [rows]), *inputs
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return dataset.prefetch(tf.data.AUTOTUNE)
