"""A text-to-text model as TF Serving sees it: text in, tensors out.

The signatures are those of `export.modules.text_module`, where `classify` ranks
label words, and

    text [batch] string
      generate -> text, score, finished, truncated
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from export.modules.options import ServingOptions
from export.modules.text_module import (
    TEXT,
    TextModule,
    Untracked,
    first_minus_second,
    without_filler,
)
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.inference import token_search as search
from spactor_tf.inference.decoding import CachedDecoder, label_targets

if TYPE_CHECKING:
    import keras_hub


class ServingModule(TextModule):
    """A T5 model with its tokenizer.

    Args:
        backbone: the T5.
        vocabulary: of the T5.
        options: fixed for this export.

    Raises:
        InputError: options out of range, a label word without tokens, or a
            vocabulary that is not the model's.
    """

    signature_names = ("embed", "classify", "generate", "classify_examples")

    def __init__(
        self,
        backbone: keras_hub.models.T5Backbone,
        vocabulary: Vocabulary,
        options: ServingOptions,
    ):
        super().__init__(
            backbone,
            vocabulary,
            options,
            labels=options.labels,
            variables=backbone.variables,
        )
        self._vocabulary_size = vocabulary.size
        self._targets = label_targets(vocabulary, options.labels)
        self._decoder = Untracked(CachedDecoder(backbone))

    @tf.function(input_signature=[TEXT], autograph=False)
    def classify(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Ranks the label words by log p(label word | prefix + text).

        The score of a label word is the sum of the log-probabilities of its
        tokens and EOS, not their mean. That sum is a log-likelihood, so the
        softmax of the scores is the posterior over the given words under equal
        priors.

        Returns:
            label [batch] string, class_id [batch] int32, probabilities
            [batch, labels] float32, margin [batch] float32 (first minus
            second probability; small means uncertain), embedding
            [batch, hidden_dim] float32 (of the prefixed text), truncated
            [batch] bool.
        """
        batch = tf.shape(text)[0]
        prefixed = tf.strings.join([self.options.prefix, text])
        tokens, mask, truncated = self.tokenize(prefixed)
        states = self.encode(tokens, mask)
        targets = tf.constant(self._targets)
        scores = self._decoder.value.score_targets(targets, states, mask)
        probabilities = tf.nn.softmax(scores)
        best = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        outputs = {
            "label": tf.gather(tf.constant(self.labels), best),
            "class_id": best,
            "probabilities": probabilities,
            "margin": first_minus_second(probabilities),
            "embedding": self.pool(states, mask),
            "truncated": truncated,
        }
        return without_filler(outputs, batch)

    @tf.function(input_signature=[TEXT], autograph=False)
    def generate(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Generates a text for each text, as the options say.

        Returns:
            text [batch] string, score [batch] float32 (log-likelihood of the
            generated tokens, EOS included), finished [batch] bool (EOS came
            within the length), truncated [batch] bool (the input was cut).
        """
        batch = tf.shape(text)[0]
        tokens, mask, truncated = self.tokenize(text)
        # Of the tokens, not of the bytes: the row added to an empty batch has
        # no bytes.
        weights = tf.range(1, tf.shape(tokens)[1] + 1, dtype=tf.int64)
        text_hash = tf.reduce_sum(
            tf.cast(tokens, tf.int64) * weights * 0x9E3779B1, axis=1
        )
        output, score = search.generate(
            self._decoder.value,
            self.options,
            self._vocabulary_size,
            text_hash,
            self.encode(tokens, mask),
            mask,
        )
        is_text = (output != 0) & (output != self._eos_id)
        outputs = {
            "text": self._tokenizer.detokenize(
                tf.ragged.boolean_mask(output, is_text)
            ),
            "score": score,
            "finished": tf.reduce_any(output == self._eos_id, axis=1),
            "truncated": truncated,
        }
        return without_filler(outputs, batch)
