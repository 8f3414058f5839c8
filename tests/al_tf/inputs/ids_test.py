"""Ids: what can be one, joining by them, and naming what does not fit."""

import numpy as np
import pyarrow as pa
from absl.testing import absltest, parameterized

from al_tf.inputs import ids as ids_lib
from al_tf.inputs.checks import refuse_rows
from runkit import InputError


def ids(values, is_typed=True):
    column = ids_lib.ids_of(pa.array(values), "file")
    return ids_lib.ExampleIds(column, is_typed)


class KindTest(parameterized.TestCase):
    @parameterized.parameters(
        (pa.array([3, 1], pa.uint8()), [3, 1]),
        (pa.array(["b", "a"]), ["b", "a"]),
        (pa.array([b"b", b"\xc3\xa9"]), ["b", "é"]),
        (pa.array(["b", "a"]).dictionary_encode(), ["b", "a"]),
        (pa.array(["b", "a"], pa.string_view()), ["b", "a"]),
    )
    def test_texts_and_whole_numbers(self, column, expected):
        self.assertEqual(ids_lib.ids_of(column, "f").to_pylist(), expected)

    @parameterized.parameters(
        (pa.array([1.0, 2.0]), "texts or whole numbers.*fill the gaps"),
        (pa.array([True]), "texts or whole numbers"),
        (pa.array(["a", None]), "row 1 has no id"),
        (pa.array(["a", ""]), "an empty id"),
        (pa.array([2**64 - 1], pa.uint64()), "cannot be read"),
        (pa.array([b"\xff"]), "cannot be read"),
    )
    def test_what_is_no_id(self, column, message):
        with self.assertRaisesRegex(InputError, f"file: .*{message}"):
            ids_lib.ids_of(column, "file")

    @parameterized.parameters(
        (["7", "-3", "0"], [7, -3, 0]),
        (["7", "007"], ["7", "007"]),
        (["1.0", "2.0"], ["1.0", "2.0"]),
        (["9" * 30], ["9" * 30]),
        ([str(2**63 - 1), str(-(2**63))], [2**63 - 1, -(2**63)]),
        ([str(2**63)], [str(2**63)]),
    )
    def test_csv_has_numbers_where_all_are_written_like_numbers(
        self, written, expected
    ):
        settled = ids(written, is_typed=False).settled()
        self.assertEqual(settled.tolist(), expected)
        self.assertEqual(ids(written).settled().tolist(), written)

    def test_two_kinds_are_refused(self):
        with self.assertRaisesRegex(
            InputError, "a.csv: ids are texts.*whole numbers in b.pq"
        ):
            ids_lib.joined(
                [
                    ("a.csv", ids(["x"]).values, False),
                    ("b.pq", ids([1]).values, True),
                ]
            )


class JoinTest(parameterized.TestCase):
    def test_rows_in_the_order_of_the_ids(self):
        places = ids_lib.sorted_rows(ids(["é", "b", "a", "aa"]), "f")
        self.assertEqual(places.tolist(), [3, 2, 0, 1])
        places = ids_lib.sorted_rows(ids([10, 9, -1]), "f")
        self.assertEqual(places.tolist(), [2, 1, 0])

    def test_duplicates_are_named(self):
        with self.assertRaisesRegex(
            InputError, "f: 2 ids occur more than once: 'a', 'c'"
        ):
            ids_lib.sorted_rows(ids(["c", "a", "b", "a", "c", "c"]), "f")

    @parameterized.parameters(
        (["20", "3.0", " 1"], False), ([20, 3, 1], True), (["+20", "3", "1"], 0)
    )
    def test_positions(self, found, is_typed):
        pool = ids([1, 3, 20])
        rows = ids_lib.positions(
            pool, ids(found, is_typed), "f", is_complete=True
        )
        self.assertEqual(rows.tolist(), [2, 1, 0])

    def test_all_that_does_not_fit_is_named_at_once(self):
        pool = ids([f"p{i:02d}" for i in range(20)])
        with self.assertRaisesRegex(
            InputError,
            "1 ids occur more than once: 'p01'; 2 ids are not in the pool: "
            "'x', 'P02'; 18 ids of the pool are missing: 'p02', 'p03', 'p04', "
            "'p05', 'p06', ...",
        ):
            ids_lib.positions(
                pool, ids(["p01", "x", "p01", "p00", "P02"]), "f", is_complete=1
            )
        rows = ids_lib.positions(pool, ids(["p07"]), "f", is_complete=False)
        self.assertEqual(rows.tolist(), [7])

    def test_texts_do_not_fit_numbers(self):
        with self.assertRaisesRegex(
            InputError, "texts, such as '1'.*expected whole numbers"
        ):
            ids_lib.positions(ids([1]), ids(["1"]), "f", is_complete=True)
        with self.assertRaisesRegex(InputError, "expected texts"):
            ids_lib.positions(ids(["1"]), ids([1]), "f", is_complete=True)
        with self.assertRaisesRegex(InputError, "1 ids are not whole.*'x'"):
            found = ids(["1", "x"], is_typed=False)
            ids_lib.positions(ids([1]), found, "f", is_complete=True)

    def test_the_checksum_tells_order_and_kind(self):
        sums = {
            ids(v).checksum for v in (["1", "2"], ["2", "1"], [1, 2], ["12"])
        }
        self.assertLen(sums, 4)

    def test_rows_are_named_by_their_ids(self):
        bad = np.array([False, True, True])
        with (
            self.assertRaisesRegex(InputError, "NaN in 2 rows; ids 'b', 'c'"),
            ids_lib.naming(ids(["a", "b", "c"])),
        ):
            refuse_rows(bad, "NaN", where="embeddings")
        with (
            self.assertRaisesRegex(InputError, "example ids 1, 2"),
            ids_lib.naming(None),
        ):
            refuse_rows(bad, "NaN", where="embeddings")


if __name__ == "__main__":
    absltest.main()
