"""The image learner: learns, repeats itself exactly, refuses other shapes."""

import dataclasses

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from al_tf.learners import image_learner
from al_tf.learners.image_learner import ImageLearner, ImageOptions
from runkit import InputError

_OPTIONS = ImageOptions(
    width=8,
    train_steps=40,
    batch_size=16,
    learning_rate=0.05,
    shift=1,
    score_batch_size=7,
)


def stripes(n=60, channels=3):
    """Horizontal against vertical stripes: a mirror changes no label."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, n)
    wave = 100 * (np.arange(8) % 4 < 2)
    images = np.where(
        labels[:, None, None] == 0, wave[None, :, None], wave[None, None, :]
    )
    noise = random.integers(0, 100, (n, 8, 8, channels))
    return (images[..., None] + noise).astype(np.uint8), labels


class ImageLearnerTest(parameterized.TestCase):
    def test_learns_and_repeats_itself(self):
        images, labels = stripes()
        learner = ImageLearner(images, 2, options=_OPTIONS)
        ids = np.arange(40)
        learner.fit(ids, labels[:40], seed=2**61)
        p, embeddings = learner.score(np.arange(60))
        self.assertEqual(p.shape, (60, 2))
        self.assertEqual(embeddings.shape, (60, 32))
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
        self.assertGreater((p.argmax(1) == labels)[40:].mean(), 0.9)
        learner.fit(ids[:5], labels[:5], seed=1)
        self.assertFalse(np.array_equal(learner.score(np.arange(60))[0], p))
        learner.fit(ids, labels[:40], seed=2**61)
        np.testing.assert_array_equal(learner.score(np.arange(60))[0], p)

    def test_scores_do_not_depend_on_their_neighbors(self):
        images, labels = stripes()
        learner = ImageLearner(images, 2, options=_OPTIONS)
        learner.fit(np.arange(60), labels, seed=0)
        whole = learner.score(np.arange(60))
        some = np.array([50, 3, 20])
        for part, all_of_it in zip(learner.score(some), whole, strict=True):
            np.testing.assert_allclose(part, all_of_it[some], atol=1e-6)

    def test_epochs_train_for_longer_the_more_is_labeled(self):
        images, labels = stripes()
        learners = [
            ImageLearner(images, 2, options=dataclasses.replace(_OPTIONS, **o))
            for o in (
                {"train_steps": 9, "train_epochs": 4.0},
                {"train_steps": 15},
                {"train_steps": 9},
            )
        ]
        for count, same, other in ((60, 1, 2), (30, 2, 1)):
            ids, found = np.arange(count), []
            for learner in learners:
                learner.fit(ids, labels[:count], seed=0)
                found.append(learner.score(np.arange(60))[0])
            np.testing.assert_array_equal(found[0], found[same])
            self.assertFalse(np.array_equal(found[0], found[other]))

    def test_warm_start_continues_from_the_last_weights(self):
        images, labels = stripes()
        ids = np.arange(60)
        warm = ImageLearner(images, 2, warm_start=True, options=_OPTIONS)
        warm.fit(ids, labels, seed=0)
        first, _ = warm.score(ids)
        warm.fit(ids, labels, seed=0)
        second, _ = warm.score(ids)
        self.assertFalse(np.array_equal(first, second))
        warm.reset()
        warm.fit(ids, labels, seed=0)
        np.testing.assert_array_equal(warm.score(ids)[0], first)

    def test_multilabel_on_gray_images(self):
        images, labels = stripes(channels=1)
        both = np.stack([labels, 1 - labels, labels], 1)
        learner = ImageLearner(images, 3, multilabel=True, options=_OPTIONS)
        learner.fit(np.arange(60), both, seed=0)
        p, _ = learner.score(np.arange(60))
        self.assertGreater(((p > 0.5) == both).mean(), 0.9)

    @parameterized.parameters(
        ((4, 32, 32), np.uint8),
        ((4, 32, 32, 4), np.uint8),
        ((4, 4, 32, 3), np.uint8),
        ((4, 32, 32, 3), np.float32),
    )
    def test_other_shapes_are_refused(self, shape, dtype):
        with self.assertRaisesRegex(InputError, r"n, height, width"):
            ImageLearner(np.zeros(shape, dtype), 2)

    def test_initial_weights(self):
        network = image_learner.build_network((16, 16, 3), 5, 16)
        image_learner.initialize(network, 3)
        kernel = next(v for v in network.variables if v.shape[:2] == (3, 3))
        deviation = kernel.numpy().std()
        self.assertAlmostEqual(deviation, np.sqrt(2 / 27), delta=0.03)
        first = kernel.numpy()
        image_learner.initialize(network, 4)
        self.assertFalse(np.array_equal(kernel.numpy(), first))
        image_learner.initialize(network, 3)
        np.testing.assert_array_equal(kernel.numpy(), first)


class AugmentTest(absltest.TestCase):
    def test_every_result_is_a_move_and_perhaps_a_mirror(self):
        random = np.random.default_rng(0)
        images = random.integers(1, 256, (64, 6, 5, 2)).astype(np.uint8)
        moved = image_learner.augment(
            tf.constant(images), tf.constant([1, 2]), 2
        ).numpy()
        seen = set()
        for image, result in zip(images, moved, strict=True):
            padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
            found = [
                (row, column, step)
                for row in range(5)
                for column in range(5)
                for step in (1, -1)
                if np.array_equal(
                    padded[row : row + 6, column : column + 5][:, ::step],
                    result,
                )
            ]
            self.assertLen(found, 1)
            seen.update(found)
        self.assertEqual({s[0] for s in seen}, set(range(5)))
        self.assertEqual({s[1] for s in seen}, set(range(5)))
        self.assertEqual({s[2] for s in seen}, {1, -1})
        again = image_learner.augment(
            tf.constant(images), tf.constant([1, 2]), 2
        )
        np.testing.assert_array_equal(again, moved)


if __name__ == "__main__":
    absltest.main()
