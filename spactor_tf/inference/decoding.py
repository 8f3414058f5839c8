"""T5's decoder without training: keys and values are computed once.

Given targets are scored by `plain_layers`. What is not given is decoded token
by token in `decoder_steps`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from runkit import InputError
from spactor_tf.data.encoding import encode_texts
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.inference import plain_layers
from spactor_tf.inference.decoder_steps import DecoderSteps
from spactor_tf.model import t5


class CachedDecoder:
    """The decoder of a backbone, token by token or over given targets.

    A plain object on purpose: a `tf.Module` must not find the Keras layers.

    Args:
        backbone: the model.
    """

    def __init__(self, backbone: t5.Backbone):
        self._backbone = backbone

    def steps(
        self,
        states: tf.Tensor,
        mask: tf.Tensor,
        length: int,
        beams: int = 1,
        vocabulary_size: int | None = None,
    ) -> DecoderSteps:
        """Returns the decoder of one token after the other.

        The arguments are those of `DecoderSteps`.
        """
        return DecoderSteps(
            self._backbone, states, mask, length, beams, vocabulary_size
        )

    def score_targets(
        self, targets: tf.Tensor, states: tf.Tensor, mask: tf.Tensor
    ) -> tf.Tensor:
        """Log-likelihood of a few targets for every text.

        All targets of a text form one decoder sequence, in which each sees
        only itself: the encoder's states are neither repeated nor read twice.

        Args:
            targets: int32, EOS at the end, then padding: [targets, length]
                for all texts, or [batch, targets, length].
            states: [batch, input length, hidden_dim].
            mask: [batch, input length] int32.

        Returns:
            [batch, targets] float32, the sum over a target's tokens; 0 for
            a target that is only padding.
        """
        count, length = targets.shape[-2:]
        batch = tf.shape(states)[0]
        targets = tf.broadcast_to(targets, [batch, count, length])
        wanted = tf.reshape(targets, [batch, count * length])
        tokens = t5.decoder_inputs(tf.reshape(targets, [-1, length]))
        tokens = tf.reshape(tokens, [batch, count * length])
        bias = self._separate_targets_bias(count, length)
        x = plain_layers.decode(self._backbone, tokens, bias, states, mask)
        logits = t5.lm_logits(self._backbone, x)
        token_loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=wanted, logits=logits
        )
        token_loss = tf.reshape(token_loss, [batch, count, length])
        weights = tf.cast(targets != 0, tf.float32)
        return -tf.reduce_sum(token_loss * weights, axis=-1)

    def _separate_targets_bias(self, count: int, length: int) -> tf.Tensor:
        """[1, heads, count * length, count * length], causal in each target."""
        layers = self._backbone.decoder_transformer_layers
        attention = layers[0].self_attention
        bias = tf.tile(
            tf.cast(attention.compute_bias(length, length), tf.float32),
            [1, 1, count, count],
        )
        place = tf.range(count * length)
        target, offset = place // length, place % length
        visible = (target[:, tf.newaxis] == target) & (
            offset[:, tf.newaxis] >= offset
        )
        return tf.where(visible, bias, plain_layers.MASKED)


def label_targets(
    vocabulary: Vocabulary, labels: Sequence[str], where: str = "options.labels"
) -> np.ndarray:
    """Returns [labels, length] int32: tokens of each label, EOS, padding.

    Raises:
        InputError: a label word that has no tokens, or two with the same.
    """
    rows = encode_texts(vocabulary, labels)
    targets = rows.padded(int(rows.lengths().max()))
    bare = [
        label
        for label, length in zip(labels, rows.lengths(), strict=True)
        if length < 2
    ]
    if bare or len(np.unique(targets, axis=0)) < len(rows):
        raise InputError(
            "the vocabulary cannot tell the label words apart",
            where=where,
            got=bare or list(labels),
        )
    return targets
