"""A fine-tuned classifier as TF Serving sees it: encoder and head, no decoder.

The signatures are those of `export.modules.text_module`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from export.modules.options import ServingOptions
from export.modules.text_module import TEXT, TextModule, without_filler
from runkit import InputError
from spactor_tf.model import t5


class ClassifierModule(TextModule):
    """A `spactor_tf.classifier.classifier.TextClassifier` with its tokenizer.

    Args:
        classifier: trained.
        options: fixed for this export; texts are cut where the classifier
            cuts them. Its label words play no part.

    Raises:
        InputError: options out of range, or a prefix, which the classifier
            was not trained with.
    """

    def __init__(self, classifier: Any, options: ServingOptions):
        if options.prefix:
            raise InputError(
                "a classifier reads texts without a prefix",
                where="options.prefix",
                got=options.prefix,
            )
        backbone = classifier.pretrained.backbone
        kernel, bias = classifier.head_weights()
        self._kernel = tf.Variable(kernel, trainable=False, name="head_kernel")
        self._bias = tf.Variable(bias, trainable=False, name="head_bias")
        self._multilabel = classifier.multilabel
        super().__init__(
            backbone,
            classifier.pretrained.vocabulary,
            options,
            labels=classifier.classes,
            variables=t5.build_encoder(backbone).variables,
        )
        self.weights += [self._kernel, self._bias]

    @tf.function(input_signature=[TEXT], autograph=False)
    def classify(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers with the likeliest class.

        Returns:
            label [batch] string, class_id [batch] int32, probabilities
            [batch, labels] float32, margin [batch] float32 (first minus second
            probability; with several labels a text, |2 p - 1| of the class
            that is nearest to 1/2; small is uncertain), embedding
            [batch, hidden_dim] float32, truncated [batch] bool.
        """
        batch = tf.shape(text)[0]
        tokens, mask, truncated = self._tokens(text)
        pooled = t5.mean_pool(self._encode(tokens, mask), mask)
        logits = tf.matmul(pooled, self._kernel) + self._bias
        if self._multilabel:
            probabilities = tf.sigmoid(logits)
            distances = tf.abs(2.0 * probabilities - 1.0)
            margin = tf.reduce_min(distances, axis=-1)
        else:
            probabilities = tf.nn.softmax(logits)
            margin = self._first_minus_second(probabilities)
        best = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        outputs = {
            "label": tf.gather(tf.constant(self.labels), best),
            "class_id": best,
            "probabilities": probabilities,
            "margin": margin,
            "embedding": self._scaled(pooled),
            "truncated": truncated,
        }
        return without_filler(outputs, batch)
