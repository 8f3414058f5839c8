"""Fewer dimensions that lengthen no distance, and the choice of how many."""

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
from absl.testing import absltest
from hypothesis import strategies as st

from al_tf.neighbors import contraction

_ROWS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(2, 12), st.integers(3, 9)),
    elements=st.floats(-100, 100, width=32),
)


def squared_distances(a, b):
    step = a[:, None].astype(np.float64) - b[None]
    return (step**2).sum(2)


class ContractionTest(absltest.TestCase):
    @hypothesis.given(_ROWS, st.integers(2, 8))
    @hypothesis.settings(deadline=None, max_examples=100)
    def test_no_distance_grows(self, rows, width):
        width = min(width, rows.shape[1])
        axes = contraction.principal_axes(rows)
        np.testing.assert_allclose(
            axes.T @ axes, np.eye(rows.shape[1]), atol=1e-9
        )
        short = contraction.contract(rows, axes, width)
        self.assertEqual(short.shape, (len(rows), width))
        room = 1e-6 * np.square(rows.astype(np.float64)).sum(1).max()
        grown = squared_distances(short, short) - squared_distances(rows, rows)
        self.assertLessEqual(grown.max(), room)

    def test_norms_stay(self):
        rows = np.random.default_rng(0).standard_normal((50, 20)).astype("f")
        axes = contraction.principal_axes(rows)
        short = contraction.contract(rows, axes, 8)
        np.testing.assert_allclose(
            np.linalg.norm(short, axis=1),
            np.linalg.norm(rows, axis=1),
            rtol=1e-5,
        )

    def test_principal_axes_come_largest_first(self):
        rows = np.random.default_rng(1).standard_normal((5000, 3))
        axes = contraction.principal_axes(rows * [0.1, 5, 1])
        order = np.abs(axes).argmax(0).tolist()
        self.assertEqual(order, [1, 2, 0])

    def test_width_by_what_the_dimensions_say(self):
        generator = np.random.default_rng(2)
        noise = generator.standard_normal((3000, 64)).astype(np.float32)

        def chosen(rows, cut):
            bias = (rows**2).sum(1)
            axes = contraction.principal_axes(rows)
            cuts = cut - bias[:100]
            return contraction.best_width(
                rows, bias, axes, rows[:100], np.arange(100), cuts
            )

        # Eight dimensions hold everything: looking further is wasted.
        flat = noise * (np.arange(64) < 7)
        self.assertEqual(chosen(flat, 0.01), 8)
        # A few rows are their own only neighbors in the sample.
        few = flat[:100] + np.float32(0)
        self.assertEqual(chosen(few, 1e-3), 8)
        # The 100th nearest of isotropic rows is found in no projection.
        far = np.sort(squared_distances(noise[:1], noise)[0])[100]
        self.assertIsNone(chosen(noise, far))


if __name__ == "__main__":
    absltest.main()
