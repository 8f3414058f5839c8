"""Corrupted windows of a corpus: the batches of pre-training.

Step i of a run reads examples i*B .. (i+1)*B - 1. Every pass visits every
window of the corpus once, in a new order (`spactor_tf.data.tokens.windows`),
with new noise. A batch is a pure function of (seed, step), in TensorFlow's
operations alone.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.corruption import (
    CorruptionLengths,
    corruption_lengths,
    masked_lm_positions,
    replacement_uniforms,
    span_corrupt,
)
from spactor_tf.data.step_pipeline import Batch, Share, StepPipeline
from spactor_tf.data.tokens.mixture import MixedStore, batches_of_windows
from spactor_tf.data.tokens.store import TokenStore
from spactor_tf.data.vocabulary import Vocabulary

_EVALUATION_SEED = 1 << 31  # No run has it: theirs are smaller.


def feature_specs(
    lengths: CorruptionLengths, batch_size: int
) -> dict[str, tf.TensorSpec]:
    """Returns names, dtypes and static shapes of a batch of stage 1."""
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


@dataclasses.dataclass(frozen=True)
class Pipeline(StepPipeline):
    """Batches of span-corrupted windows.

    Args:
        store: tokens of the corpus.
        vocabulary: of these tokens.
        lengths: static sizes of the examples.
        batch_size: examples per step over all replicas.
        seed: of order and noise.
        masking: whether batches have what the generator needs.

    Raises:
        InputError: the corpus is shorter than one window.
    """

    store: TokenStore | MixedStore
    vocabulary: Vocabulary
    lengths: CorruptionLengths
    batch_size: int
    seed: int
    masking: bool = True

    def __post_init__(self) -> None:
        self.store.check_window(self.lengths.raw_length)

    def inputs(self, share: Share) -> tf.data.Dataset:
        """Returns numbers and windows of the examples of each batch.

        Returns:
            Dataset of ([rows] int64, [rows, raw_length] uint16 or int32).
        """
        length = self.lengths.raw_length
        return batches_of_windows(self.store, length, self.seed, share)

    def examples(self, index: tf.Tensor, *inputs: tf.Tensor) -> Batch:
        """Corrupts windows.

        Args:
            index: [n] int64, numbers of examples in the run.
            *inputs: [n, raw_length] integers, their windows.

        Returns:
            See `feature_specs`; without the `mlm_` features unless `masking`.
        """
        (windows,) = inputs
        shape = [index.shape[0], self.lengths.raw_length]
        tokens = tf.ensure_shape(tf.cast(windows, tf.int32), shape)
        corrupted = span_corrupt(
            tokens,
            index,
            lengths=self.lengths,
            sentinel_ids=self.vocabulary.sentinel_ids,
            seed=self.seed,
            eos_id=self.vocabulary.eos_id,
            pad_id=self.vocabulary.pad_id,
        )
        batch: Batch = {
            "encoder_tokens": corrupted.encoder_tokens,
            "decoder_targets": corrupted.decoder_targets,
        }
        if self.masking:
            count = self.lengths.mlm_tokens
            batch["mlm_positions"] = masked_lm_positions(
                corrupted.encoder_tokens,
                index,
                num_positions=count,
                ineligible_ids=self.vocabulary.special_ids,
                seed=self.seed,
            )
            batch["mlm_uniforms"] = replacement_uniforms(
                index, count, self.seed
            )
        return batch


def train_pipeline(
    config: PretrainConfig,
    store: TokenStore | MixedStore,
    vocabulary: Vocabulary,
    masking: bool,
) -> Pipeline:
    """Returns the batches that a run trains on.

    Args:
        config: sizes, seed and corruption of the run.
        store: train split of the corpus.
        vocabulary: of the corpus.
        masking: whether batches have what the generator needs (stage 1).

    Raises:
        InputError: the corpus is shorter than one window.
    """
    lengths = corruption_lengths(config.corruption)
    return Pipeline(
        store, vocabulary, lengths, config.batch_size, config.seed, masking
    )


def evaluation_pipeline(
    config: PretrainConfig,
    store: TokenStore | MixedStore,
    vocabulary: Vocabulary,
) -> Pipeline:
    """Returns the held-out batches, which are the same for all runs.

    Order and noise do not depend on the run's seed, so the losses of runs with
    different seeds are comparable.

    Raises:
        InputError: the held-out split is shorter than one window.
    """
    lengths = corruption_lengths(config.corruption)
    return Pipeline(
        store, vocabulary, lengths, config.batch_size, _EVALUATION_SEED
    )
