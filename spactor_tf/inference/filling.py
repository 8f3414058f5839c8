"""Fills gaps: the likeliest target that has the form of a target.

A target of pre-training names every sentinel of the input in turn, each
followed by a span of at least one token (T5, section 3.1.4). Plain greedy
search does not know that, and an early model often answers with an empty span
or skips a sentinel; here the form is given and only the words are searched
for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.inference.decoder_steps import CHUNK
from spactor_tf.inference.decoding import CachedDecoder
from spactor_tf.model import t5


def greedy_target(
    step: Callable[[int], np.ndarray],
    gaps: Sequence[int],
    eos_id: int,
    is_word: np.ndarray,
    max_span: int,
) -> np.ndarray:
    """Searches for a target, one token after the other.

    A span ends where its end, the next sentinel or EOS, is likelier than every
    word.

    Args:
        step: from the token that was chosen to the logits [vocabulary] of the
            token after it.
        gaps: sentinels of the input, in order.
        eos_id: ends the target.
        is_word: [vocabulary] bool, tokens that a span may have.
        max_span: most tokens of a span, at least 1.

    Returns:
        [target length] int32: sentinel, span, sentinel, span, ..., EOS.
    """
    target: list[int] = []
    ends = [*gaps, eos_id][1:]
    for gap, end in zip(gaps, ends, strict=True):
        target.append(int(gap))
        logits = step(int(gap))
        for count in range(max_span):
            words = np.where(is_word, logits, -np.inf)
            word = int(words.argmax())
            if count and logits[end] > words[word]:
                break
            target.append(word)
            logits = step(word)
    return np.array([*target, eos_id], np.int32)


class GapFiller:
    """`greedy_target` with a model.

    Args:
        backbone: the model.
        vocabulary: its vocabulary.
        encoder: `t5.build_encoder(backbone)`, where there is one already.
    """

    def __init__(
        self,
        backbone: t5.Backbone,
        vocabulary: Vocabulary,
        encoder: Callable[[dict[str, np.ndarray]], tf.Tensor] | None = None,
    ):
        self._encoder = encoder or t5.build_encoder(backbone)
        self._decoder = CachedDecoder(backbone)
        self._vocabulary = vocabulary
        self._is_word = np.arange(backbone.vocabulary_size) < vocabulary.size
        self._is_word[vocabulary.special_ids] = False

    def target(self, tokens: np.ndarray, max_span: int) -> np.ndarray:
        """Searches for the target of one text.

        Args:
            tokens: [length] int32, the encoder's input without padding.
            max_span: most tokens of a span, at least 1.

        Returns:
            [target length] int32: sentinel, span, sentinel, span, ..., EOS.
        """
        inputs = {
            "encoder_token_ids": tokens[np.newaxis],
            "encoder_padding_mask": np.ones((1, len(tokens)), np.int32),
        }
        gaps = tokens[np.isin(tokens, self._vocabulary.sentinel_ids)]
        mask = tf.constant(inputs["encoder_padding_mask"])
        # The start token, a sentinel and a span for each gap, EOS.
        length = len(gaps) * (max_span + 1) + 2
        decoder = self._decoder.steps(self._encoder(inputs), mask, length)
        caches = decoder.no_caches()
        index = 0

        def step(token: int) -> np.ndarray:
            nonlocal caches, index
            if index % CHUNK == 0:
                caches = decoder.grow(caches)
            logits, caches = decoder.step(
                tf.constant([token]), tf.constant(index), caches
            )
            index += 1
            return logits[0].numpy()

        step(self._vocabulary.pad_id)  # The first input, by convention.
        return greedy_target(
            step,
            gaps.tolist(),
            self._vocabulary.eos_id,
            self._is_word,
            max_span,
        )
