"""Fills gaps: the likeliest target that has the form of a target.

Pre-training's targets name every sentinel of the input in turn, each with a
span of at least one token behind it (T5, section 3.1.4). Plain greedy search
does not know that, and an early model often answers with an empty span or
skips a sentinel; here the form is given and only the words are searched for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from spactor_tf.inference.decoding import CachedDecoder
from spactor_tf.model import t5


class GapFiller:
    """Greedy search for the spans of a text's sentinels.

    Args:
        backbone: `keras_hub.models.T5Backbone`.
        vocabulary: its `spactor_tf.Vocabulary`.
    """

    def __init__(self, backbone: Any, vocabulary: Any):
        self._encoder = t5.build_encoder(backbone)
        self._decoder = CachedDecoder(backbone)
        self._vocabulary = vocabulary
        self._is_word = np.arange(backbone.vocabulary_size) < vocabulary.size
        self._is_word[vocabulary.special_ids] = False

    def target(self, tokens: np.ndarray, max_span: int) -> np.ndarray:
        """Searches for the target of one text.

        A span ends where its end, the next sentinel or EOS, is likelier than
        every word.

        Args:
            tokens: [length] int32, the encoder's input without padding.
            max_span: tokens of a span, at most.

        Returns:
            [target length] int32: sentinel, span, sentinel, span, ..., EOS.
        """
        gaps = tokens[np.isin(tokens, self._vocabulary.sentinel_ids)]
        step = self._stepper(tokens, len(gaps) * (max_span + 1) + 1)
        target: list[int] = []
        ends = [*gaps, self._vocabulary.eos_id][1:]
        for gap, end in zip(gaps, ends, strict=True):
            target.append(int(gap))
            logits = step(int(gap))
            for count in range(max_span):
                words = np.where(self._is_word, logits, -np.inf)
                word = int(words.argmax())
                if count and logits[end] > words[word]:
                    break
                target.append(word)
                logits = step(word)
        return np.array([*target, self._vocabulary.eos_id], np.int32)

    def _stepper(self, tokens: np.ndarray, length: int) -> Any:
        """Returns a function from the next token to the logits behind it."""
        inputs = {
            "encoder_token_ids": tokens[np.newaxis],
            "encoder_padding_mask": np.ones((1, len(tokens)), np.int32),
        }
        mask = tf.constant(inputs["encoder_padding_mask"])
        cross = self._decoder.cross_caches(self._encoder(inputs))
        caches = self._decoder.empty_caches(1, length + 1)
        index = 0

        def step(token: int) -> np.ndarray:
            nonlocal caches, index
            logits, caches = self._decoder.step(
                tf.constant([token]), tf.constant(index), caches, cross, mask
            )
            index += 1
            return logits[0].numpy()

        step(self._vocabulary.pad_id)  # The first input, by convention.
        return step
