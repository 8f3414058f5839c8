"""The generator: sampling, placing, and what its predictions depend on."""

import json

import keras
import numpy as np
from absl.testing import absltest

from spactor_tf.config.model import GeneratorConfig
from spactor_tf.model.generator import (
    Generator,
    ReplacedTokenHead,
    put_positions,
    sample_replacements,
    take_positions,
)


def sample(logits, uniforms, forbidden=None):
    logits = np.asarray(logits, np.float32)
    if forbidden is None:
        forbidden = np.zeros(logits.shape[-1], bool)
    uniforms = np.asarray(uniforms, np.float32)
    return np.asarray(sample_replacements(logits, uniforms, forbidden))


class SamplingTest(absltest.TestCase):
    def test_inverts_the_distribution_at_hand_made_points(self):
        # Probabilities 0.1, 0.2, 0.3, 0.4: cumulative 0.1, 0.3, 0.6, 1.0.
        logits = np.log([0.1, 0.2, 0.3, 0.4])
        uniforms = [[0.0, 0.09, 0.11, 0.29, 0.31, 0.59, 0.61, 0.9999999]]
        logits = np.broadcast_to(logits, [1, 8, 4])
        self.assertEqual(
            sample(logits, uniforms).tolist(), [[0, 0, 1, 1, 2, 2, 3, 3]]
        )

    def test_equals_a_long_sum_in_double_precision(self):
        random = np.random.default_rng(0)
        logits = random.normal(size=(4, 50, 1000)).astype(np.float32) * 3
        uniforms = random.random((4, 50)).astype(np.float32)
        forbidden = random.random(1000) < 0.3
        weights = np.exp(logits.astype(np.float64)) * ~forbidden
        ends = np.cumsum(weights, -1) / weights.sum(-1, keepdims=True)
        expected = (ends <= uniforms[..., None]).sum(-1)
        found = sample(logits, uniforms, forbidden)
        # Float32 may fall on the other side of a boundary, to a neighbor.
        self.assertGreaterEqual(np.mean(found == expected), 0.99)

    def test_frequencies_are_the_softmax(self):
        random = np.random.default_rng(1)
        logits = np.broadcast_to(random.normal(size=300), [1, 60_000, 300])
        uniforms = random.random((1, 60_000))
        counts = np.bincount(sample(logits, uniforms)[0], minlength=300)
        expected = np.exp(logits[0, 0])
        expected *= 60_000 / expected.sum()
        chi_square = ((counts - expected) ** 2 / expected).sum()
        # 299 degrees of freedom: mean 299, standard deviation 24.
        self.assertBetween(chi_square, 299 - 5 * 24.5, 299 + 5 * 24.5)

    def test_forbidden_tokens_are_never_sampled(self):
        forbidden = np.zeros(300, bool)
        forbidden[[0, 1, 127, 128, 255, 298, 299]] = True
        logits = np.full((1, 4000, 300), -5.0)
        logits[..., forbidden] = 20.0
        uniforms = np.linspace(0.0, 1.0 - 2**-24, 4000)[np.newaxis]
        found = sample(logits, uniforms, forbidden)
        self.assertFalse(forbidden[found].any())
        self.assertEqual(len(np.unique(found)), 300 - 7)

    def test_a_certain_prediction_is_always_taken(self):
        logits = np.full((1, 3, 257), -100.0)
        logits[..., 256] = 100.0
        found = sample(logits, [[0.0, 0.5, 1.0 - 2**-24]])
        self.assertEqual(found.tolist(), [[256] * 3])


class PositionsTest(absltest.TestCase):
    def test_take_and_put(self):
        values = np.array([[10, 11, 12], [20, 21, 22]], np.int32)
        positions = np.array([[2, 0], [1, 2]], np.int32)
        taken = np.asarray(take_positions(values, positions))
        self.assertEqual(taken.tolist(), [[12, 10], [21, 22]])
        put = np.asarray(put_positions(values, positions, positions * 0 - 1))
        self.assertEqual(put.tolist(), [[-1, 11, -1], [20, -1, -1]])

    def test_take_rows_of_states(self):
        values = np.arange(12.0).reshape(2, 3, 2)
        positions = np.array([[0], [2]], np.int32)
        taken = np.asarray(take_positions(values, positions))
        self.assertEqual(taken.tolist(), [[[0.0, 1.0]], [[10.0, 11.0]]])


class GeneratorTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.generator = Generator(GeneratorConfig(2, 16, 2, 32), 24, 50)
        self.generator.build((None, None, 24))
        random = np.random.default_rng(0)
        self.embeddings = random.normal(size=(1, 12, 24)).astype(np.float32)
        self.matrix = random.normal(size=(50, 24)).astype(np.float32)
        self.positions = np.array([[1, 7]], np.int32)

    def predict(self, embeddings, mask):
        logits = self.generator(embeddings, mask, self.positions, self.matrix)
        return np.asarray(logits)

    def test_sees_both_sides_and_no_padding(self):
        mask = np.ones((1, 12), np.int32)
        mask[0, 10:] = 0
        before = self.predict(self.embeddings, mask)
        self.assertEqual(before.shape, (1, 2, 50))
        for place, changes in ((0, True), (9, True), (10, False), (11, False)):
            moved = self.embeddings.copy()
            moved[0, place] += 1.0
            difference = np.abs(self.predict(moved, mask) - before).max()
            self.assertEqual(difference > 1e-5, changes, place)

    def test_serialized_layers_compute_the_same(self):
        head = ReplacedTokenHead(24, name="head", dtype="mixed_bfloat16")
        head.build((None, None, 24))
        mask = np.ones((1, 12), np.int32)
        generator = Generator(GeneratorConfig(1, 16, 2, 32), 24, 50, 0.25)
        generator.build((None, None, 24))
        calls = (
            (generator, (self.embeddings, mask, self.positions, self.matrix)),
            (head, (self.embeddings,)),
        )
        for layer, arguments in calls:
            text = json.dumps(keras.saving.serialize_keras_object(layer))
            again = keras.saving.deserialize_keras_object(json.loads(text))
            self.assertIs(type(again), type(layer))
            self.assertEqual(again.get_config(), layer.get_config())
            again.set_weights(layer.get_weights())
            np.testing.assert_array_equal(again(*arguments), layer(*arguments))

    def test_head_gives_one_logit_per_token(self):
        head = ReplacedTokenHead(24)
        head.build((None, None, 24))
        self.assertEqual(head(self.embeddings).shape, (1, 12))


if __name__ == "__main__":
    absltest.main()
