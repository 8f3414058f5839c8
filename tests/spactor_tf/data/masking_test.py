"""Masks for the generator: distinct, eligible, equally likely."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import scipy.stats
import tensorflow as tf
from absl.testing import absltest, parameterized

from spactor_tf.data.corruption import eligible_tokens, masked_lm_positions

EOS, PAD = 1, 0
SENTINELS = np.arange(1099, 999, -1)  # T5's descending order.
SPECIAL = np.array([PAD, EOS, 1100, *SENTINELS])
SEEDS = 200


class MaskingTest(parameterized.TestCase):
    def draw(self, tokens, count, seed=0, first=0):
        rows = len(tokens)
        return masked_lm_positions(
            tf.constant(tokens, tf.int32),
            tf.range(first, first + rows, dtype=tf.int64),
            num_positions=count,
            ineligible_ids=SPECIAL,
            seed=seed,
        ).numpy()

    def tokens(self, rows, length=40):
        tokens = np.full([rows, length], 7)
        tokens[:, 3] = SENTINELS[0]
        tokens[:, 10] = SENTINELS[99]
        tokens[:, 20] = EOS
        tokens[:, 30] = 1100  # The mask.
        tokens[:, -2:] = EOS, PAD
        return tokens

    def test_distinct_eligible_ascending_and_exactly_as_many(self):
        for seed in range(SEEDS):
            positions = self.draw(self.tokens(20), 5, seed)
            self.assertEqual(positions.shape, (20, 5))
            self.assertTrue((np.diff(positions, axis=1) > 0).all())
            self.assertEmpty(set(positions.ravel()) & {3, 10, 20, 30, 38, 39})

    def test_eligible_positions_are_equally_likely(self):
        positions = self.draw(self.tokens(20_000), 5, seed=3)
        counts = np.bincount(positions.ravel(), minlength=40)
        drawn = counts[counts > 0]
        self.assertLen(drawn, 34)
        # Without replacement a count has a smaller variance than chi-square
        # supposes, by (1 - 5 / 34) * 34 / 33.
        statistic = ((drawn - drawn.mean()) ** 2 / drawn.mean()).sum()
        statistic /= (1 - 5 / 34) * 34 / 33
        low, high = scipy.stats.chi2.ppf([1e-3, 1 - 1e-3], 33)
        self.assertBetween(statistic, low, high)

    @parameterized.parameters(3, 5, 40)
    def test_all_eligible_tokens_come_before_any_other(self, count):
        tokens = np.full([6, 40], PAD)
        tokens[:, [0, 17, 39]] = 7
        for row in self.draw(tokens, count):
            self.assertLen(set(row), count)
            self.assertContainsSubset({0, 17, 39}, row)

    def test_row_without_any_eligible_token_still_has_a_shape(self):
        positions = self.draw(np.full([2, 40], EOS), 4)
        self.assertEqual(positions.shape, (2, 4))
        self.assertBetween(positions.min(), 0, 39)

    def test_any_batch_size_gives_the_same_positions(self):
        tokens = self.tokens(12)
        whole = self.draw(tokens, 5, seed=2)
        parts = [self.draw(tokens[i : i + 4], 5, 2, first=i) for i in (0, 4, 8)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)

    def test_eligible_tokens(self):
        tokens = np.arange(1200, dtype=np.int32)[np.newaxis]
        got = eligible_tokens(tf.constant(tokens), SPECIAL[::-1]).numpy()
        np.testing.assert_array_equal(got, ~np.isin(tokens, SPECIAL))


if __name__ == "__main__":
    absltest.main()
