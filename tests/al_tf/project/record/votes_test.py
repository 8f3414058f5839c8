"""Several annotators: one label for each example, and how far they agree."""

import importlib.util
import unittest

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.label_tools.answers import Given
from al_tf.project.record import votes
from al_tf.project.settings import Settings
from runkit import InputError


def answers(table):
    """{example: "annotator=class annotator=class"} as a project has them."""
    found = {}
    for example, text in table.items():
        found[example] = {}
        for part in text.split():
            who, _, names = part.partition("=")
            classes = tuple(filter(None, names.split("|")))
            found[example][who] = Given(example, who, "label", classes)
    return found


class ResolvedTest(parameterized.TestCase):
    def resolve(self, table, **fields):
        settings = Settings("npz:x", **fields)
        return votes.resolved_labels(answers(table), settings)

    def test_majority(self):
        found = self.resolve(
            {1: "a=x", 2: "a=x b=y", 3: "a=x b=y c=y", 4: "a=x b=y c=z", 5: ""}
        )
        self.assertEqual(found, {1: ("x",), 3: ("y",)})

    def test_enough_votes(self):
        table = {1: "a=x", 2: "a=x b=x"}
        self.assertEqual(self.resolve(table, min_votes=2), {2: ("x",)})

    def test_each_class_by_itself(self):
        found = self.resolve(
            {1: "a=x|y b=x c=x|z", 2: "a=x b=", 3: "a= b=", 4: "a=x|y b=x|y"},
            multilabel=True,
        )
        self.assertEqual(found, {1: ("x",), 3: (), 4: ("x", "y")})

    def test_decided_needs_no_library(self):
        given = answers({1: "a=x", 2: "a=x b=y", 3: "a=x b=x", 4: ""})
        for rule, count, expected in (
            ("majority", 1, {1, 3}),
            ("majority", 2, {3}),
            ("dawid_skene", 2, {2, 3}),
        ):
            settings = Settings("npz:x", votes=rule, min_votes=count)
            self.assertEqual(votes.decided(given, settings), expected)

    def test_skipped_and_unsure_are_no_votes(self):
        given = answers({1: "a=x"})
        given[1]["b"] = Given(1, "b", "unsure", ())
        found = votes.resolved_labels(given, Settings("npz:x"))
        self.assertEqual(found, {1: ("x",)})

    @unittest.skipUnless(
        importlib.util.find_spec("crowdkit"), "crowd-kit is not installed"
    )
    def test_dawid_skene_trusts_the_reliable(self):
        random = np.random.default_rng(0)
        truth = random.choice(list("xy"), 300)
        skill = {"a": 0.97, "b": 0.97, "c": 0.55, "d": 0.55, "e": 0.55}
        table = {}
        for i, label in enumerate(truth):
            other = "y" if label == "x" else "x"
            table[i] = " ".join(
                f"{who}={label if random.random() < right else other}"
                for who, right in skill.items()
            )
        shares = []
        for rule in ("majority", "dawid_skene"):
            found = self.resolve(table, votes=rule)
            shares.append(
                np.mean([found[i] == (t,) for i, t in enumerate(truth)])
            )
        self.assertGreater(shares[1], shares[0] + 0.05)

    @unittest.skipIf(
        importlib.util.find_spec("crowdkit"), "crowd-kit is installed"
    )
    def test_dawid_skene_needs_a_library(self):
        with self.assertRaisesRegex(InputError, r"pip install.*\[labeling\]"):
            self.resolve({1: "a=x"}, votes="dawid_skene")


class AgreementTest(absltest.TestCase):
    def test_by_hand(self):
        given = answers(
            {1: "a=x b=x", 2: "a=x b=y", 3: "a=y b=y", 4: "a=x", 5: "a=y b=y"}
        )
        found = votes.agreement(given, {1: ("x",), 3: ("y",), 5: ("y",)})
        self.assertEqual((found.examples, found.observed), (4, 0.75))
        # Krippendorff: 8 labels of pairs, 3 of x and 5 of y; observed
        # disagreement 2/8, expected (64 - 9 - 25) / 56 = 30/56.
        self.assertAlmostEqual(found.alpha, 1 - (2 / 8) / (30 / 56))
        self.assertEqual(found.annotators, {"a": (5, 1.0), "b": (4, 1.0)})

    def test_the_published_example(self):
        # Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability",
        # section C: nominal data of four observers, alpha = 0.743.
        rows = {
            "a": "1 2 3 3 2 1 4 1 2 * * *",
            "b": "1 2 3 3 2 2 4 1 2 5 * 3",
            "c": "* 3 3 3 2 3 4 2 2 5 1 *",
            "d": "1 2 3 3 2 4 4 1 2 5 1 *",
        }
        cells = {who: text.split() for who, text in rows.items()}
        given = answers(
            {
                unit: " ".join(
                    f"{who}={values[unit]}"
                    for who, values in cells.items()
                    if values[unit] != "*"
                )
                for unit in range(12)
            }
        )
        self.assertAlmostEqual(votes.agreement(given, {}).alpha, 0.743, 3)

    def test_undefined(self):
        alone = votes.agreement(answers({1: "a=x"}), {1: ("x",)})
        self.assertEqual(alone[:3], (0, None, None))
        self.assertEqual(alone.annotators, {"a": (1, None)})
        equal = votes.agreement(answers({1: "a=x b=x"}), {})
        self.assertEqual(equal[:3], (1, 1.0, None))

    def test_unanswered(self):
        self.assertEqual(votes.agreement({}, {}), (0, None, None, {}))


if __name__ == "__main__":
    absltest.main()
