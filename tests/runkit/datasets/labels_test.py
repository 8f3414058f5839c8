"""Classes in one order, labels in one form."""

import numpy as np
from absl.testing import absltest, parameterized

from runkit import InputError
from runkit.datasets import (
    UNKNOWN,
    class_order,
    encode_labels,
    read_labeled,
    renumber,
)
from runkit.datasets.labels import (
    check_added,
    check_form,
    check_label,
    check_twins,
    id_key,
)


class IdKeyTest(parameterized.TestCase):
    @parameterized.parameters(
        (" 7 ", 7),
        ("7.0", 7),
        (7.0, 7),
        ("+007", 7),
        # Ids as networks count them have 19 digits.
        ("1734567890123456789", 1734567890123456789),
        (str(2**63 - 1), 2**63 - 1),
        (-(2**63), -(2**63)),
        (str(2**63), None),
        ("7.5", None),
        ("٧", None),
        (True, None),
        # A fraction does not tell it from its neighbor.
        (float(2**53 + 1), None),
        ("9007199254740992.0", None),
    )
    def test_whole_numbers(self, cell, expected):
        self.assertEqual(id_key(cell, is_text=False), expected)

    def test_texts_stay_as_they_are(self):
        self.assertEqual(id_key("007", is_text=True), "007")


class ClassOrderTest(parameterized.TestCase):
    @parameterized.parameters(
        (("10", "2", "1"), ("1", "2", "10")),
        (("-1", "-10", "3"), ("-10", "-1", "3")),
        (("1e2", "9.5", "-.5", "10"), ("-.5", "9.5", "10", "1e2")),
        # Equal numbers are classes of their own.
        (("1.0", "1", "01"), ("01", "1", "1.0")),
        # Beyond the precision of a float.
        (
            ("9007199254740993", "9007199254740992"),
            ("9007199254740992", "9007199254740993"),
        ),
        (("b", "a", "B"), ("B", "a", "b")),
        # No decimal holds it: a text, like any other.
        (("2", "1e99999999999999999999"), ("1e99999999999999999999", "2")),
        # One text makes all of them texts.
        (("10", "9", "x"), ("10", "9", "x")),
        (("nan", "1", "inf"), ("1", "inf", "nan")),
        (("2", "1", "2"), ("1", "2")),
        ((), ()),
    )
    def test_order(self, names, expected):
        self.assertEqual(class_order(names), expected)


class EncodeTest(absltest.TestCase):
    def test_numbers_and_their_texts_are_the_same_classes(self):
        for values in ([10, 2, 1, 2], ["10", "2", "1", "2"]):
            labels, classes, multilabel = encode_labels(values)
            self.assertEqual(classes, ("1", "2", "10"))
            self.assertEqual(labels.tolist(), [2, 1, 0, 1])
            self.assertEqual(labels.dtype, np.int64)
            self.assertFalse(multilabel)

    def test_lists_and_unknown(self):
        labels, classes, multilabel = encode_labels([["b"], None, [], ["a"]])
        self.assertEqual(classes, ("a", "b"))
        self.assertEqual(labels.tolist(), [[0, 1], [-1, -1], [0, 0], [1, 0]])
        self.assertEqual(labels.dtype, np.int8)
        self.assertTrue(multilabel)

    def test_given_classes_keep_their_order(self):
        labels, classes, _ = encode_labels(["a", None], ("c", "a"))
        self.assertEqual(classes, ("c", "a"))
        self.assertEqual(labels.tolist(), [1, UNKNOWN])


class CheckTest(parameterized.TestCase):
    @parameterized.parameters(
        "a", 1, 1.5, True, None, (["a", 2],), ([],), 10**400
    )
    def test_labels(self, value):
        self.assertIs(check_label(value, "here"), value)

    @parameterized.parameters(
        " ", ({"a": 1},), float("nan"), float("inf"), "\ud83d"
    )
    def test_what_is_not_a_label(self, value):
        with self.assertRaisesRegex(InputError, "here: "):
            check_label(value, "here")
        with self.assertRaisesRegex(InputError, "here: "):
            check_label(["a", value], "here")

    @parameterized.parameters(
        (None, None, None),
        (None, True, True),
        ("a", None, False),
        (["a"], None, True),
        ([], True, True),
        (1, False, False),
    )
    def test_one_form(self, value, before, after):
        self.assertIs(check_form(value, before, "here"), after)

    def test_two_forms(self):
        with self.assertRaisesRegex(InputError, "here: is not a list"):
            check_form("b", True, "here")
        with self.assertRaisesRegex(InputError, "here: is not one label"):
            check_form([], False, "here")


class RenumberTest(absltest.TestCase):
    def test_numbers_follow_the_names(self):
        found = renumber(
            np.array([0, 1, -1]), ("a", "b"), ("c", "b", "a"), where="--test"
        )
        self.assertEqual(found.tolist(), [2, 1, -1])

    def test_columns_follow_the_names(self):
        matrix = np.array([[1, 0], [0, 1], [-1, -1]], np.int8)
        found = renumber(matrix, ("a", "b"), ("b", "c", "a"), where="--test")
        self.assertEqual(found.tolist(), [[0, 0, 1], [1, 0, 0], [-1, -1, -1]])
        self.assertEqual(found.dtype, np.int8)

    def test_a_class_without_examples_may_be_unknown(self):
        own = ("a", "z")
        self.assertEqual(
            renumber(np.array([0]), own, ("b", "a"), where="").tolist(), [1]
        )
        with self.assertRaisesRegex(InputError, "--t: example 7 has an unkn"):
            renumber(
                np.array([0, 1]),
                own,
                ("b", "a"),
                rows=np.array([5, 7]),
                where="--t",
            )


class TwinsTest(parameterized.TestCase):
    @parameterized.parameters(
        ("1", "1.0"),
        ("1", "01"),
        ("caf\u00e9", "cafe\u0301"),
        ("pos", "\u200bpos"),
        ("pos", "pos\0"),
        ("pos", "po\u034fs"),
        ("pos", "pos\u3164"),
        ("\u2764", "\u2764\ufe0f"),
        ("pos", "po\u00ads"),
        ("pos", "\uff50\uff4f\uff53"),
        ("7", "\uff17"),
        ("pos", "pos "),
        ("a b", "a\u00a0b"),
        ("1e2", "100"),
    )
    def test_two_ways_of_writing_one_class(self, *names):
        with self.assertRaisesRegex(InputError, "mean the same class"):
            check_twins(names, "here")

    def test_others_are_distinct(self):
        check_twins(("1", "2", "10", "pos", "Pos", "1.5", "nan", ""), "here")

    def test_a_class_is_not_added_beside_its_twin(self):
        for added, message in (
            (["fish", "Bird"], "'bird' in case alone; got 'Bird'"),
            ([" BIRD "], "'bird' in case alone"),
            (["cat", "Cat"], "'cat' in case alone"),
            (["STRASSE"], "differs from the class .* in case alone"),
            (["bird "], "mean the same class"),
        ):
            with self.assertRaisesRegex(InputError, message):
                check_added(added, ["bird", "stra\u00dfe"], "--classes")
        # What is there already stays, and so do numbers.
        check_added(["fish", "11"], ["bird", "Bird", "1"], "--classes")

    @parameterized.parameters(
        ([0, -100], "below -1"),
        ([0.0, 0.25], "regression"),
        ([0.0, float("nan")], "no number at example 1"),
    )
    def test_arrays_of_no_classes(self, labels, message):
        path = self.create_tempdir().create_file("a.npz").full_path
        np.savez(path, embeddings=np.ones((2, 2), "f"), labels=labels)
        with self.assertRaisesRegex(InputError, message):
            read_labeled(f"npz:{path}")


if __name__ == "__main__":
    absltest.main()
