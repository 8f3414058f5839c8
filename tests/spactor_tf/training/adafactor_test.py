"""Adafactor against the published PyTorch implementation's trajectories."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import copy
import functools
import math
import pathlib

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from spactor_tf.training.adafactor import Adafactor

TESTDATA = pathlib.Path(__file__).resolve().parents[2] / "testdata"
STEPS = 10
# Our arguments for the configurations of testdata/make_golden.py.
CONFIGS = {
    "default": {},
    "unscaled": {"scale_parameter": False},
    "relative_step": {"learning_rate": None},
    "relative_step_unscaled": {
        "learning_rate": None,
        "scale_parameter": False,
    },
    "momentum": {"momentum": 0.9},
    "momentum_unscaled": {"momentum": 0.9, "scale_parameter": False},
    "loose_clip": {"clip_threshold": 5.0, "decay_rate": -0.5},
}


@functools.cache
def golden():
    with np.load(TESTDATA / "adafactor.npz") as arrays:
        return dict(arrays)


def parameter_names():
    return [name[6:] for name in golden() if name.startswith("start/")]


def make_optimizer(config):
    return Adafactor(**({"learning_rate": 0.1} | config))


def make_variables(names):
    return [
        keras.Variable(golden()[f"start/{name}"], name=name) for name in names
    ]


def gradients(names, variables, step, densify):
    """The golden gradients, as the tape gives them: lookups are sparse."""
    data = golden()
    with tf.GradientTape() as tape:
        loss = 0.0
        for name, variable in zip(names, variables, strict=True):
            if name in ("lookup", "tied"):
                read = tf.gather(variable.value, data["ids"][step])
                loss += tf.reduce_sum(data["cotangents"][step] * read)
            if name != "lookup":
                gradient = data[f"gradient/{name}"][step]
                loss += tf.reduce_sum(gradient * variable.value)
    found = tape.gradient(loss, [variable.value for variable in variables])
    return [tf.convert_to_tensor(g) for g in found] if densify else found


def trajectory(config, names, densify=False):
    """Parameters after every step, {name: [STEPS, *shape]}."""
    variables = make_variables(names)
    optimizer = make_optimizer(config)
    values = {name: [] for name in names}
    for step in range(STEPS):
        optimizer.apply(gradients(names, variables, step, densify), variables)
        for name, variable in zip(names, variables, strict=True):
            values[name].append(keras.ops.convert_to_numpy(variable))
    return {name: np.stack(steps) for name, steps in values.items()}


class TrajectoryTest(parameterized.TestCase):
    def assert_relative(self, ours, reference, tolerance=1e-6):
        error = np.abs(ours - reference).max() / np.abs(reference).max()
        self.assertLessEqual(error, tolerance)

    @parameterized.parameters(*CONFIGS)
    def test_equals_the_published_implementation(self, config):
        names = parameter_names()
        ours = trajectory(CONFIGS[config], names)
        for name in names:
            with self.subTest(name):
                self.assert_relative(ours[name], golden()[f"{config}/{name}"])

    def test_the_golden_steps_move_and_are_clipped(self):
        # Else the test above could not fail.
        data = golden()
        for name in ("matrix", "tied", "lookup", "vector"):
            moved = data[f"default/{name}"][-1] - data[f"start/{name}"]
            self.assertGreater(np.abs(moved).max(), 0.1)
            loose = data[f"loose_clip/{name}"] - data[f"default/{name}"]
            self.assertGreater(np.abs(loose).max(), 0.01)

    def test_sparse_gradients_with_repeated_ids_equal_dense_ones(self):
        ids = golden()["ids"][0]
        self.assertLess(len(set(ids.tolist())), len(ids))
        variables = make_variables(["lookup"])
        sparse = gradients(["lookup"], variables, 0, densify=False)
        self.assertIsInstance(sparse[0], tf.IndexedSlices)
        for config in ({}, {"momentum": 0.9}):
            np.testing.assert_array_equal(
                trajectory(config, ["lookup"], densify=False)["lookup"],
                trajectory(config, ["lookup"], densify=True)["lookup"],
            )

    def test_traced_steps_equal_eager_ones(self):
        names = ["matrix", "lookup", "scalar"]
        variables = make_variables(names)
        optimizer = make_optimizer({"learning_rate": None})
        optimizer.build(variables)
        apply = tf.function(lambda grads: optimizer.apply(grads, variables))
        for step in range(3):
            apply(gradients(names, variables, step, densify=True))
        eager = trajectory({"learning_rate": None}, names)
        for name, variable in zip(names, variables, strict=True):
            np.testing.assert_allclose(variable, eager[name][2], rtol=1e-6)

    def test_schedule_gives_the_rate_of_each_step(self):
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
            [3], [0.1, 0.0]
        )
        values = trajectory({"learning_rate": schedule}, ["matrix"])["matrix"]
        reference = golden()["default/matrix"]
        # Rate 0.1 through iteration 3, that is the first four steps.
        self.assert_relative(values[:4], reference[:4])
        np.testing.assert_array_equal(values[4:], values[3:4].repeat(6, 0))


class StateTest(parameterized.TestCase):
    def slot_elements(self, shape, **config):
        optimizer = make_optimizer(config)
        empty = sum(math.prod(v.shape) for v in optimizer.variables)
        optimizer.build([keras.Variable(np.ones(shape, np.float32))])
        full = sum(math.prod(v.shape) for v in optimizer.variables)
        return full - empty

    def test_matrix_keeps_one_row_and_one_column(self):
        self.assertEqual(self.slot_elements((300, 200)), 300 + 200)

    def test_vector_and_scalar_keep_their_own_size(self):
        self.assertEqual(self.slot_elements((300,)), 300)
        self.assertEqual(self.slot_elements(()), 1)

    def test_momentum_adds_one_full_slot(self):
        self.assertEqual(
            self.slot_elements((300, 200), momentum=0.9), 300 + 200 + 300 * 200
        )

    def test_every_slot_is_saved_and_restored(self):
        # Keras's own keeps some slots out of `variables`: a resumed run would
        # start them anew.
        names = ["matrix", "vector", "scalar"]
        variables = make_variables(names)
        optimizer = make_optimizer({"momentum": 0.9})
        for step in range(4):
            grads = gradients(names, variables, step, densify=True)
            optimizer.apply(grads, variables)
        copies = [keras.Variable(v, name=v.name) for v in variables]
        resumed = make_optimizer({"momentum": 0.9})
        resumed.build(copies)
        for new, old in zip(
            resumed.variables, optimizer.variables, strict=True
        ):
            new.assign(old)
        for step in range(4, 7):
            grads = gradients(names, variables, step, densify=True)
            optimizer.apply(grads, variables)
            resumed.apply(grads, copies)
        for a, b in zip(variables, copies, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_unknown_subset_of_variables_is_left_alone(self):
        # Stage 2 hands over the body's variables only.
        variables = make_variables(["matrix", "vector"])
        optimizer = make_optimizer({})
        optimizer.build(variables)
        before = np.array(variables[1])
        grads = gradients(["matrix"], variables[:1], 0, densify=True)
        optimizer.apply(grads, variables[:1])
        np.testing.assert_array_equal(variables[1], before)
        reference = golden()["default/matrix"][0]
        np.testing.assert_allclose(variables[0], reference, rtol=1e-5)


class ConfigTest(parameterized.TestCase):
    @parameterized.parameters(
        {},
        {
            "learning_rate": 0.02,
            "decay_rate": -0.7,
            "epsilon_1": 1e-20,
            "epsilon_2": 1e-2,
            "clip_threshold": 2.0,
            "scale_parameter": False,
            "momentum": 0.5,
        },
        {"learning_rate": None},
        {
            "learning_rate": keras.optimizers.schedules.ExponentialDecay(
                0.1, 10, 0.5
            )
        },
    )
    def test_round_trip(self, **arguments):
        optimizer = Adafactor(**arguments)
        config = keras.optimizers.serialize(optimizer)
        # Keras lower-cases the class name in the dictionary that it reads.
        clone = keras.optimizers.deserialize(copy.deepcopy(config))
        self.assertIsInstance(clone, Adafactor)
        self.assertEqual(keras.optimizers.serialize(clone), config)
        for name, value in arguments.items():
            if name != "learning_rate":
                self.assertEqual(clone.get_config()[name], value)

    def test_training_with_fit_reduces_the_loss(self):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.layers.Input((8,)), keras.layers.Dense(1)]
        )
        model.compile(Adafactor(0.1), "mse")
        random = np.random.default_rng(0)
        inputs = random.standard_normal((256, 8)).astype(np.float32)
        targets = inputs @ random.standard_normal((8, 1))
        history = model.fit(inputs, targets, epochs=8, verbose=0)
        losses = history.history["loss"]
        self.assertLess(losses[-1], 0.1 * losses[0])


if __name__ == "__main__":
    absltest.main()
