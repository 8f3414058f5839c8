"""The report's statistics on numbers whose answers are known."""

import math

from absl.testing import absltest, parameterized

from experiments import estimates

INF = math.inf


class QuantileTest(parameterized.TestCase):
    @parameterized.parameters(
        ([3.0], 0.5, 3.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([4.0, 1.0, 3.0, 2.0, 5.0], 0.5, 3.0),
        ([float(i) for i in range(1, 11)], 0.9, 9.0),
        ([float(i) for i in range(1, 21)], 0.9, 18.0),
        ([1.0, INF, 2.0], 0.9, INF),
        ([1.0, 2.0, 3.0, INF], 0.5, 2.0),
    )
    def test_is_an_order_statistic(self, values, q, expected):
        self.assertEqual(estimates.quantile(values, q), expected)

    def test_median_is_never_where_most_runs_never_arrive(self):
        self.assertEqual(estimates.median([1.0, INF, INF]), INF)


class BootstrapTest(absltest.TestCase):
    def test_equal_seeds_leave_no_doubt(self):
        found = estimates.bootstrap([2.0] * 5, estimates.median)
        self.assertEqual(found, (2.0, 2.0, 2.0))

    def test_interval_of_a_mean_is_that_of_the_normal_law(self):
        # 100 values of standard deviation 1: 1.645 standard errors of 0.1.
        values = [1.0, -1.0] * 50
        found = estimates.bootstrap(values, lambda v: sum(v) / len(v))
        self.assertEqual(found.value, 0.0)
        self.assertAlmostEqual(found.high, 0.1645, delta=0.02)
        self.assertAlmostEqual(found.low, -0.1645, delta=0.02)

    def test_same_values_give_the_same_interval(self):
        values = [1.0, 5.0, 2.0, 8.0]
        self.assertEqual(
            estimates.bootstrap(values, max), estimates.bootstrap(values, max)
        )


class BudgetTest(parameterized.TestCase):
    @parameterized.parameters(
        (3.5, 4000.0),  # Halfway between 2,000 and 8,000 in the logarithm.
        (4.0, 2000.0),
        (3.0, 8000.0),
        (4.5, 2000.0),
        (2.9, INF),
    )
    def test_is_read_in_the_logarithm(self, target, expected):
        found = estimates.budget_to_reach([2000, 8000], [4.0, 3.0], target)
        self.assertAlmostEqual(found, expected, places=6)

    def test_ratio_of_an_arm_that_needs_half(self):
        # Losses fall by 1 per doubling; the arm is one doubling ahead.
        base = {b: {s: 10 - math.log2(b) for s in (0, 1)} for b in (4, 8, 16)}
        arm = {b: {s: 9 - math.log2(b) for s in (0, 1)} for b in (4, 8, 16)}
        ratio, seeds = estimates.budget_ratio(base, arm, 16)
        self.assertEqual(seeds, 2)
        for value in ratio:
            self.assertAlmostEqual(value, 0.5)
        back, _ = estimates.budget_ratio(arm, base, 8)
        self.assertAlmostEqual(back.value, 2.0)
        never, _ = estimates.budget_ratio(arm, base, 16)
        self.assertEqual(never, (INF, INF, INF))

    def test_interval_spans_the_seeds(self):
        # Alone, seed 0 needs a half of the budget and seed 1 all of it.
        base = {b: {0: -math.log2(b), 1: -math.log2(b)} for b in (4, 8, 16)}
        arm = {b: {0: -1 - math.log2(b), 1: -math.log2(b)} for b in (4, 8, 16)}
        ratio, _ = estimates.budget_ratio(base, arm, 16)
        self.assertAlmostEqual(ratio.value, 2**-0.5)
        self.assertAlmostEqual(ratio.low, 0.5)
        self.assertAlmostEqual(ratio.high, 1.0)

    def test_only_whole_seeds_count(self):
        base = {4: {0: 2.0, 1: 2.0}, 8: {0: 1.0, 1: 1.0}, 16: {0: 0.5}}
        arm = {4: {0: 2.0, 1: 9.0}, 8: {0: 1.0}, 16: {0: 0.5}}
        self.assertEqual(estimates.whole_seeds(base, arm), ([4, 8, 16], [0]))
        ratio, seeds = estimates.budget_ratio(base, arm, 8)
        self.assertEqual(seeds, 1)
        self.assertAlmostEqual(ratio.value, 1.0)

    def test_nothing_to_read_between(self):
        self.assertIsNone(estimates.budget_ratio({}, {}, 8))
        one = {8: {0: 1.0}}
        self.assertIsNone(estimates.budget_ratio(one, one, 8))
        two = {4: {0: 2.0}, 8: {0: 1.0}}
        self.assertIsNone(estimates.budget_ratio(two, two, 16))


class DownstreamTest(absltest.TestCase):
    def test_paired_difference_over_both_kinds_of_seed(self):
        # Means per pre-training seed: 1, 2 and 3.
        arm = {0: [71.0, 73.0], 1: [72.0, 76.0], 2: [80.0, 80.0]}
        other = {0: [70.0, 72.0], 1: [70.0, 74.0], 2: [77.0, 77.0]}
        mean, error, seeds = estimates.paired_difference(arm, other)
        self.assertEqual((mean, seeds), (2.0, 3))
        self.assertAlmostEqual(error, 1 / math.sqrt(3))

    def test_pairing_removes_what_both_arms_share(self):
        # The pre-training seed moves both arms by 10 points.
        arm = {0: [70.0, 71.0], 1: [80.0, 81.0]}
        other = {0: [69.0, 70.0], 1: [79.0, 80.0]}
        mean, error, _ = estimates.paired_difference(arm, other)
        self.assertEqual((mean, error), (1.0, 0.0))

    def test_one_pre_training_seed_has_no_error(self):
        found = estimates.paired_difference({0: [2.0]}, {0: [1.0], 1: [5.0]})
        self.assertEqual(found, (1.0, None, 1))
        self.assertIsNone(estimates.paired_difference({0: [2.0]}, {1: [1.0]}))

    def test_tasks_of_one_seed_are_not_independent(self):
        # Seed 0 is ahead by 1 and seed 1 by 3 on every task: however many
        # tasks there are, the error is that of two numbers.
        differences = {task: {0: 1.0, 1: 3.0} for task in "abcd"}
        mean, error, seeds = estimates.mean_over_tasks(differences)
        self.assertEqual((mean, seeds), (2.0, 2))
        self.assertAlmostEqual(error, 1.0)
        self.assertIsNone(estimates.mean_over_tasks({}))

    def test_unpaired_errors_add_in_squares(self):
        # Standard errors of 1 each.
        ahead, error = estimates.unpaired_difference([4.0, 6.0], [1.0, 3.0])
        self.assertEqual(ahead, 3.0)
        self.assertAlmostEqual(error, math.sqrt(2))
        self.assertIsNone(estimates.unpaired_difference([4.0], [1.0, 3.0])[1])


if __name__ == "__main__":
    absltest.main()
