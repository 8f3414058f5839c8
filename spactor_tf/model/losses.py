"""Loss terms as (total, weight): sums over tokens, divided once at the end.

The mean of the replicas' means is wrong when replicas have different numbers of
tokens, so totals and weights are summed over replicas and slices first.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf
from keras import ops


class LossTerm(NamedTuple):
    """A weighted sum and its weight, both float32 scalars."""

    total: tf.Tensor
    weight: tf.Tensor


def token_cross_entropy(
    logits: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
    z_loss: float = 0.0,
) -> LossTerm:
    """Cross-entropy of integer targets: sum of -log softmax(logits)[target].

    The span corruption loss on the decoder's logits and the masked language
    model loss on the generator's (SpacTor, section 2).

    Args:
        logits: [batch, length, vocabulary_size] float32.
        targets: [batch, length] int32.
        weights: [batch, length] float32, 0 where there is nothing to predict.
        z_loss: weight of log(Z)^2, Z the softmax's denominator, which keeps
            logits from drifting (PaLM, arXiv 2204.02311, section 5).
    """
    losses = ops.sparse_categorical_crossentropy(
        targets, logits, from_logits=True
    )
    if z_loss:
        log_z = ops.logsumexp(logits, axis=-1)
        losses = losses + z_loss * ops.square(log_z)
    return LossTerm(ops.sum(losses * weights), ops.sum(weights))


def replaced_token_detection(
    logits: tf.Tensor, replaced: tf.Tensor, weights: tf.Tensor
) -> LossTerm:
    """Binary cross-entropy of "this token was replaced" (ELECTRA, section 2).

    Args:
        logits: [batch, length] float32, positive means replaced.
        replaced: [batch, length] float32, 1 where a token was replaced.
        weights: [batch, length] float32, 0 at sentinels and padding.
    """
    losses = ops.binary_crossentropy(replaced, logits, from_logits=True)
    return LossTerm(ops.sum(losses * weights), ops.sum(weights))


def correct_tokens(
    logits: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Returns the weighted number of targets that have the largest logit.

    Arguments as for `token_cross_entropy`; the result is a float32 scalar.
    """
    hits = ops.cast(ops.argmax(logits, axis=-1), "int32") == targets
    return ops.sum(ops.cast(hits, "float32") * weights)


def detection_counts(
    logits: tf.Tensor, replaced: tf.Tensor, weights: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Returns sums for precision and recall of detection at probability 0.5.

    Arguments as for `replaced_token_detection`; the results are float32
    scalars.
    """
    said = ops.cast(logits > 0, "float32")
    return {
        "rtd_true_positives": ops.sum(said * replaced * weights),
        "rtd_predicted": ops.sum(said * weights),
        "rtd_replaced": ops.sum(replaced * weights),
    }
