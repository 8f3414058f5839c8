"""Lists that have met few rows: what a contraction cannot rule out yet."""

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.neighbors import exact_index, tiles
from al_tf.neighbors.contraction import (
    Contraction,
    contract,
    most_survivors,
    principal_axes,
)
from al_tf.neighbors.exact_index import ExactIndex
from tests.al_tf.neighbors import verified


def themes(n, d, seed=0):
    """Families within themes: near rows are met late, the others are far."""
    generator = np.random.default_rng(seed)
    centers = generator.standard_normal((n // 60, d))
    families = centers[generator.integers(0, len(centers), n // 6)]
    families += 0.35 * generator.standard_normal(families.shape)
    rows = families[generator.integers(0, len(families), n)]
    rows = rows + 0.12 * generator.standard_normal(rows.shape)
    return (rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32)


class ColdListsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.enter_context(absltest.mock.patch.object(tiles, "TILE_ROWS", 64))
        # One thread: the products are counted.
        self.enter_context(
            absltest.mock.patch.object(
                tiles.numba, "get_num_threads", lambda: 1
            )
        )

    def found(self, rows, axes, how, k=8):
        index = ExactIndex(
            rows, contraction=Contraction(axes, contract(rows, axes, 16))
        )
        with verified.counted() as count:
            if how == "all":
                answer = index.search_all(k)
            else:
                answer = index.search(rows[:300], k, np.arange(300))
        return answer, count

    @parameterized.parameters("all", "queries")
    def test_few_products_are_computed_one_by_one(self, how):
        rows = themes(2000, 32)
        axes = principal_axes(rows)
        answer, count = self.found(rows, axes, how)
        with absltest.mock.patch.object(
            exact_index, "most_survivors", lambda pairs, d: pairs + 1
        ):
            # What is left by the bounds is computed, however much it is.
            expected, every = self.found(rows, axes, how)
        np.testing.assert_array_equal(answer.ids, expected.ids)
        np.testing.assert_array_equal(answer.bound, expected.bound)
        self.assertEqual(every.full, 0)
        self.assertGreater(count.full, 0)
        self.assertLess(count.pairs, every.pairs / 2)

    def test_a_tile_computes_no_more_than_its_share(self):
        rows = themes(1000, 32)
        seen = []
        scan_tile = exact_index.row_kernels.scan_tile

        def watching(products, *rest):
            done, pairs = scan_tile(products, *rest)
            if rest[-1] < products.size:
                seen.append((pairs, rest[-1], done < len(products)))
            return done, pairs

        with absltest.mock.patch.object(
            exact_index.row_kernels, "scan_tile", watching
        ):
            self.found(rows, principal_axes(rows), "all")
        self.assertTrue(any(stopped for _, _, stopped in seen))
        for pairs, most, _ in seen:
            # It stops after a row of the tile.
            self.assertLessEqual(pairs, most + 64)

    def test_share_by_hand(self):
        # 6,000 + 64 for one that is left; 64 for each pair of the tile.
        self.assertEqual(most_survivors(512 * 512, 64), 512 * 512 * 64 // 6064)


if __name__ == "__main__":
    absltest.main()
