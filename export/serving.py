"""The model as TF Serving sees it: one tf.Module, text in, tensors out.

    text [batch] string
      embed     -> embedding, truncated
      classify  -> label, class_id, probabilities, margin, embedding, truncated
      generate  -> text, score, finished, truncated
      classify_examples: tf.Examples with a `text` feature, for the Classify RPC

The module tracks plain `tf.Variable`s. A tracked Keras layer would be saved
with second copies of its variables, and of the two sets the servers restore
the one that no signature reads ("Could not find variable").
"""

from __future__ import annotations

import warnings
from typing import Any

import tensorflow as tf
import tensorflow_text

from export.options import ServingOptions
from spactor_tf import search, t5
from spactor_tf.decoding import CachedDecoder, label_targets

_TEXT = tf.TensorSpec([None], tf.string, name="text")
_EXAMPLES = tf.TensorSpec([None], tf.string, name="inputs")


class _Untracked:
    """Hides Keras objects from the module's tracking."""

    def __init__(self, backbone: Any):
        self.encoder = t5.build_encoder(backbone)
        self.decoder = CachedDecoder(backbone)


class ServingModule(tf.Module):
    """A T5 model with its tokenizer.

    Rows do not influence each other: an answer is the same whatever else is
    in the batch, up to rounding.

    Args:
        backbone: `keras_hub.models.T5Backbone`.
        vocabulary: its `spactor_tf.Vocabulary`. Sentinels in a text are read
            as sentinels, as T5's own inputs have them.
        options: fixed for this export.

    Raises:
        InputError: options out of range, a label word without tokens, or a
            vocabulary that is not the model's.
    """

    def __init__(self, backbone: Any, vocabulary: Any, options: ServingOptions):
        super().__init__(name="serving")
        options.validate()
        vocabulary.check_rows(backbone.vocabulary_size, "vocabulary")
        self._options = options
        self._eos_id = vocabulary.eos_id
        self._vocabulary_size = vocabulary.size
        self._targets = label_targets(vocabulary, options.labels)
        self._model = _Untracked(backbone)
        self._weights = [variable.value for variable in backbone.variables]
        self._tokenizer = tensorflow_text.SentencepieceTokenizer(
            model=vocabulary.proto
        )

    def signatures(self) -> dict[str, Any]:
        """Returns {signature name: concrete function}."""
        functions = {
            "embed": self.embed,
            "classify": self.classify,
            "generate": self.generate,
            "classify_examples": self.classify_examples,
        }
        with warnings.catch_warnings():
            # KerasHub's attention takes the mask as an argument; Keras warns
            # that it does not take the one attached to the embedding.
            warnings.filterwarnings("ignore", ".*mask attached.*")
            return {
                name: function.get_concrete_function()
                for name, function in functions.items()
            }

    @tf.function(input_signature=[_TEXT], autograph=False)
    def embed(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Mean of the encoder's states over the tokens of each text.

        Returns:
            embedding [batch, hidden_dim] float32, truncated [batch] bool.
        """
        batch = tf.shape(text)[0]
        tokens, mask, truncated = self._tokens(text)
        embedding = self._pool(self._encode(tokens, mask), mask)
        return _rows({"embedding": embedding, "truncated": truncated}, batch)

    @tf.function(input_signature=[_TEXT], autograph=False)
    def classify(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Ranks the label words by log p(label word | prefix + text).

        Probabilities are the softmax of the plain sums over a label word's
        tokens and EOS, not divided by their number: those sums are
        log-likelihoods, so this is the posterior over labels under equal
        priors restricted to the given words.

        Returns:
            label [batch] string, class_id [batch] int32, probabilities
            [batch, labels] float32, margin [batch] float32 (first minus
            second probability; small is uncertain), embedding
            [batch, hidden_dim] float32 (of the prefixed text), truncated
            [batch] bool.
        """
        batch = tf.shape(text)[0]
        prefixed = tf.strings.join([self._options.prefix, text])
        tokens, mask, truncated = self._tokens(prefixed)
        states = self._encode(tokens, mask)
        targets = tf.constant(self._targets)
        scores = self._model.decoder.score_targets(targets, states, mask)
        probabilities = tf.nn.softmax(scores)
        first_two = tf.math.top_k(probabilities, 2).values
        best = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        outputs = {
            "label": tf.gather(tf.constant(self._options.labels), best),
            "class_id": best,
            "probabilities": probabilities,
            "margin": first_two[:, 0] - first_two[:, 1],
            "embedding": self._pool(states, mask),
            "truncated": truncated,
        }
        return _rows(outputs, batch)

    @tf.function(input_signature=[_TEXT], autograph=False)
    def generate(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Generates text after text; decoding is fixed in the options.

        Returns:
            text [batch] string, score [batch] float32 (log-likelihood of the
            generated tokens, EOS included), finished [batch] bool (EOS came
            within the length), truncated [batch] bool (the input was).
        """
        batch = tf.shape(text)[0]
        tokens, mask, truncated = self._tokens(text)
        # Of the tokens, not of the bytes: the row added to an empty batch has
        # tokens only.
        weights = tf.range(1, tf.shape(tokens)[1] + 1, dtype=tf.int64)
        text_hash = tf.reduce_sum(
            tf.cast(tokens, tf.int64) * weights * 0x9E3779B1, axis=1
        )
        output, score = search.generate(
            self._model.decoder,
            self._options,
            self._vocabulary_size,
            text_hash,
            self._encode(tokens, mask),
            mask,
        )
        outputs = {
            "text": self._detokenize(output),
            "score": score,
            "finished": tf.reduce_any(output == self._eos_id, axis=1),
            "truncated": truncated,
        }
        return _rows(outputs, batch)

    @tf.function(input_signature=[_EXAMPLES], autograph=False)
    def classify_examples(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """`classify` as TF Serving's Classify call wants it.

        Args:
            inputs: [batch] string, serialised tf.Examples with `text`.

        Returns:
            classes [batch, labels] string and scores [batch, labels] float32.
        """
        features = {"text": tf.io.FixedLenFeature([], tf.string)}
        text = tf.io.parse_example(inputs, features)["text"]
        scores = self.classify(text)["probabilities"]
        classes = tf.tile(
            tf.constant(self._options.labels)[tf.newaxis],
            [tf.shape(text)[0], 1],
        )
        return {"classes": classes, "scores": scores}

    def _tokens(
        self, text: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Token ids and mask [rows, length] int32, truncated [rows] bool.

        An empty batch becomes one row that `_rows` takes off again: reshapes
        inside the attention cannot infer a size from no elements.
        """
        text = tf.concat(
            [text, tf.fill([tf.cast(tf.size(text) == 0, tf.int32)], "")], 0
        )
        ragged = self._tokenizer.tokenize(text)
        room = self._options.input_length - 1
        truncated = ragged.row_lengths() > room
        ragged = ragged[:, :room]
        end = tf.fill([ragged.nrows(), 1], self._eos_id)
        ragged = tf.concat([ragged, end], axis=1)
        mask = tf.ones_like(ragged).to_tensor(0)
        return ragged.to_tensor(0), mask, truncated

    def _encode(self, tokens: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        return self._model.encoder(
            {"encoder_token_ids": tokens, "encoder_padding_mask": mask},
            training=False,
        )

    def _pool(self, states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        weights = tf.cast(mask, tf.float32)[..., tf.newaxis]
        states = tf.cast(states, tf.float32)
        mean = tf.reduce_sum(states * weights, 1) / tf.reduce_sum(weights, 1)
        if self._options.unit_norm:
            return tf.math.l2_normalize(mean, axis=-1)
        return mean

    def _detokenize(self, tokens: tf.Tensor) -> tf.Tensor:
        kept = (tokens != 0) & (tokens != self._eos_id)
        return self._tokenizer.detokenize(tf.ragged.boolean_mask(tokens, kept))


def _rows(
    outputs: dict[str, tf.Tensor], batch: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Takes off the row that `_tokens` added to an empty batch."""
    return {name: value[:batch] for name, value in outputs.items()}
