"""A text-to-text model as TF Serving sees it: text in, tensors out.

The signatures are those of `export.modules.text_module`, where `classify` ranks
label words, and

    text [batch] string
      generate -> text, score, finished, truncated

and, where the options ask for it, generate_with_options, which reads
max_length, temperature, seed and num_beams [batch] too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from export.modules.options import ServingOptions
from export.modules.request_options import INPUTS, checked_options
from export.modules.text_module import (
    TEXT,
    TextModule,
    Untracked,
    first_minus_second,
    served_backbone,
    without_filler,
)
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.inference import token_search as search
from spactor_tf.inference.decoding import CachedDecoder, label_targets

if TYPE_CHECKING:
    import keras_hub

WITH_OPTIONS = "generate_with_options"


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

    signature_names: tuple[str, ...] = (
        "embed",
        "classify",
        "generate",
        "classify_examples",
    )

    def __init__(
        self,
        backbone: keras_hub.models.T5Backbone,
        vocabulary: Vocabulary,
        options: ServingOptions,
    ):
        options.validate()
        backbone = served_backbone(backbone, options.dtype)
        super().__init__(
            backbone,
            vocabulary,
            options,
            labels=options.labels,
            variables=backbone.variables,
        )
        if options.request_options:
            self.signature_names = (*self.signature_names, WITH_OPTIONS)
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
        output, score = search.generate(
            self._decoder.value,
            self.options,
            self._vocabulary_size,
            _text_hash(tokens),
            self.encode(tokens, mask),
            mask,
        )
        return self._answer(output, score, truncated, batch)

    @tf.function(input_signature=[TEXT, *INPUTS], autograph=False)
    def generate_with_options(
        self,
        text: tf.Tensor,
        max_length: tf.Tensor,
        temperature: tf.Tensor,
        seed: tf.Tensor,
        num_beams: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Generates a text for each text, as the request says.

        The ranges of the inputs are those of `checked_options`.

        Returns:
            What `generate` returns.
        """
        batch = tf.shape(text)[0]
        tokens, mask, truncated = self.tokenize(text)
        rows = checked_options(
            self.options,
            tf.shape(tokens)[0],
            max_length,
            temperature,
            seed,
            num_beams,
        )
        output, score = search.generate_each(
            self._decoder.value,
            self.options,
            rows,
            self._vocabulary_size,
            _text_hash(tokens),
            self.encode(tokens, mask),
            mask,
        )
        return self._answer(output, score, truncated, batch)

    def _answer(
        self,
        output: tf.Tensor,
        score: tf.Tensor,
        truncated: tf.Tensor,
        batch: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
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


def _text_hash(tokens: tf.Tensor) -> tf.Tensor:
    """[rows] int64, of the tokens [rows, length].

    Not of the bytes: the row added to an empty batch has none.
    """
    weights = tf.range(1, tf.shape(tokens)[1] + 1, dtype=tf.int64)
    return tf.reduce_sum(
        tf.cast(tokens, tf.int64) * weights * 0x9E3779B1, axis=1
    )
