"""Checks of single values: what passes, and what the message names."""

import dataclasses
import math

import numpy as np
from absl.testing import absltest, parameterized

from runkit import InputError, checks


@dataclasses.dataclass
class Options:
    size: float | None = 1
    share: float = 0.5


class TextsTest(parameterized.TestCase):
    @parameterized.parameters(
        ([],), (["a", b"b", ""],), (("a",),), (np.array(["a", "b"]),)
    )
    def test_sequences_of_texts_pass(self, texts):
        checks.check_texts(texts)

    @parameterized.parameters(
        ("text", r"^texts: is not a list.*got 'text'.*\[text\]"),
        (b"text", "is not a list"),
        (None, "is not a list of texts but NoneType"),
        ({"a": 1}, "is not a list"),
        (np.array("a"), "is not a list"),
        (np.array([["a"]]), "is not a list"),
        ([["a"]], r"texts\[0\]: is not a text but list"),
        (["a", None], r"texts\[1\]: is not a text but NoneType"),
        ([1], "is not a text but int; got 1"),
        (["a", "\ud83d"], r"texts\[1\]: holds half of a character"),
    )
    def test_anything_else_is_refused(self, texts, message):
        with self.assertRaisesRegex(InputError, message):
            checks.check_texts(texts)


class ChecksTest(parameterized.TestCase):
    def test_require_names_place_value_and_remedy(self):
        checks.require(True, "is bad", "x", 1)
        with self.assertRaisesRegex(
            InputError, r"^a\.b: is bad; got 3; expected 4\. Give 4\.$"
        ):
            checks.require(
                False, "is bad", "a.b", 3, expected="4", remedy="Give 4"
            )

    @parameterized.parameters(
        (checks.require_positive, 1e-9, True),
        (checks.require_positive, None, True),
        (checks.require_positive, 0, False),
        (checks.require_positive, -1, False),
        (checks.require_positive, 2**63 - 1, True),
        (checks.require_positive, 2**63, False),
        (checks.require_positive, math.inf, False),
        (checks.require_positive, math.nan, False),
        (checks.require_weight, 0, True),
        (checks.require_weight, 2.5, True),
        (checks.require_weight, -1e-9, False),
        (checks.require_weight, math.inf, False),
        (checks.require_fraction, 0, True),
        (checks.require_fraction, 0.999, True),
        (checks.require_fraction, 1, False),
        (checks.require_fraction, -0.1, False),
        (checks.require_fraction, math.nan, False),
    )
    def test_ranges(self, check, value, passes):
        options = Options(size=value)
        if passes:
            check(options, "part", "size", "share")
            return
        with self.assertRaisesRegex(InputError, r"part\.size: .*got "):
            check(options, "part", "share", "size")


if __name__ == "__main__":
    absltest.main()
