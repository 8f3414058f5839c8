"""Graphs in fewer nodes: what is merged, and what may not be."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib

import tensorflow as tf
from absl.testing import absltest, parameterized

from export.c_api.graph_session import GraphSession
from export.modules import compact


def function_def(function):
    spec = tf.TensorSpec([None, 3], tf.float32, name="x")
    traced = tf.function(function, input_signature=[spec], autograph=False)
    return traced.get_concrete_function().function_def


def ops(definition):
    return sorted(node.op for node in definition.node_def)


class CompactTest(parameterized.TestCase):
    def test_equal_constants_and_shapes_are_one(self):
        def rows_twice(x):
            return tf.shape(x)[0] * 2 + tf.shape(x)[0] * 2

        definition = function_def(rows_twice)
        before = ops(definition)
        self.assertEqual(before.count("Shape"), 2)
        compact.compact_function(definition)
        after = ops(definition)
        for op in ("Shape", "StridedSlice", "Mul", "AddV2"):
            self.assertEqual(after.count(op), 1, op)
        self.assertLess(len(after), len(before) // 2 + 2)
        names = {node.name for node in definition.node_def}
        for node in definition.node_def:
            self.assertNotIn("_output_shapes", node.attr)
            for name in node.input:
                name = name.removeprefix("^").partition(":")[0]
                self.assertIn(name, names | {"x"})

    def test_chance_is_not_merged(self):
        def noise(x):
            shape = tf.shape(x)
            return tf.random.uniform(shape) + tf.random.uniform(shape)

        definition = function_def(noise)
        compact.compact_function(definition)
        self.assertEqual(ops(definition).count("RandomUniform"), 2)

    def test_what_is_written_in_place_is_not_merged(self):
        def write(x):
            def written(value):
                place = tf.range(4)
                return tf.raw_ops.InplaceUpdate(x=place, i=[0], v=[value])

            return written(7) + written(9) + tf.cast(x[0, 0], tf.int32)

        definition = function_def(write)
        compact.compact_function(definition)
        self.assertEqual(ops(definition).count("InplaceUpdate"), 2)
        self.assertEqual(ops(definition).count("Range"), 2)

    def test_what_a_loop_is_given_is_not_merged(self):
        def loop(x):
            one, two = tf.range(3), tf.range(3)
            one, two = tf.while_loop(
                lambda a, b: tf.reduce_sum(a) < 9,
                lambda a, b: (a + 1, b),
                (one, two),
            )
            return one + two + tf.shape(x)[0]

        definition = function_def(loop)
        compact.compact_function(definition)
        self.assertEqual(ops(definition).count("Range"), 2)

    def test_a_saved_model_answers_the_same(self):
        class Module(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None, 3])])
            def f(self, x):
                rows = tf.reshape(x, [tf.shape(x)[0] * 3])
                again = tf.reshape(rows, [tf.shape(x)[0], 3])
                return {"y": again * 2.0 + tf.reshape(rows, tf.shape(x)) * 2.0}

        folder = pathlib.Path(self.create_tempdir().full_path)
        module = Module()
        tf.saved_model.save(module, str(folder), {"f": module.f})
        size = (folder / "saved_model.pb").stat().st_size
        compact.compact_saved_model(folder)
        self.assertLess((folder / "saved_model.pb").stat().st_size, size)
        session = GraphSession(folder)
        known = session.signatures["f"]
        call = session.make_callable(
            [known.outputs["y"].name], [(known.inputs["x"].name, 1)]
        )
        x = tf.random.stateless_uniform([4, 3], [1, 2]).numpy()
        self.assertEqual(call(x)[0].tolist(), (x * 4).tolist())
        session.close()
        reloaded = tf.saved_model.load(str(folder))
        self.assertEqual(
            reloaded.signatures["f"](tf.constant(x))["y"].numpy().tolist(),
            (x * 4).tolist(),
        )


if __name__ == "__main__":
    absltest.main()
