"""Planted families: sizes, labels, and copies nearer than strangers."""

import numpy as np
from absl.testing import absltest

from al_tf.pools import near_copies as near_duplicates
from al_tf.pools import pool as pools
from tests.support import loop_data


class PlantTest(absltest.TestCase):
    def check_family(self, pool):
        copies, origin = near_duplicates.plant(pool, 10, seed=1)
        sizes = np.bincount(origin, minlength=len(pool))
        self.assertGreaterEqual(sizes.min(), 10)
        self.assertLessEqual(sizes.max(), 100)
        self.assertGreater(len(set(sizes.tolist())), 1)
        np.testing.assert_array_equal(copies.labels, pool.labels[origin])
        np.testing.assert_array_equal(copies.rows, np.arange(len(origin)))
        again, _ = near_duplicates.plant(pool, 10, seed=1)
        self.assertEqual(again.fingerprint, copies.fingerprint)
        other, _ = near_duplicates.plant(pool, 10, seed=2)
        self.assertNotEqual(other.fingerprint, copies.fingerprint)
        return copies, origin

    def test_embeddings(self):
        pool = loop_data.blobs(30)
        copies, origin = self.check_family(pool)
        moved = np.linalg.norm(copies.inputs - pool.inputs[origin], axis=1)
        distance = np.linalg.norm(pool.inputs[:, None] - pool.inputs, axis=2)
        apart = np.median(distance[distance > 0])
        self.assertGreater(moved.min(), 0)
        self.assertLess(moved.max(), 0.2 * apart)

    def test_images(self):
        random = np.random.default_rng(0)
        images = random.integers(20, 230, (5, 12, 12, 3)).astype(np.uint8)
        pool = pools.make_examples("image", images, np.arange(5), "abcde")
        copies, origin = self.check_family(pool)
        self.assertEqual(copies.inputs.dtype, np.uint8)
        middle = images[origin].astype(float).mean((1, 2, 3))
        light = copies.inputs.astype(float).mean((1, 2, 3)) - middle
        self.assertLess(np.abs(light).max(), 8.01)

    def test_texts(self):
        copies, origin = self.check_family(loop_data.texts(20))
        originals = loop_data.texts(20).inputs
        kept = 0
        for text, number in zip(copies.inputs, origin, strict=True):
            words = originals[number].split(" ")
            self.assertContainsSubset(text.split(" "), words)
            kept += len(text.split(" ")) / len(words)
        self.assertAlmostEqual(kept / len(origin), 0.95, delta=0.03)

    def test_a_text_of_one_word_stays(self):
        texts = np.array(["word"] * 50, object)
        pool = pools.make_examples("text", texts, np.zeros(50, int), "ab")
        copies, _ = near_duplicates.plant(pool, 1)
        self.assertEqual(set(copies.inputs), {"word"})


if __name__ == "__main__":
    absltest.main()
