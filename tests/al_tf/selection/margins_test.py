"""Margins against hand-computed values; bad rows are named."""

import numpy as np
from absl.testing import absltest, parameterized

import al_tf
from al_tf.selection import margins
from runkit import InputError


class MarginScoresTest(parameterized.TestCase):
    def test_by_hand(self):
        p = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [1 / 3, 1 / 3, 1 / 3]])
        scores = al_tf.margin_scores(p)
        np.testing.assert_allclose(scores, [0.2, 0.7, 0.0], atol=1e-6)
        self.assertEqual(scores.dtype, np.float32)

    @parameterized.parameters(np.float32, np.float64)
    def test_rounding_beyond_the_range_is_clipped(self, dtype):
        p = np.array([[1 + 1.2e-7, -1e-7], [0.75, 0.25]], dtype)
        np.testing.assert_array_equal(al_tf.margin_scores(p), [1, 0.5])
        np.testing.assert_array_equal(
            al_tf.multilabel_margin_scores(p), [1, 0.5]
        )
        clipped = margins.check_margins(p[:, 0])
        np.testing.assert_array_equal(clipped, np.array([1, 0.75], dtype))

    @parameterized.parameters(1.001, -0.001)
    def test_more_than_rounding_is_refused(self, value):
        with self.assertRaisesRegex(InputError, "example ids 0"):
            al_tf.margin_scores(np.array([[value, 1 - value]]))
        with self.assertRaisesRegex(InputError, "example ids 0"):
            margins.check_margins(np.array([value]))

    def test_logits_are_softmaxed(self):
        z = np.array([[1000.0, 1000 + np.log(3)], [-5.0, -5.0]])
        np.testing.assert_allclose(
            al_tf.margin_scores(z, from_logits=True), [0.5, 0.0], atol=1e-6
        )

    def test_multilabel_by_hand(self):
        p = np.array([[0.9, 0.45], [0.0, 1.0]])
        np.testing.assert_allclose(
            al_tf.multilabel_margin_scores(p), [0.1, 1.0], atol=1e-6
        )
        z = np.log(np.array([[0.9, 0.45]]) / (1 - np.array([[0.9, 0.45]])))
        np.testing.assert_allclose(
            al_tf.multilabel_margin_scores(z, from_logits=True),
            [0.1],
            atol=1e-6,
        )

    def test_shards_and_streams_equal_one_array(self):
        p = np.random.default_rng(0).dirichlet(np.ones(4), 90)
        whole = al_tf.margin_scores(p)
        stream = (p[a : a + 25] for a in range(0, 90, 25))
        np.testing.assert_array_equal(al_tf.margin_scores(stream), whole)
        folder = self.create_tempdir()
        for i in range(3):
            np.save(f"{folder.full_path}/{i}.npy", p[30 * i : 30 * i + 30])
        np.testing.assert_array_equal(
            al_tf.margin_scores(folder.full_path), whole
        )

    @parameterized.parameters(np.nan, -0.1, 1.5, np.inf)
    def test_bad_values_are_named(self, value):
        p = np.full((5, 2), 0.5)
        p[3, 0] = value
        for function in (
            al_tf.margin_scores,
            al_tf.multilabel_margin_scores,
        ):
            with self.assertRaisesRegex(InputError, "example ids 3"):
                function(p)

    def test_unnormalized_rows_are_named_across_blocks(self):
        blocks = [np.full((4, 2), 0.5), np.array([[0.5, 0.5], [0.9, 0.9]])]
        with self.assertRaisesRegex(InputError, "ids 5. .*from_logits"):
            al_tf.margin_scores(iter(blocks))

    def test_probabilities_are_no_logits(self):
        random = np.random.default_rng(0)
        rows = random.dirichlet(np.ones(3), 60).astype(np.float16)
        for function in (
            al_tf.margin_scores,
            al_tf.multilabel_margin_scores,
        ):
            with self.assertRaisesRegex(
                InputError, "probabilities, not logits"
            ):
                function([rows[:30], rows[30:]], from_logits=True)
            self.assertLen(function(rows), 60)

    def test_one_class_and_integers_are_refused(self):
        with self.assertRaisesRegex(InputError, "one class"):
            al_tf.margin_scores(np.ones((3, 1)))
        with self.assertRaisesRegex(InputError, "floating-point"):
            al_tf.margin_scores(np.ones((3, 2), np.int64))

    @parameterized.parameters(np.nan, -1e-3, 1.01)
    def test_check_margins(self, value):
        m = np.array([0.5, value])
        with self.assertRaisesRegex(InputError, "ids 1"):
            margins.check_margins(m)
        with self.assertRaisesRegex(InputError, "floating"):
            margins.check_margins(np.array([0, 1]))


if __name__ == "__main__":
    absltest.main()
