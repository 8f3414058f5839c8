"""A model with a signature of every kind, for TF Serving's documented cases."""

import pathlib

import tensorflow as tf

_EXAMPLES = [tf.TensorSpec([None], tf.string, name="inputs")]
_FEATURES = {"x": tf.io.FixedLenFeature([], tf.float32)}


class HalfPlus(tf.Module):
    """x / 2 + `offset`, after the model of TF Serving's documentation."""

    def __init__(self, offset: float):
        super().__init__()
        self.offset = tf.constant(float(offset))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def predict(self, x):
        return {"y": x / 2 + self.offset}

    @tf.function(input_signature=_EXAMPLES)
    def regress(self, inputs):
        x = tf.io.parse_example(inputs, _FEATURES)["x"]
        return {"outputs": (x / 2 + self.offset)[:, tf.newaxis]}

    @tf.function(input_signature=_EXAMPLES)
    def classify(self, inputs):
        x = tf.io.parse_example(inputs, _FEATURES)["x"]
        rows = tf.shape(x)[0]
        return {
            "classes": tf.tile(tf.constant([["low", "high"]]), [rows, 1]),
            "scores": tf.stack([x, x / 2 + self.offset], axis=1),
        }

    @tf.function(input_signature=_EXAMPLES)
    def scores(self, inputs):
        return {"scores": self.classify(inputs)["scores"]}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="tag"),
            tf.TensorSpec([None, 2], tf.float32, name="signal"),
        ]
    )
    def two(self, tag, signal):
        return {
            "tag": tag,
            "tag_bytes": tag,
            "total": tf.reduce_sum(signal, axis=1),
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], dtype, name=name)
            for name, dtype in (
                ("flag", tf.bool),
                ("count", tf.int32),
                ("long", tf.int64),
                ("wide", tf.float64),
            )
        ]
    )
    def types(self, flag, count, long, wide):
        return {"flag": flag, "count": count, "long": long, "wide": wide}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="t")])
    def text(self, t):
        return {"t": t}


def write_half_plus(
    base: pathlib.Path, version: int, offset: float = 3.0
) -> pathlib.Path:
    """Writes a version, without anything but the model."""
    module, path = HalfPlus(offset), base / str(version)
    tf.saved_model.save(
        module,
        str(path),
        {
            "serving_default": module.predict,
            "tensorflow/serving/regress": module.regress,
            "classify_x": module.classify,
            "scores_only": module.scores,
            "two": module.two,
            "types": module.types,
            "text": module.text,
        },
    )
    return path
