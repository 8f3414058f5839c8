"""What all served text models share: tokenizer, encoder, pooling, `embed`.

    text [batch] string
      embed     -> embedding, truncated
      classify  -> label, class_id, probabilities, margin, embedding, truncated
      classify_examples: tf.Examples with a `text` feature, for the Classify RPC

The module tracks plain `tf.Variable`s. A tracked Keras layer would be saved
with a second copy of its variables, and servers would restore the copy that no
signature reads ("Could not find variable").
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import tensorflow as tf

from export.modules.options import ServingOptions
from spactor_tf.data.encoding import encode_in_graph
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.inference import plain_layers
from spactor_tf.model import t5

if TYPE_CHECKING:
    import keras
    import keras_hub

TEXT = tf.TensorSpec([None], tf.string, name="text")
_EXAMPLES = tf.TensorSpec([None], tf.string, name="inputs")


_Hidden = TypeVar("_Hidden")


class Untracked(Generic[_Hidden]):
    """Hides a Keras object from a module's tracking."""

    def __init__(self, value: _Hidden):
        self.value = value


class TextModule(tf.Module):
    """A T5 encoder with its tokenizer; subclasses implement `classify`.

    Rows do not influence each other: an answer does not depend on the rest of
    the batch, except for rounding.

    Args:
        backbone: the T5, from `served_backbone`.
        vocabulary: of the T5. Sentinels in a text are read as sentinels, as in
            T5's own inputs.
        options: fixed for this export.
        labels: names of the classes, in the order of the probabilities.
        variables: Keras variables that the signatures read.

    Attributes:
        options: as given.
        labels: as given.
        hidden_dim: width of the embeddings.
        weights: variables that the signatures read.

    Raises:
        InputError: options out of range, or a vocabulary that is not the
            model's.
    """

    signature_names: tuple[str, ...] = (
        "embed",
        "classify",
        "classify_examples",
    )

    def __init__(
        self,
        backbone: keras_hub.models.T5Backbone,
        vocabulary: Vocabulary,
        options: ServingOptions,
        *,
        labels: Sequence[str],
        variables: Sequence[keras.Variable],
    ):
        super().__init__(name="serving")
        options.validate()
        vocabulary.check_rows(backbone.vocabulary_size, "vocabulary")
        self.options = options
        self.hidden_dim: int = backbone.hidden_dim
        self._eos_id = vocabulary.eos_id
        self.labels = tuple(labels)
        self._backbone = Untracked(backbone)
        self.weights = [variable.value for variable in variables]
        self._tokenizer = vocabulary.new_tokenizer()

    @property
    def num_parameters(self) -> int:
        """How many numbers the signatures read."""
        return sum(int(tf.size(variable)) for variable in self.weights)

    @property
    def weights_sha256(self) -> str:
        """Tells models apart: SHA-256 of all weights that it reads."""
        digest = hashlib.sha256()
        for variable in self.weights:
            # Integers are states of dropout, which differ at each load.
            if variable.dtype.is_floating:
                digest.update(variable.numpy().tobytes())
        return digest.hexdigest()

    def signatures(self) -> dict[str, Any]:
        """Returns {signature name: concrete function}."""
        with warnings.catch_warnings():
            # KerasHub's attention reads the mask from an argument; Keras warns
            # that it ignores the one attached to the embedding.
            warnings.filterwarnings("ignore", ".*mask attached.*")
            return {
                name: getattr(self, name).get_concrete_function()
                for name in self.signature_names
            }

    @tf.function(input_signature=[TEXT], autograph=False)
    def embed(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Means of the encoder's states over the tokens of each text.

        Returns:
            embedding [batch, hidden_dim] float32, truncated [batch] bool.
        """
        batch = tf.shape(text)[0]
        tokens, mask, truncated = self.tokenize(text)
        embedding = self.pool(self.encode(tokens, mask), mask)
        return without_filler(
            {"embedding": embedding, "truncated": truncated}, batch
        )

    def classify(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the most likely class and more; see the subclasses."""
        raise NotImplementedError

    @tf.function(input_signature=[_EXAMPLES], autograph=False)
    def classify_examples(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """`classify` in the form of TF Serving's Classify call.

        Args:
            inputs: [batch] string, serialized tf.Examples with `text`.

        Returns:
            classes [batch, labels] string and scores [batch, labels] float32.
        """
        features = {"text": tf.io.FixedLenFeature([], tf.string)}
        text = tf.io.parse_example(inputs, features)["text"]
        scores = self.classify(text)["probabilities"]
        classes = tf.tile(
            tf.constant(self.labels)[tf.newaxis],
            [tf.shape(text)[0], 1],
        )
        return {"classes": classes, "scores": scores}

    def tokenize(
        self, text: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Token ids and mask [rows, length] int32; truncated [rows] bool.

        An empty batch becomes one row, which `without_filler` removes:
        reshapes inside the attention cannot infer a size from no elements.
        """
        text = tf.concat(
            [text, tf.fill([tf.cast(tf.size(text) == 0, tf.int32)], "")], 0
        )
        return encode_in_graph(self._tokenizer, text, self.options.input_length)

    def encode(self, tokens: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Encoder states [rows, length, hidden_dim] float32."""
        return plain_layers.encode(self._backbone.value, tokens, mask)

    def pool(self, states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Embeddings [rows, hidden_dim] float32: means over the tokens."""
        return self.scale(t5.mean_pool(states, mask))

    def scale(self, embedding: tf.Tensor) -> tf.Tensor:
        """The embeddings, with norm 1 if the options ask for that."""
        if self.options.unit_norm:
            return tf.math.l2_normalize(embedding, axis=-1)
        return embedding


def served_backbone(backbone: t5.Backbone, dtype: str) -> t5.Backbone:
    """Returns a backbone with weights of a type, cast once.

    Args:
        backbone: returned itself if it is of this type.
        dtype: of weights and matrix products.
    """
    if backbone.dtype_policy.name == dtype:
        return backbone
    with np.errstate(over="ignore"):  # KerasHub masks with -1e9 in any type.
        return t5.copy_backbone(backbone, t5.backbone_config(backbone), dtype)


def first_minus_second(probabilities: tf.Tensor) -> tf.Tensor:
    """Returns the margin [batch] of probabilities [batch, labels]."""
    first_two = tf.math.top_k(probabilities, 2).values
    return first_two[:, 0] - first_two[:, 1]


def without_filler(
    outputs: dict[str, tf.Tensor], batch: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Removes the row that `tokenize` added to an empty batch."""
    return {name: value[:batch] for name, value in outputs.items()}
