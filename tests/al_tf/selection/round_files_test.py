"""Scores of a round: margins, probabilities or logits, with ids or without."""

import pathlib
import types

import numpy as np
import pyarrow as pa
from absl.testing import absltest, parameterized
from pyarrow import parquet

from al_tf.inputs import ids as ids_lib
from al_tf.selection import round_files
from runkit import InputError

_NONE = {
    "margins": "",
    "probabilities": "",
    "logits": "",
    "multilabel": False,
    "id_column": None,
    "margin_column": None,
    "probabilities_column": None,
}
# p(1st) - p(2nd) is 0.5, 0.125 and 0 (worked out by hand).
_PROBABILITIES = np.array([[0.75, 0.25, 0], [0.25, 0.5, 0.25], [0.5, 0.5, 0]])
_MARGINS = [0.5, 0.25, 0.0]
# min |2p - 1| over the classes, by hand.
_MULTILABEL = [0.5, 0.0, 0.0]


class RoundFilesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.pool = ids_lib.ExampleIds(
            ids_lib.ids_of(pa.array(["a", "b", "c"]), "")
        )

    def read(self, ids=None, **given):
        values = types.SimpleNamespace(**{**_NONE, **given})
        return round_files.read_scores(values, ids, 3)

    def save(self, name, array):
        np.save(self.folder / name, array)
        return str(self.folder / name)

    @parameterized.parameters("float16", "float32", "float64")
    def test_probabilities(self, dtype):
        path = self.save("p.npy", _PROBABILITIES.astype(dtype))
        found = self.read(probabilities=path)
        np.testing.assert_array_equal(found, _MARGINS)
        found = self.read(probabilities=path, multilabel=True)
        np.testing.assert_array_equal(found, _MULTILABEL)

    def test_logits_are_the_logarithms(self):
        with np.errstate(divide="ignore"):
            logits = np.maximum(np.log(_PROBABILITIES), -30) + 7
        path = self.save("z.npy", logits.astype(np.float16))
        np.testing.assert_allclose(self.read(logits=path), _MARGINS, atol=2e-3)
        odds = self.save("o.npy", np.log([[3, 1 / 3], [1, 9], [1, 1]]))
        np.testing.assert_allclose(
            self.read(logits=odds, multilabel=True), _MULTILABEL, atol=1e-12
        )

    def test_half_precision_that_leaves_the_range_by_rounding(self):
        rows = np.array([[1.0000001, -1e-7], [1, 0], [0.5, 0.5]])
        found = self.read(probabilities=self.save("p.npy", rows))
        np.testing.assert_allclose(found, [1, 1, 0], atol=1e-6)
        thirds = np.full((3, 3), 1 / 3).astype(np.float16)
        found = self.read(probabilities=self.save("p.npy", thirds))
        np.testing.assert_array_equal(found, [0, 0, 0])

    @parameterized.parameters(
        ("p.parquet", "probabilities"), ("p.npz", "scores")
    )
    def test_joined_by_id(self, name, column):
        order = [2, 0, 1]
        rows = _PROBABILITIES[order].astype(np.float16)
        columns = {"id": np.array(["c", "a", "b"]), column: rows}
        path = self.folder / name
        if name.endswith(".npz"):
            np.savez(path, **columns)
        else:
            columns[column] = list(rows)
            parquet.write_table(pa.table(columns), path)
        asked = None if column == "probabilities" else column
        found = self.read(
            self.pool, probabilities=str(path), probabilities_column=asked
        )
        np.testing.assert_array_equal(found, _MARGINS)
        with self.assertRaisesRegex(InputError, f"Did you mean '{column}'"):
            self.read(
                self.pool,
                probabilities=str(path),
                probabilities_column=column[:-1],
            )

    def test_logits_are_never_taken_for_probabilities(self):
        path = self.folder / "both.npz"
        np.savez(path, logits=_PROBABILITIES)
        with self.assertRaisesRegex(InputError, "got 'probabilities'"):
            self.read(probabilities=str(path))
        with np.errstate(divide="ignore"):
            logits = np.maximum(np.log(_PROBABILITIES), -30)
        np.savez(path, logits=logits, probabilities=_PROBABILITIES)
        np.testing.assert_array_equal(
            self.read(probabilities=str(path)), _MARGINS
        )
        np.testing.assert_allclose(
            self.read(logits=str(path)), _MARGINS, atol=1e-6
        )

    def test_a_bad_row_is_named_by_its_id(self):
        rows = _PROBABILITIES[[2, 0, 1]]
        rows[0] = 0.9
        columns = {"id": ["c", "a", "b"], "probabilities": list(rows)}
        path = self.folder / "p.parquet"
        parquet.write_table(pa.table(columns), path)
        with self.assertRaisesRegex(InputError, "sum to one.*ids 'c'"):
            self.read(self.pool, probabilities=str(path))

    def test_exactly_one_of_the_three(self):
        with self.assertRaisesRegex(InputError, "--margins: is missing"):
            self.read()
        with self.assertRaisesRegex(InputError, "--margins and --logits"):
            self.read(margins="a", logits="b")

    def test_of_another_pool(self):
        path = self.save("p.npy", _PROBABILITIES[:2])
        with self.assertRaisesRegex(InputError, "not one row of proba"):
            self.read(probabilities=path)

    def test_margins_in_a_table_by_position(self):
        path = self.folder / "m.csv"
        path.write_text("margin,note\n0.5,x\n1,y\n0,z\n")
        np.testing.assert_array_equal(
            self.read(margins=str(path)), [0.5, 1.0, 0.0]
        )
        path.write_text("margin,note\n0.5,x\n,y\n0,z\n")
        with self.assertRaisesRegex(InputError, "number"):
            self.read(margins=str(path))
        path.write_text('margin;note\n"0,5";x\n"1,0";y\n"0,1";z\n')
        with self.assertRaisesRegex(InputError, "is not a column of numbers"):
            self.read(margins=str(path))


if __name__ == "__main__":
    absltest.main()
