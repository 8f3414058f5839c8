"""Small models to export: a random T5, and a module that saves fast."""

import dataclasses
import functools
import pathlib
from typing import Any

import tensorflow as tf

from export.modules.options import ServingOptions
from export.saved_model.write import export_saved_model, write_version
from spactor_tf.inference.pretrained import Pretrained
from spactor_tf.model import t5
from tests.support import testing

OPTIONS = ServingOptions(
    labels=("bad", "very good", "so so"), input_length=24, max_output_length=6
)


@functools.cache
def pretrained(gated: bool = False) -> Pretrained:
    """A random tiny T5; its weights are large enough to have opinions."""
    fields = {"model.activation": "gated_gelu", "model.tie_embeddings": False}
    config = testing.tiny_config(
        **{"model.num_layers": 2, **(fields if gated else {})}
    )
    backbone = t5.build_backbone(config.model)
    t5.reinitialize(
        backbone.variables,
        7,
        head_dim=config.model.head_dim,
        hidden_dim=config.model.hidden_dim,
    )
    return Pretrained(backbone, testing.vocabulary(), config)


class ToyModule(tf.Module):
    """No tokenizer: text -> its length, times a variable."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = tf.Variable([factor] * 1000)

    def signatures(self):
        return {
            "embed": self.embed.get_concrete_function(),
            "classify_examples": self.classify_examples.get_concrete_function(),
        }

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="text")]
    )
    def embed(self, text):
        length = tf.cast(tf.strings.length(text), tf.float32)
        return {"embedding": length[:, tf.newaxis] * self.factor[:2]}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="inputs")]
    )
    def classify_examples(self, inputs):
        features = {"text": tf.io.FixedLenFeature([], tf.string)}
        text = tf.io.parse_example(inputs, features)["text"]
        rows = tf.shape(text)[0]
        return {
            "classes": tf.tile(tf.constant([["short", "long"]]), [rows, 1]),
            "scores": self.embed(text)["embedding"],
        }


def write_toy(
    base: pathlib.Path, version: int, factor: float = 1.0
) -> pathlib.Path:
    """Writes and verifies a version of the toy model."""
    module = ToyModule(factor)
    # Twice the parameters: of so small a model, the file is mostly names.
    card = {"model_name": "toy", "parameters": 2000}
    return write_version(module, module.signatures(), base, version, card)


def export_t5(
    base: pathlib.Path, version: int | None = None, **options: Any
) -> pathlib.Path:
    """Exports the random T5, with some options other than `OPTIONS`."""
    return export_saved_model(
        pretrained(),
        base,
        version,
        options=dataclasses.replace(OPTIONS, **options),
    )
