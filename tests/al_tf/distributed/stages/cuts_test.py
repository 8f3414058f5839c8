"""The last values of lists so far: fewer products, and the same lists."""

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.distributed.stages import search
from al_tf.distributed.stages.search import Axes, Queries
from al_tf.neighbors import exact_index, tiles
from al_tf.neighbors.contraction import principal_axes
from tests.al_tf.neighbors import verified

_K, _BLOCKS, _ROWS = 6, 5, 512


def pool(kind, d=24):
    n = _BLOCKS * _ROWS
    generator = np.random.default_rng(0)
    if kind == "ties":
        # Small whole numbers: their products are exact in float32.
        return generator.integers(0, 3, (n, d)).astype(np.float32)
    axes = generator.standard_normal((d, d)) * 0.7 ** np.arange(d)[:, None]
    return (generator.standard_normal((n, d)) @ axes).astype(np.float32)


class CutsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.enter_context(absltest.mock.patch.object(tiles, "TILE_ROWS", 64))

    def lists(self, rows, threshold, axes, *, carried):
        """Lists of all blocks, as `first_search` makes them."""
        n = len(rows)
        blocks = [
            Queries(rows[a : a + _ROWS], np.zeros(_ROWS), np.arange(_ROWS) + a)
            for a in range(0, n, _ROWS)
        ]
        largest = float(np.square(rows.astype(np.float64)).sum(1).max())
        lists, cuts = [()] * _BLOCKS, [()] * _BLOCKS
        with verified.counted() as count:
            for wave, pairs in enumerate(tiles.tournament(_BLOCKS)):
                for i, j in pairs:
                    made = search.lists_of_pair(
                        _K,
                        threshold,
                        n,
                        largest,
                        axes,
                        blocks[i],
                        i * _ROWS,
                        blocks[j] if j > i else None,
                        j * _ROWS,
                        *((cuts[i], cuts[j]) if wave and carried else ()),
                    )
                    for block, new in zip((i, j), made, strict=False):
                        old = (lists[block],) if wave else ()
                        lists[block], cuts[block] = search.listed(*old, new)
        return lists, count

    @parameterized.product(
        kind=["ties", "plain"],
        threshold=[np.inf, "some", "few"],
        contracted=[False, True],
    )
    def test_the_same_lists(self, kind, threshold, contracted):
        rows = pool(kind)
        if threshold != np.inf:
            # Beyond some of the sixth neighbors, or nearly all of them.
            one = np.square(rows[:1] - rows).sum(1)
            threshold = float(np.sort(one)[9 if threshold == "some" else 2])
        axes = Axes(principal_axes(rows), 8) if contracted else None
        expected, _ = self.lists(rows, threshold, axes, carried=False)
        found, _ = self.lists(rows, threshold, axes, carried=True)
        for one, other in zip(found, expected, strict=True):
            for a, b in zip(one, other, strict=True):
                np.testing.assert_array_equal(a, b)

    def test_fewer_products(self):
        rows = pool("plain")
        axes = Axes(principal_axes(rows), 8)
        with absltest.mock.patch.object(
            exact_index, "most_survivors", lambda pairs, d: pairs + 1
        ):
            _, anew = self.lists(rows, np.inf, axes, carried=False)
            _, count = self.lists(rows, np.inf, axes, carried=True)
        self.assertLess(count.pairs, 0.6 * anew.pairs)


if __name__ == "__main__":
    absltest.main()
