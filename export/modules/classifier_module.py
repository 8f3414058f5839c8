"""A fine-tuned classifier as TF Serving sees it: encoder and head, no decoder.

The signatures are those of `export.modules.text_module`.
"""

from __future__ import annotations

import tensorflow as tf

from export.modules.options import ServingOptions
from export.modules.text_module import (
    TEXT,
    TextModule,
    first_minus_second,
    served_backbone,
    without_filler,
)
from runkit import InputError
from spactor_tf.classifier.classifier import TextClassifier
from spactor_tf.model import t5


class ClassifierModule(TextModule):
    """A trained text classifier with its tokenizer.

    Args:
        classifier: its classes are the labels.
        options: fixed for this export; its label words are not used.

    Raises:
        InputError: options out of range, or a prefix, which no classifier is
            trained with.
    """

    def __init__(self, classifier: TextClassifier, options: ServingOptions):
        if options.prefix:
            raise InputError(
                "a classifier reads texts without a prefix",
                where="options.prefix",
                got=options.prefix,
            )
        options.validate()
        backbone = served_backbone(
            classifier.pretrained.backbone, options.dtype
        )
        self._kernel, self._bias = (
            tf.Variable(tf.cast(value, options.dtype), False, name=name)
            for value, name in zip(
                classifier.head_weights(),
                ("head_kernel", "head_bias"),
                strict=True,
            )
        )
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
        """Returns the most likely class of each text.

        Returns:
            label [batch] string, class_id [batch] int32, probabilities
            [batch, labels] float32, margin [batch] float32 (first minus second
            probability; for a multi-label classifier |2 p - 1| of the class
            nearest to 1/2; small means uncertain), embedding
            [batch, hidden_dim] float32, truncated [batch] bool.
        """
        batch = tf.shape(text)[0]
        tokens, mask, truncated = self.tokenize(text)
        pooled = t5.mean_pool(self.encode(tokens, mask), mask)
        kernel = tf.cast(self._kernel, tf.float32)
        logits = tf.matmul(pooled, kernel) + tf.cast(self._bias, tf.float32)
        if self._multilabel:
            probabilities = tf.sigmoid(logits)
            distances = tf.abs(2.0 * probabilities - 1.0)
            margin = tf.reduce_min(distances, axis=-1)
        else:
            probabilities = tf.nn.softmax(logits)
            margin = first_minus_second(probabilities)
        best = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        outputs = {
            "label": tf.gather(tf.constant(self.labels), best),
            "class_id": best,
            "probabilities": probabilities,
            "margin": margin,
            "embedding": self.scale(pooled),
            "truncated": truncated,
        }
        return without_filler(outputs, batch)
