"""Loss terms as (total, weight): sums over tokens, divided once at the end.

A mean of the replicas' means is wrong when replicas hold different numbers of
tokens; totals and weights are summed over replicas and slices first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops


class LossTerm(NamedTuple):
    """A weighted sum and its weight, both float32 scalars."""

    total: Any
    weight: Any


def token_cross_entropy(
    logits: Any, targets: Any, weights: Any, z_loss: float = 0.0
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
    losses = keras.ops.sparse_categorical_crossentropy(
        targets, logits, from_logits=True
    )
    if z_loss:
        log_z = ops.logsumexp(logits, axis=-1)
        losses = losses + z_loss * ops.square(log_z)
    return LossTerm(ops.sum(losses * weights), ops.sum(weights))


def replaced_token_detection(
    logits: Any, replaced: Any, weights: Any
) -> LossTerm:
    """Binary cross-entropy of "this token was replaced" (ELECTRA, section 2).

    In the form max(x, 0) - x z + log(1 + exp(-|x|)), which never overflows.

    Args:
        logits: [batch, length] float32, positive means replaced.
        replaced: [batch, length] float32, 1 where a token was replaced.
        weights: [batch, length] float32, 0 at sentinels and padding.
    """
    losses = (
        ops.maximum(logits, 0.0)
        - logits * replaced
        + ops.log1p(ops.exp(-ops.abs(logits)))
    )
    return LossTerm(ops.sum(losses * weights), ops.sum(weights))
