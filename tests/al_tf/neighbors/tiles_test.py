"""Tiles, and when the blocks of a tournament meet."""

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.neighbors import tiles


class TilesTest(parameterized.TestCase):
    def test_tiles_by_hand(self):
        found = tiles.tiles_of(2 * tiles.TILE_ROWS + 1)
        self.assertEqual([t.start for t in found], [0, 512, 1024])
        self.assertEqual(found[-1].stop, 1025)
        self.assertEmpty(tiles.tiles_of(0))

    @parameterized.parameters((1, 1), (512 * 32, 1), (512 * 64, 2), (10**8, 8))
    def test_tiles_per_block(self, rows, expected):
        self.assertEqual(tiles.tiles_per_block(rows), expected)

    @parameterized.parameters(*range(1, 12), 57)
    def test_the_formula_is_the_tournament(self, players):
        met = np.full((players, players), -1)
        for number, pairs in enumerate(tiles.tournament(players)):
            for i, j in pairs:
                met[i, j] = met[j, i] = number
        first, second = np.indices(met.shape)
        np.testing.assert_array_equal(
            tiles.round_of(first, second, players), met
        )


if __name__ == "__main__":
    absltest.main()
