"""A trained T5 with its vocabulary: generate, fill gaps, embed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from runkit.minibatches import in_batches
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.encoding import encode_texts
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.data.vocabulary_text import without_greeting

if TYPE_CHECKING:
    import keras
    import keras_hub
    import tensorflow as tf

    from spactor_tf.model.t5 import Backbone


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A pre-trained, perhaps fine-tuned T5.

    Attributes:
        backbone: `keras_hub.models.T5Backbone`.
        vocabulary: its vocabulary.
        config: of its pre-training run; None for any other preset.
        task_length: tokens of an input of the tasks it was fine-tuned on; None
            if it was not fine-tuned.
    """

    backbone: Backbone
    vocabulary: Vocabulary
    config: PretrainConfig | None
    task_length: int | None = None

    @property
    def input_length(self) -> int | None:
        """Tokens of an input in the last training; None if unknown."""
        if self.task_length is None and self.config is not None:
            return self.config.corruption.input_length
        return self.task_length

    def language_model(self, length: int = 128) -> keras_hub.models.T5Seq2SeqLM:
        """Returns a `T5Seq2SeqLM` that reads and generates text.

        Args:
            length: tokens of the longest input and output.
        """
        import keras_hub

        with without_greeting():
            tokenizer = keras_hub.models.T5Tokenizer(
                proto=self.vocabulary.proto
            )
        preprocessor = keras_hub.models.T5Seq2SeqLMPreprocessor(
            tokenizer,
            encoder_sequence_length=length,
            decoder_sequence_length=length,
        )
        return keras_hub.models.T5Seq2SeqLM(
            backbone=self.backbone, preprocessor=preprocessor
        )

    def fill(self, texts: Sequence[str], max_span: int = 6) -> list[str]:
        """Searches for what the sentinels of each text stand for.

        Args:
            texts: with sentinels `<extra_id_0>`, ... where text is missing.
            max_span: most tokens of each missing piece, at least 1.

        Returns:
            For each text the target, "<extra_id_0> span <extra_id_1> ...".
        """
        from spactor_tf.inference.filling import GapFiller

        filler = GapFiller(self.backbone, self.vocabulary, self.encoder)
        inputs = encode_texts(self.vocabulary, texts)
        answers = []
        for number in range(len(inputs)):
            target = filler.target(inputs.row(number), max_span)[:-1]
            is_gap = np.isin(target, self.vocabulary.sentinel_ids)
            spans = np.split(target, np.flatnonzero(is_gap)[1:])
            # A sentinel and the text after it, each without outer spaces.
            words = [
                self.vocabulary.decode(part).strip()
                for span in spans
                if len(span)
                for part in (span[:1], span[1:])
            ]
            answers.append(" ".join(words))
        return answers

    def tokens(self, texts: Sequence[str], length: int = 128) -> np.ndarray:
        """Returns `[texts, length]` int32 ids: cut, ended by EOS, padded.

        Args:
            texts: any, also none.
            length: most tokens read of each text, EOS included.
        """
        return encode_texts(self.vocabulary, texts, length).padded(length)

    @functools.cached_property
    def encoder(self) -> keras.Model:
        """The encoder alone; it shares the backbone's weights.

        See `spactor_tf.model.t5.build_encoder`.
        """
        from spactor_tf.model.t5 import build_encoder

        return build_encoder(self.backbone)

    def pool(self, tokens: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Means of the encoder's states over the tokens of each row.

        Args:
            tokens: `[batch, length]` int32, padded.
            training: whether dropout is on.

        Returns:
            `[batch, hidden_dim]` float32.
        """
        import tensorflow as tf

        from spactor_tf.model.t5 import mean_pool

        mask = tf.cast(tf.not_equal(tokens, self.vocabulary.pad_id), tf.int32)
        states = self.encoder(
            {"encoder_token_ids": tokens, "encoder_padding_mask": mask},
            training=training,
        )
        return mean_pool(states, mask)

    def embed(
        self,
        texts: Sequence[str],
        length: int = 128,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Means of the encoder's states over the tokens of each text.

        The weights are read as they are at the time of the call.

        Args:
            texts: any, also none.
            length: most tokens read of each text, EOS included.
            batch_size: texts per call of the encoder; the last call is filled
                up with padding. None takes 32, or all texts if they are fewer.

        Returns:
            `[texts, hidden_dim]` float32.

        Raises:
            InputError: not a sequence of texts.
        """
        tokens = self.tokens(texts, length)
        if batch_size is None:
            batch_size = min(32, max(1, len(tokens)))
        (vectors,) = in_batches(
            lambda rows: [self._traced_pool(rows)],
            tokens,
            batch_size,
            filler=self.vocabulary.pad_id,
        )
        return vectors

    @functools.cached_property
    def _traced_pool(self) -> Callable[[np.ndarray], tf.Tensor]:
        import tensorflow as tf

        shape = tf.TensorSpec([None, None], tf.int32)
        return tf.function(self.pool, input_signature=[shape], autograph=False)
