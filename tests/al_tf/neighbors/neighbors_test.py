"""Neighbor search: the exact index against numpy, bounds, order, recall."""

import itertools

import numpy as np
import pytest
from absl.testing import absltest, parameterized

from al_tf.neighbors import (
    contraction,
    exact_index,
    recall,
    row_order,
    scann_index,
    tiles,
)
from al_tf.neighbors.exact_index import ExactIndex
from runkit import InputError


def all_distances(queries, rows, offsets=0.0):
    step = queries[:, None].astype(np.float64) - rows[None]
    return (step**2).sum(2) + offsets


class ExactIndexTest(parameterized.TestCase):
    @parameterized.product(d=[1, 7, 64], n=[1, 5, 700, 5000], offset=[0.0, 1.0])
    def test_finds_the_nearest_and_bounds_the_rest(self, d, n, offset):
        generator = np.random.default_rng(n + d)
        rows = generator.standard_normal((n, d)).astype(np.float32)
        offsets = offset * generator.random(n)
        index = ExactIndex(rows, offsets)
        asked = np.arange(min(n, 600))
        k = 5
        found = index.search(rows[asked], k, asked)
        true = all_distances(rows[asked], rows, offsets)
        true[asked, asked] = np.inf
        for i in asked:
            ids = found.ids[i][found.ids[i] >= 0]
            self.assertLen(ids, min(k, n - 1))
            self.assertLen(set(ids), len(ids))
            rest = np.delete(true[i], ids).min(initial=np.inf)
            self.assertLessEqual(found.bound[i], rest)
            if len(ids):
                np.testing.assert_allclose(
                    true[i, ids].max(),
                    np.sort(true[i])[len(ids) - 1],
                    rtol=1e-4,
                    atol=1e-5,
                )
            if n - 1 <= k - 1:
                self.assertEqual(found.bound[i], np.inf)

    def test_bound_is_not_needlessly_low(self):
        rows = np.random.default_rng(0).standard_normal((500, 64))
        rows = (rows / np.linalg.norm(rows, axis=1)[:, None]).astype("f")
        ids = np.arange(500)
        found = ExactIndex(rows).search(rows, 8, ids)
        true = all_distances(rows, rows)
        eighth = np.sort(true, 1)[:, 8]
        self.assertLess((eighth - found.bound).max(), 5e-5)

    def test_bound_holds_far_from_the_origin(self):
        # float32 products lose the distances altogether here.
        generator = np.random.default_rng(1)
        rows = (100 + 1e-3 * generator.standard_normal((300, 16))).astype("f")
        ids = np.arange(300)
        found = ExactIndex(rows).search(rows, 3, ids)
        true = all_distances(rows, rows)
        np.fill_diagonal(true, np.inf)
        for i in ids:
            rest = np.delete(true[i], found.ids[i]).min()
            self.assertLessEqual(found.bound[i], rest)

    def test_infinite_offset_hides_a_row(self):
        rows = np.zeros((4, 2), np.float32)
        index = ExactIndex(rows, np.array([0, np.inf, 0, 0]))
        found = index.search(rows[:1], 3, np.array([0]))
        self.assertEqual(sorted(found.ids[0]), [-1, 2, 3])

    def test_self_is_excluded_among_duplicates(self):
        rows = np.ones((50, 3), np.float32)
        ids = np.arange(50)
        found = ExactIndex(rows).search(rows, 4, ids)
        self.assertFalse((found.ids == ids[:, None]).any())
        self.assertTrue((found.ids >= 0).all())

    def test_lists_nothing_beyond_a_distance(self):
        generator = np.random.default_rng(2)
        rows = generator.standard_normal((800, 6)).astype(np.float32)
        ids = np.arange(800)
        within = generator.uniform(0.2, 3, 800)
        found = ExactIndex(rows).search(rows, 8, ids, within)
        true = all_distances(rows, rows)
        np.fill_diagonal(true, np.inf)
        short = 0
        for i in ids:
            near = np.flatnonzero(true[i] <= within[i])
            listed = found.ids[i][found.ids[i] >= 0]
            if len(near) < 8:
                short += 1
                self.assertEqual(set(listed), set(near))
                self.assertGreater(found.bound[i], within[i])
            rest = np.delete(true[i], listed).min()
            self.assertLessEqual(found.bound[i], rest)
        self.assertBetween(short, 100, 700)

    @parameterized.product(
        n=[0, 1, 2, 63, 512, 513, 3000], limited=[False, True], blocks=[2, 32]
    )
    def test_all_rows_at_once_find_what_each_finds(self, n, limited, blocks):
        generator = np.random.default_rng(n)
        rows = generator.standard_normal((n, 5)).astype(np.float32)
        offsets = generator.random(n)
        offsets[3:4] = np.inf
        within = generator.uniform(0.2, 3, n) if limited else None
        index = ExactIndex(rows, offsets)
        expected = index.search(rows, 4, np.arange(n), within)
        told: list[int] = []
        # With few blocks, one of them has several tiles.
        with absltest.mock.patch.object(tiles, "NUM_BLOCKS", blocks):
            found = index.search_all(4, within, told.append)
        self.assertEqual((sorted(told), told[-1]), (told, n))
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_allclose(found.bound, expected.bound, atol=1e-5)

    def test_all_rows_at_once_do_not_depend_on_threads(self):
        # Ties everywhere: which are kept depends on the order of the tiles.
        rows = np.random.default_rng(6).integers(0, 2, (5000, 4))
        index = ExactIndex(rows.astype(np.float32))
        expected = index.search_all(6)
        for threads in (1, 2, 5):
            with absltest.mock.patch.object(
                tiles.numba, "get_num_threads", lambda n=threads: n
            ):
                found = index.search_all(6)
            np.testing.assert_array_equal(found.ids, expected.ids)

    @parameterized.parameters(*range(12), 57)
    def test_everyone_meets_everyone_once(self, players):
        met = []
        for pairs in tiles.tournament(players):
            # By hand: nobody can be at two tables.
            seated = [player for pair in pairs for player in {*pair}]
            self.assertLen(set(seated), len(seated))
            met += pairs
        everyone = itertools.combinations_with_replacement(range(players), 2)
        self.assertEqual(sorted(met), [*everyone])

    def test_a_limit_at_the_distance_of_zero_rows(self):
        rows, exclude = np.zeros((9, 4), np.float32), np.full(3, -1)
        queries = np.float32([[0] * 4, [1, 2, 3, 4], [1e-3] * 4])
        within = np.einsum("qd,qd->q", queries, queries, dtype=np.float64)
        index = ExactIndex(rows)
        found = index.search(queries, 12, exclude, within)
        for ids in found.ids:
            self.assertCountEqual(ids, [*range(9), -1, -1, -1])
        self.assertTrue((found.bound > within).all(), found.bound - within)

    def test_a_limit_that_is_no_number_limits_nothing(self):
        rows = np.eye(5, dtype=np.float32)
        found = ExactIndex(rows).search(
            rows, 6, np.arange(5), np.full(5, np.nan)
        )
        np.testing.assert_array_equal((found.ids >= 0).sum(1), 4)
        np.testing.assert_array_equal(found.bound, np.inf)

    @parameterized.parameters(False, True)
    def test_fewer_dimensions_first_find_the_same(self, limited):
        # A few strong directions, none of them an axis.
        generator = np.random.default_rng(3)
        turn, _ = np.linalg.qr(generator.standard_normal((48, 48)))
        scale = np.where(np.arange(48) < 5, 1.0, 0.05)
        rows = (generator.standard_normal((6000, 48)) * scale) @ turn
        rows = rows.astype(np.float32)
        ids = np.arange(6000)
        offsets = 0.01 * generator.random(6000)
        offsets[7] = np.inf
        within = np.full(6000, 0.5) if limited else None
        index = ExactIndex(rows, offsets)
        with absltest.mock.patch.object(exact_index, "MUCH_WORK", 0):
            found = index.search(rows, 6, ids, within)
            all_found = index.search_all(6, within)
        self.assertLess(index.contraction.rows.shape[1], 48)
        plain = ExactIndex(rows, offsets)
        with absltest.mock.patch.object(exact_index, "MANY_QUERIES", 10**9):
            expected = plain.search(rows, 6, ids, within)
        self.assertIsNone(plain.contraction)
        true = all_distances(rows[:500], rows, offsets)
        for answer in (found, all_found):
            bound = answer.bound
            np.testing.assert_allclose(bound, expected.bound, atol=1e-4)
            # Only neighbors that tie up to rounding may differ.
            self.assertGreater((answer.ids == expected.ids).mean(), 0.999)
            for i in range(500):
                listed = answer.ids[i][answer.ids[i] >= 0]
                rest = np.delete(true[i], [i, *listed]).min()
                self.assertLessEqual(bound[i], rest)

    def test_bound_holds_where_a_large_bias_swallows_products(self):
        d = 4096
        row = np.full(d, 1 / np.sqrt(d), np.float32)
        rows = np.tile(row, (3, 1))
        query = np.full((1, d), 0.45 * 2.0**-25 * np.sqrt(d), np.float32)
        axes = np.linalg.qr(np.eye(d, 8) + 1e-3)[0]
        short = contraction.contract(rows, axes, 8)
        index = ExactIndex(
            rows, contraction=contraction.Contraction(axes, short)
        )
        found = index.search(query, 1, np.array([-1]))
        true = all_distances(query, rows)[0]
        rest = np.delete(true, found.ids[0]).min()
        self.assertLessEqual(found.bound[0], rest)


class LocalityOrderTest(absltest.TestCase):
    def test_near_rows_follow_each_other(self):
        generator = np.random.default_rng(0)
        group = generator.integers(0, 3, 200)
        centers = 10 * np.eye(3, 5)
        rows = centers[group] + generator.standard_normal((200, 5))
        order = row_order.locality_order(rows.astype(np.float32))
        self.assertEqual(sorted(order), list(range(200)))
        # sqrt(200) pivots: 14 runs at most, and chance would make 130.
        self.assertLess(np.count_nonzero(np.diff(group[order])), 14)

    def test_one_row(self):
        order = row_order.locality_order(np.ones((1, 2), np.float32))
        self.assertEqual(order.tolist(), [0])


class RecallTest(absltest.TestCase):
    def test_recall_by_hand(self):
        true = np.array([[1, 2], [3, -1]])
        found = np.array([[2, 5], [3, 7]])
        self.assertAlmostEqual(recall.recall(found, true), 2 / 3)
        nothing = np.full((1, 2), -1)
        self.assertEqual(recall.recall(nothing, nothing), 1.0)

    def test_measure_recall_sees_missing_neighbors(self):
        rows = np.random.default_rng(2).standard_normal((300, 8)).astype("f")
        ids = np.arange(300)
        lists = ExactIndex(rows).search(rows, 4, ids).ids
        self.assertEqual(recall.measure_recall(rows, lists), 1.0)
        lists[:, 0] = -1
        self.assertAlmostEqual(recall.measure_recall(rows, lists), 0.75)


@pytest.mark.skipif(not scann_index.is_available(), reason="no ScaNN")
class ScannIndexTest(parameterized.TestCase):
    @parameterized.parameters(16, 256)
    def test_recall_and_protocol(self, d):
        generator = np.random.default_rng(3)
        centers = generator.standard_normal((60, d))
        rows = np.repeat(centers, 50, 0) + 0.1 * generator.standard_normal(
            (3000, d)
        )
        rows = rows.astype(np.float32)
        offsets = generator.random(3000)
        index = scann_index.ScannIndex(rows, offsets, k=8)
        self.assertGreater(index.tune(8), 0.95)
        self.assertBetween(
            index.probe.leaves_to_search, 1, index.probe.num_leaves
        )
        ids = np.arange(3000)
        found = index.search(rows, 8, ids)
        self.assertFalse((found.ids == ids[:, None]).any())
        exact = ExactIndex(rows, offsets).search(rows, 8, ids)
        self.assertGreater(recall.recall(found.ids, exact.ids), 0.95)
        np.testing.assert_allclose(
            np.median(found.bound), np.median(exact.bound), rtol=0.02
        )
        told: list[int] = []
        everyone = index.search_all(8, report=told.append)
        self.assertEqual(told, [3000])
        self.assertEqual(everyone.ids.shape, (3000, 16))
        self.assertFalse((everyone.ids == ids[:, None]).any())
        self.assertGreater(recall.recall(everyone.ids, exact.ids), 0.95)

    @parameterized.parameters(2, 10, 100)
    def test_many_dimensions_and_few_distinct_rows(self, distinct):
        generator = np.random.default_rng(4)
        centers = generator.standard_normal((distinct, 256))
        rows = centers[np.arange(2100) % distinct].astype(np.float32)
        index = scann_index.ScannIndex(rows, k=4)
        index.tune(4)
        found = index.search(rows, 4, np.arange(2100))
        same = found.ids % distinct == np.arange(2100)[:, None] % distinct
        self.assertGreater(same.mean(), 0.95)

    def test_missing_package_is_explained(self):
        with (
            absltest.mock.patch.object(
                scann_index, "is_available", lambda: False
            ),
            self.assertRaisesRegex(InputError, "pip install scann"),
        ):
            scann_index.ScannIndex(np.zeros((9, 2), np.float32))


if __name__ == "__main__":
    absltest.main()
