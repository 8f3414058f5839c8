"""Examples: their frame, their identity, and what is held out of them."""

import dataclasses

import numpy as np
from absl.testing import absltest

from al_tf.pools import pool as pools
from runkit import InputError


class ExamplesTest(absltest.TestCase):
    def pool(self, n=50):
        labels = np.arange(n) % 3 - (np.arange(n) % 5 == 0) * 10
        labels[labels < 0] = pools.UNKNOWN
        rows = np.random.default_rng(0).standard_normal((n, 2)).astype("f")
        return pools.make_examples("embedding", rows, labels, "abc")

    def test_hold_out_takes_labeled_rows_and_keeps_their_numbers(self):
        pool = self.pool()
        rest, test = pools.hold_out(pool, 0.25)
        self.assertLen(test, round(0.25 * pool.labeled.sum()))
        self.assertTrue(test.labeled.all())
        both = np.sort(np.concatenate([rest.rows, test.rows]))
        np.testing.assert_array_equal(both, np.arange(50))
        np.testing.assert_array_equal(rest.inputs, pool.inputs[rest.rows])
        again, _ = pools.hold_out(pool, 0.25)
        np.testing.assert_array_equal(again.rows, rest.rows)

    def test_fingerprint_sees_inputs_labels_and_classes(self):
        pool = self.pool()
        seen = {pool.fingerprint}
        for change in (
            {"inputs": pool.inputs + 1},
            {"labels": pool.labels[::-1]},
            {"classes": ("a", "b", "d")},
        ):
            seen.add(dataclasses.replace(pool, **change).fingerprint)
        self.assertLen(seen, 4)

    def test_frames(self):
        pool = self.pool()
        pools.check_same_frame(pool, pool)
        wide = dataclasses.replace(pool, inputs=np.zeros((50, 3), "f"))
        with self.assertRaisesRegex(InputError, "another shape"):
            pools.check_same_frame(pool, wide)
        many = dataclasses.replace(pool, multilabel=True)
        with self.assertRaisesRegex(InputError, "another kind of labels"):
            pools.check_same_frame(pool, many)
        other = dataclasses.replace(pool, classes=("a", "b"))
        with self.assertRaisesRegex(InputError, "other classes"):
            pools.check_same_frame(pool, other)


if __name__ == "__main__":
    absltest.main()
