"""Lists of parts, merged, against those of the exact index: the same bits."""

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.distributed.stages import search
from al_tf.distributed.stages.parts import new_part
from al_tf.distributed.stages.search import Queries
from al_tf.neighbors import tiles
from al_tf.neighbors.exact_index import ExactIndex
from al_tf.neighbors.tiles import tournament


def queries(rows, start):
    """Points as queries; their origins are their rows."""
    n = len(rows)
    return Queries(rows, np.zeros(n), np.arange(start, start + n))


class ListsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        # Ties everywhere: what is kept depends on who came first.
        generator = np.random.default_rng(6)
        self.rows = generator.integers(0, 2, (200, 4)).astype(np.float32)
        self.enter_context(absltest.mock.patch.object(tiles, "TILE_ROWS", 8))
        self.enter_context(absltest.mock.patch.object(tiles, "NUM_BLOCKS", 6))

    @parameterized.product(
        edges=[[0, 200], [0, 8, 64, 72, 200], [0, 104, 200]],
        threshold=[np.inf, 1.5],
    )
    def test_all_rows_at_once(self, edges, threshold):
        n, k = 200, 6
        index = ExactIndex(self.rows, np.zeros(n))
        expected = index.search_all(k, np.full(n, threshold))
        blocks = [
            queries(self.rows[a:b], a)
            for a, b in zip(edges[:-1], edges[1:], strict=True)
        ]
        lists = [[] for _ in blocks]
        # In any order, here the last first.
        for i, j in [p for pairs in tournament(len(blocks)) for p in pairs][
            ::-1
        ]:
            second = blocks[j] if j > i else None
            made = search.lists_of_pair(
                k,
                threshold,
                n,
                index.largest,
                None,
                blocks[i],
                edges[i],
                second,
                edges[j],
            )
            for block, found in zip((i, j), made, strict=False):
                lists[block].append(found)
        answers = [
            search.answered(block, index.largest, *found)
            for block, found in zip(blocks, lists, strict=True)
        ]
        np.testing.assert_array_equal(
            np.concatenate([a.ids for a in answers]), expected.ids
        )
        np.testing.assert_array_equal(
            np.concatenate([a.bound for a in answers]), expected.bound
        )

    @parameterized.parameters(1, 3, 5)
    def test_queries(self, num_parts):
        n, k = 200, 5
        offsets = np.random.default_rng(0).integers(0, 2, n) * 1.0
        offsets[::9] = np.inf
        asked = np.arange(3, 150, 7)
        index = ExactIndex(self.rows, offsets)
        expected = index.search(
            self.rows[asked], k, asked, np.full(len(asked), 2.0)
        )
        cuts = [8 * (25 * p // num_parts) for p in range(num_parts)] + [n]
        given = Queries(self.rows[asked], np.zeros(len(asked)), asked)
        pieces = [Queries(*(a[:9] for a in given))]
        pieces.append(Queries(*(a[9:] for a in given)))
        lists = []
        for a, b in zip(cuts[:-1], cuts[1:], strict=True):
            part = new_part(
                self.rows[a:b].astype(np.float64),
                np.arange(a, b),
                np.ones(b - a),
                np.isfinite(offsets[a:b]),
                k,
            )
            variance = np.where(part.is_open, offsets[a:b], 0.0)
            lists.append(
                search.search_part(
                    part._replace(variance=variance),
                    k,
                    2.0,
                    index.largest,
                    None,
                    *pieces,
                )
            )
        answers = [
            search.answered(piece, index.largest, *found)
            for piece, *found in zip(pieces, *lists, strict=True)
        ]
        np.testing.assert_array_equal(
            np.concatenate([a.ids for a in answers]), expected.ids
        )
        np.testing.assert_array_equal(
            np.concatenate([a.bound for a in answers]), expected.bound
        )


if __name__ == "__main__":
    absltest.main()
