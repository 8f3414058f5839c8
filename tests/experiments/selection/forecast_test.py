"""Forecasts tried on learning curves: cases, what counts as inside."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.project.forecast import Forecast
from experiments.selection import declaration, forecast
from experiments.selection.figures import Curves


def case(needed, low, high, last=600):
    made = Forecast(0.9, (low + min(high, 900)) / 2, low, high)
    return forecast.Case("random", 0, made, needed, last)


class DeclarationTest(absltest.TestCase):
    def test_two_pools_choose_and_two_test(self):
        declared = declaration.load(declaration.path_of("forecast"))
        chooses = {s.pool: s.chooses for s in declared.settings.values()}
        self.assertEqual(
            chooses,
            {"digits": True, "imdb": True, "cifar10": False, "sst2_20k": False},
        )
        self.assertEqual({*chooses}, {*forecast.TEST_SIZES})


class CasesTest(parameterized.TestCase):
    @parameterized.parameters(
        (300, 200, 400, True),
        (300, 300, 300, True),
        (300, 310, 400, False),
        (300, 200, 290, False),
        (300, 200, math.inf, True),
        # Never reached: more than the curve's 600.
        (math.inf, 200, 500, False),
        (math.inf, 200, 700, None),
        (math.inf, 200, math.inf, None),
    )
    def test_inside(self, needed, low, high, expected):
        self.assertEqual(case(needed, low, high).is_inside, expected)

    def test_forecasts_see_a_third_of_the_labels_only(self):
        labels = np.arange(20, 640, 10)
        accuracy = np.stack([1 - labels**-c for c in (0.45, 0.5)])
        curves = Curves(["random"], [0, 1], labels, accuracy[None], None)
        found = list(forecast.cases_of(curves, 500))
        self.assertLen(found, 6)
        # What comes after a third of the labels does not matter.
        target = forecast.targets_of(accuracy)[2]
        last = found[4]
        self.assertEqual(last.made.target, target)
        known = labels <= last.needed / 3
        self.assertLess(known.sum(), len(labels) / 2)
        again = forecast.cost.forecast(
            labels[known], accuracy[0, known], target, test_size=500
        )
        self.assertEqual(last.made, again)

    def test_a_line_of_the_table(self):
        cases = [
            case(300, 200, 400),
            case(300, 310, 400),
            case(300, 100, 200),
            case(300, 200, math.inf),
            case(math.inf, 200, math.inf),
        ]
        row = forecast.row_of("digits", "test", cases)
        self.assertEqual(
            [row[n] for n in ("cases", "inside", "share inside", "left out")],
            [4, 2, 0.5, 1],
        )
        self.assertEqual(row["more were needed"], 1)
        self.assertEqual(row["fewer were needed"], 1)
        self.assertEqual(row["no upper end"], 1)


if __name__ == "__main__":
    absltest.main()
