"""Near copies against brute force, and by hand."""

from unittest import mock

import hypothesis
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import strategies as st

import al_tf
from al_tf.duplicates import group_join, near_rows
from al_tf.duplicates.find import find_duplicates
from al_tf.duplicates.keeping import keep_in_order
from al_tf.neighbors.protocol import Probe
from runkit import InputError


def distances(rows, metric):
    """`[n, n]` float64, by the definition."""
    rows = np.asarray(rows, np.float64)
    if metric == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return 1 - np.clip(rows @ rows.T, -1, 1)
    return np.square(rows[:, None] - rows[None]).sum(2)


def kept_one_by_one(table, order, threshold):
    """The definition: walk, keep what no kept row is near."""
    kept = []
    for row in order:
        if all(table[row, other] > threshold for other in kept):
            kept.append(row)
    return sorted(kept)


def on_a_line(*places):
    return np.array([[float(x), 0.0] for x in places])


class ByHandTest(parameterized.TestCase):
    def owners(self, rows, threshold, **options):
        options = {"metric": "sqeuclidean", **options}
        return find_duplicates(rows, threshold, **options).owner.tolist()

    def test_a_pair_at_the_threshold_is_near(self):
        rows = on_a_line(0, 2, 10)
        self.assertEqual(self.owners(rows, 4.0), [0, 0, 2])
        self.assertEqual(self.owners(rows, 3.999), [0, 1, 2])

    def test_a_chain_drops_no_row_for_one_that_is_not_near(self):
        # a ~ b ~ c, but a and c are 4 apart.
        rows = on_a_line(0, 1, 2)
        found = find_duplicates(rows, 1.0, metric="sqeuclidean")
        # b lies between two kept rows, equally near: the preferred has it.
        self.assertEqual(found.owner.tolist(), [0, 0, 2])
        self.assertEqual(found.distances.tolist(), [0, 1, 0])
        self.assertEqual(found.kept.tolist(), [0, 2])
        self.assertEqual(found.dropped.tolist(), [1])

    def test_the_middle_of_a_chain_stays_where_it_is_nearest_to_the_mean(self):
        owners = self.owners(on_a_line(0, 1, 2), 1.0, keep="nearest_to_mean")
        self.assertEqual(owners, [1, 1, 1])

    def test_a_long_chain_keeps_its_middle_and_every_second_row(self):
        owners = self.owners(on_a_line(*range(7)), 1.0, keep="nearest_to_mean")
        # The mean is 3: 3 stays, and 2 and 4 go; of the rest 1 and 5 are
        # nearest to the mean. 2 is as near to 1, but 3 is preferred.
        self.assertEqual(owners, [1, 1, 3, 3, 3, 5, 5])

    def test_a_dropped_row_belongs_to_the_nearest_kept_row(self):
        # 3 is near 0 and 4 (9 and 1); 0 comes first, 4 is nearer.
        self.assertEqual(self.owners(on_a_line(0, 3, 4), 9.0), [0, 2, 2])

    def test_the_most_uncertain_stays(self):
        rows = on_a_line(0, 0.1, 5, 5.1)
        margins = np.array([0.5, 0.2, 0.3, 0.3])
        owners = self.owners(rows, 0.1, keep="most_uncertain", margins=margins)
        self.assertEqual(owners, [1, 1, 2, 2])

    def test_two_rows_are_equally_near_their_mean(self):
        rng = np.random.default_rng(0)
        rows = np.repeat(rng.standard_normal((50, 9)), 2, 0)
        rows[1::2] += 1e-4 * rng.standard_normal((50, 9))
        owners = self.owners(
            rows, 0.01, keep="nearest_to_mean", metric="cosine"
        )
        self.assertEqual(owners, np.repeat(np.arange(0, 100, 2), 2).tolist())

    @parameterized.parameters("cosine", "sqeuclidean")
    def test_threshold_0_keeps_one_of_exact_copies(self, metric):
        rows = np.random.default_rng(0).standard_normal((40, 5))
        rows[7] = rows[3]
        rows[9] = rows[3]
        rows[11] = rows[3] + 1e-9
        owner = find_duplicates(rows, 0, metric=metric).owner
        expected = np.arange(40)
        expected[[7, 9]] = 3
        np.testing.assert_array_equal(owner, expected)

    @parameterized.parameters(np.float16, np.float32, np.float64)
    def test_cosine_sees_directions_only(self, dtype):
        rows = np.random.default_rng(0).standard_normal((30, 7)).astype(dtype)
        rows[8] = 4 * rows[2]
        if dtype == np.float64:
            rows[9] = 3 * rows[2]
        found = find_duplicates(rows, 0.0)
        self.assertEqual(found.owner[8], 2)
        if dtype == np.float64:
            self.assertEqual(found.owner[9], 2)
        self.assertEqual(found.distances.max(), 0)

    @parameterized.parameters("first", "nearest_to_mean")
    def test_all_rows_equal(self, keep):
        rows = np.ones((5000, 3), np.float32)
        found = find_duplicates(rows, 0.0, keep=keep)
        self.assertEqual(found.owner.max(), 0)

    def test_one_row(self):
        self.assertEqual(self.owners(on_a_line(3), 1.0), [0])

    def test_an_infinite_threshold_keeps_one_row(self):
        rows = np.random.default_rng(0).standard_normal((200, 3))
        self.assertEqual(set(self.owners(rows, np.inf)), {0})


class BruteForceTest(parameterized.TestCase):
    def check(self, rows, threshold, metric, keep="first", margins=None):
        table = distances(rows, metric)
        # Pairs that rounding alone decides have no right answer.
        hypothesis.assume(not (abs(table - threshold) < 1e-12).any())
        found = find_duplicates(
            rows, threshold, metric=metric, keep=keep, margins=margins
        )
        kept, owner = found.kept, found.owner
        everyone = np.arange(len(rows))
        np.testing.assert_array_equal(owner[owner], owner)
        # 1. Every dropped row is near its kept row, the nearest of them.
        own = table[everyone, owner]
        self.assertTrue((own <= threshold + 1e-12).all())
        nearest = table[:, kept].min(1)
        np.testing.assert_allclose(own, nearest, atol=1e-12)
        np.testing.assert_allclose(found.distances, own, atol=1e-12)
        # 2. No two kept rows are near.
        among = table[np.ix_(kept, kept)] + 9 * np.eye(len(kept))
        self.assertTrue((among > threshold).all())
        if keep != "nearest_to_mean":
            order = everyone
            if margins is not None:
                order = np.argsort(margins, kind="stable")
            self.assertEqual(
                kept.tolist(), kept_one_by_one(table, order, threshold)
            )

    @hypothesis.settings(max_examples=80, deadline=None, database=None)
    @hypothesis.given(st.data())
    def test_small_pools(self, data):
        # By groups, however small and shapeless the pool is, or by the index.
        smallest = data.draw(st.sampled_from([1, 10**9]), "smallest")
        with (
            mock.patch.object(group_join, "SMALLEST", smallest),
            mock.patch.object(group_join, "MOST_SHARE", np.inf),
        ):
            self.check_a_small_pool(data)

    def check_a_small_pool(self, data):
        n = data.draw(st.integers(1, 60), "n")
        d = data.draw(st.integers(1, 5), "d")
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32), "seed"))
        rows = rng.standard_normal((n, d)) + 0.01
        # Copies, near copies and chains.
        rows[rng.integers(0, n, n // 3)] = rows[rng.integers(0, n, n // 3)]
        rows += data.draw(st.sampled_from([0, 1e-7, 0.1])) * (
            rng.standard_normal((n, d))
        )
        self.check(
            rows,
            data.draw(st.sampled_from([1e-10, 0.001, 0.05, 0.3, 1.0]), "t"),
            data.draw(st.sampled_from(["cosine", "sqeuclidean"]), "metric"),
            *data.draw(
                st.sampled_from(
                    [
                        ("first", None),
                        ("nearest_to_mean", None),
                        ("most_uncertain", rng.random(n).round(1)),
                    ]
                ),
                "keep",
            ),
        )

    @parameterized.product(
        threshold=(0.02, 0.2, 1.0), keep=("first", "nearest_to_mean")
    )
    def test_lists_that_are_too_short(self, threshold, keep):
        # Families of 100, and dense clouds: most lists of 32 are cut off.
        rng = np.random.default_rng(1)
        rows = np.repeat(rng.standard_normal((9, 6)), 100, 0)
        rows += 0.12 * rng.standard_normal(rows.shape)
        rows = rng.permutation(rows)
        self.check(rows, threshold, "sqeuclidean", keep)

    def test_far_from_the_origin(self):
        rng = np.random.default_rng(2)
        rows = 1e6 + rng.standard_normal((300, 4))
        rows[200:] = rows[:100] + 1e-3 * rng.standard_normal((100, 4))
        self.check(rows, 1e-4, "sqeuclidean")

    @parameterized.parameters((1 - 1e-12, True), (1 + 1e-12, False))
    def test_pairs_that_float32_cannot_tell_from_the_threshold(
        self, share, is_near
    ):
        rng = np.random.default_rng(5)
        rows = 3 * rng.standard_normal((200, 16))
        step = rng.standard_normal((200, 16))
        step *= 0.1 * share / np.linalg.norm(step, axis=1, keepdims=True)
        pairs = np.concatenate([rows, rows + step])
        found = find_duplicates(pairs, 0.01, metric="sqeuclidean")
        self.assertLen(found.dropped, 200 * is_near)

    def test_float16(self):
        rng = np.random.default_rng(3)
        rows = rng.standard_normal((500, 8)).astype(np.float16)
        rows[400:] = rows[:100] + np.float16(0.01)
        self.check(rows, 0.01, "cosine")

    def test_threads_and_float_order_change_nothing(self):
        rng = np.random.default_rng(4)
        rows = np.repeat(rng.standard_normal((60, 8)), 20, 0)
        rows += 0.05 * rng.standard_normal(rows.shape)
        first = find_duplicates(rows, 0.01)
        again = find_duplicates(rows[:, ::-1].copy(), 0.01)
        np.testing.assert_array_equal(first.owner, again.owner)


class GroupJoinTest(parameterized.TestCase):
    """A pool that falls into groups."""

    def setUp(self):
        super().setUp()
        self.enter_context(mock.patch.object(group_join, "SMALLEST", 1))

    @parameterized.parameters(0.02, 0.2)
    def test_lists_that_are_too_short(self, threshold):
        rng = np.random.default_rng(1)
        rows = np.repeat(rng.standard_normal((30, 6)), 40, 0)
        rows += 0.1 * rng.standard_normal(rows.shape)
        rows = rng.permutation(rows)
        found = find_duplicates(rows, threshold, metric="sqeuclidean")
        table = distances(rows, "sqeuclidean")
        self.assertEqual(
            found.kept.tolist(), kept_one_by_one(table, range(1200), threshold)
        )

    def test_a_pool_of_groups_is_recognized(self):
        rng = np.random.default_rng(6)
        rows = np.repeat(rng.standard_normal((300, 8)), 20, 0)
        rows += 0.02 * rng.standard_normal(rows.shape)
        rows /= 1.1 * np.linalg.norm(rows, axis=1).max()
        ask = rows, rows.astype(np.float32), 0.005, 0.00501, 8
        lists = group_join.near_lists(*ask)
        self.assertIsNone(group_join.near_lists(*ask[:2], 1.0, 1.001, 8))
        table = distances(rows, "sqeuclidean") <= 0.005
        np.fill_diagonal(table, False)
        np.testing.assert_array_equal(lists.is_whole, table.sum(1) <= 8)
        for row, ids in enumerate(lists.ids):
            ids = ids[ids >= 0]
            self.assertTrue(table[row, ids].all())
            self.assertLen(set(ids), min(8, table[row].sum()))


class ApproximateTest(absltest.TestCase):
    def test_a_pair_on_one_list_only_is_near(self):
        # 0 does not list 1, as an approximate search may have it.
        near = near_rows.NearRows(
            on_a_line(0, 1, 5),
            1.0,
            np.array([[-1], [0], [-1]], np.int32),
            np.ones(3, bool),
            Probe(0.5),
        )
        self.assertEqual(
            keep_in_order(near, np.arange(3)).owner.tolist(), [0, 0, 2]
        )

    def test_scann_states_its_recall_and_drops_near_rows_only(self):
        rng = np.random.default_rng(0)
        rows = np.repeat(rng.standard_normal((500, 16)), 5, 0)
        rows += 0.05 * rng.standard_normal(rows.shape)
        found = al_tf.find_duplicates(rows.astype("f"), 0.02, exact=False)
        self.assertFalse(found.info["exact"])
        self.assertGreater(found.info["recall"], 0.9)
        own = distances(rows, "cosine")[np.arange(2500), found.owner]
        self.assertLess(own.max(), 0.02 + 1e-6)
        self.assertLess(abs(len(found.kept) - 500), 25)


class BadInputTest(parameterized.TestCase):
    @parameterized.parameters(
        ({"distance_threshold": -1.0}, "must not be negative"),
        ({"distance_threshold": float("nan")}, "must be a number"),
        ({"metric": "euclidean"}, "unknown metric.*'sqeuclidean'"),
        ({"keep": "frist"}, "keep: unknown name.*'first'"),
        ({"keep": "most_uncertain"}, "needs the margins"),
        ({"margins": np.zeros(9)}, "looks at no margins"),
        (
            {"keep": "most_uncertain", "margins": np.zeros(8)},
            "not one margin for each row",
        ),
        ({"exact": "maybe"}, "unknown choice"),
    )
    def test_options(self, change, message):
        values = {"distance_threshold": 0.1, **change}
        with self.assertRaisesRegex(InputError, message):
            find_duplicates(np.ones((9, 2)), **values)

    def test_rows(self):
        with self.assertRaisesRegex(InputError, "embeddings: holds no rows"):
            find_duplicates(np.ones((0, 2)), 0.1)
        rows = np.ones((9, 2))
        rows[4] = 0
        with self.assertRaisesRegex(InputError, "zero rows.*example ids 4"):
            find_duplicates(rows, 0.1)
        self.assertLen(find_duplicates(rows, 0.1, metric="sqeuclidean").kept, 2)
        rows[5] = np.nan
        with self.assertRaisesRegex(InputError, "NaN.*example ids 5"):
            find_duplicates(rows, 0.1, metric="sqeuclidean")


if __name__ == "__main__":
    absltest.main()
