"""What a project will cost: forecasts, how they held, advice."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.project.forecast import advice, forecast, held

LABELS = np.arange(20, 420, 20)


def law(a, b, c, labels=LABELS):
    return 1 - (a + b * labels.astype(float) ** -c)


class ForecastTest(parameterized.TestCase):
    @parameterized.parameters((0.0, 1.0, 0.5), (0.02, 2.0, 0.7), (0.05, 1, 0.4))
    def test_a_law_without_noise(self, a, b, c):
        target = 1 - (a + b * 1200.0**-c)
        found = forecast(LABELS, law(a, b, c), target, test_size=10**6)
        self.assertBetween(1200, found.low, found.high)
        self.assertBetween(found.median, 400, 1200 * 3)

    def test_reached(self):
        found = forecast(LABELS, law(0, 1, 0.5), 0.9, test_size=500)
        self.assertEqual(found, (0.9, 100, 100, 100))

    def test_out_of_reach(self):
        accuracies = law(0.2, 1, 1.5)
        found = forecast(LABELS, accuracies, 0.99, test_size=5000)
        self.assertEqual(found.median, math.inf)
        self.assertIn("Stop or change", advice(found, 400, 1000))

    def test_too_few_rounds(self):
        found = forecast(LABELS[:3], law(0, 1, 0.5)[:3], 0.99, test_size=500)
        self.assertIsNone(found)
        self.assertIn("needs 4 measured rounds", advice(None, 60, 1000))

    def test_the_same_answer_again(self):
        both = [
            forecast(LABELS, law(0, 1, 0.4), 0.95, test_size=500)
            for _ in range(2)
        ]
        self.assertEqual(*both)

    def test_more_noise_is_a_wider_interval(self):
        random, widths = np.random.default_rng(0), []
        for size in (200, 20_000):
            noise = random.standard_normal(len(LABELS)) * 0.3 / size**0.5
            accuracies = law(0, 1, 0.45) + noise
            found = forecast(LABELS, accuracies, 0.96, test_size=size)
            widths.append(found.high / found.low)
        self.assertGreater(widths[0], widths[1])

    def test_coverage_of_an_interval_of_eighty_percent(self):
        random = np.random.default_rng(1)
        inside = []
        labels = np.arange(20, 3000, 20)
        for _ in range(60):
            c, a = random.uniform(0.3, 0.9), random.uniform(0, 0.04)
            size = 500
            error = 1 - law(a, 0.4 * 20**c, c, labels)
            seen = 1 - random.binomial(size, error) / size
            target = 1 - error[60]
            needed = labels[np.argmax(seen >= target)]
            end = int(np.sum(labels <= needed / 3))
            if end < 4:
                continue
            found = forecast(labels[:end], seen[:end], target, test_size=size)
            inside.append(found.low <= needed <= found.high + 20)
        self.assertGreater(len(inside), 40)
        self.assertGreaterEqual(np.mean(inside), 0.7)


class HeldTest(absltest.TestCase):
    def test_forecasts_of_earlier_rounds(self):
        target = 1 - 1 / 300.0**0.5
        found = held(LABELS, law(0, 1, 0.5), target, test_size=500)
        self.assertEqual({h.needed for h in found}, {300})
        self.assertEqual([h.labels for h in found], [*range(80, 300, 20)])
        self.assertGreater(np.mean([h.is_inside for h in found]), 0.7)

    def test_not_reached_yet(self):
        self.assertEmpty(held(LABELS, law(0, 1, 0.5), 0.99, test_size=500))


class AdviceTest(absltest.TestCase):
    def test_sentences(self):
        found = forecast(LABELS, law(0, 1, 0.5), 0.96, test_size=500)
        self.assertRegex(advice(found, 400, 10**6), r"about [\d,]+ more labels")
        left = int(found.low) - 400
        self.assertIn("pool may not suffice", advice(found, 400, left))
        self.assertIn("unlikely to suffice", advice(found, 400, left - 50))
        reached = forecast(LABELS, law(0, 1, 0.5), 0.9, test_size=500)
        self.assertEqual(
            advice(reached, 400, 10), "Stop: the accuracy is reached."
        )


if __name__ == "__main__":
    absltest.main()
