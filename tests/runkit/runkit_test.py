"""Progress, pages, minibatches, averages."""

import base64
import io
import re

import numpy as np
from absl.testing import absltest, parameterized

from runkit import averages, minibatches, progress, report
from tests.support.isolated import FolderTestCase


class FakeClock:
    """Stands still until a test moves it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class ProgressTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.clock, self.stream = FakeClock(), io.StringIO()

    def progress(self, total, **kwargs) -> progress.Progress:
        return progress.Progress(
            total, clock=self.clock, stream=self.stream, **kwargs
        )

    def test_line_shows_share_rate_and_remaining_time(self):
        shown = self.progress(2000, unit="steps", label="training")
        self.clock.now += 10
        shown.update(500, "loss 3.2")
        self.assertEqual(
            self.stream.getvalue(),
            "training 500/2,000 steps (25%) 50.0 steps/s ETA 30s loss 3.2\n",
        )

    def test_resumed_work_does_not_count_toward_the_rate(self):
        shown = self.progress(2000, start=1000)
        self.clock.now += 10
        shown.update(1100)
        self.assertIn("1,100/2,000 steps (55%)", self.stream.getvalue())
        self.assertIn("10.0 steps/s ETA 1m30s", self.stream.getvalue())

    def test_at_most_one_line_per_period(self):
        shown = self.progress(100, every_seconds=5.0)
        for done in range(1, 21):
            self.clock.now += 1
            shown.update(done)
        self.assertLen(self.stream.getvalue().splitlines(), 4)

    def test_force_prints_at_once(self):
        shown = self.progress(10)
        shown.update(10, force=True)
        self.assertIn("10/10", self.stream.getvalue())

    def test_unknown_total_has_no_share_and_no_eta(self):
        shown = self.progress(None, unit="documents")
        self.clock.now += 10
        shown.update(5000)
        self.assertEqual(
            self.stream.getvalue(), "5,000 documents 500.0 documents/s\n"
        )

    def test_slow_work_shows_a_rate_that_is_not_zero(self):
        shown = self.progress(90, unit="rounds")
        self.clock.now += 130
        shown.update(3)
        self.assertEqual(
            self.stream.getvalue(),
            "3/90 rounds (3%) 0.023 rounds/s ETA 1h02m\n",
        )

    def test_no_eta_before_the_first_unit(self):
        shown = self.progress(10)
        self.clock.now += 10
        shown.update(0)
        self.assertNotIn("ETA", self.stream.getvalue())

    @parameterized.parameters(
        (-1, "0s"),
        (59.9, "59s"),
        (60, "1m00s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (360_000, "100h00m"),
    )
    def test_durations(self, seconds, text):
        self.assertEqual(progress.format_seconds(seconds), text)


class ReportTest(FolderTestCase):
    def test_text_from_outside_cannot_become_markup(self):
        hostile = "<script>alert('&')</script>"
        page = report.Report(hostile, self.folder)
        page.heading(hostile)
        page.text(hostile)
        page.table([hostile], [[hostile]])
        text = page.write().read_text(encoding="utf-8")
        self.assertNotIn("<script", text)
        self.assertEqual(text.count("&lt;script&gt;"), 6)

    def test_numbers_are_grouped_and_right_aligned(self):
        page = report.Report("t", self.folder)
        page.table(["a"], [[1234567, 0.123456, True, "x"]])
        text = page.write().read_text(encoding="utf-8")
        self.assertIn('<td class="n">1,234,567</td>', text)
        self.assertIn('<td class="n">0.1235</td>', text)
        self.assertIn("<td>yes</td><td>x</td>", text)

    def test_values_are_words_and_long_ones_wrap(self):
        page = report.Report("t", self.folder)
        rows = [[None, [1, "b"], (), {"a": None, "b": 2}, False, "w" * 999]]
        page.table(["a"] * 6, rows)
        text = page.write().read_text(encoding="utf-8")
        for shown in ("\u2013", "1, b", "\u2013", "a: \u2013, b: 2", "no"):
            self.assertIn(f"<td>{shown}</td>", text)
        self.assertNotIn("None", text)
        self.assertIn("overflow-wrap:anywhere", text)

    def test_figure_is_embedded_and_written_beside_the_page(self):
        figure, axes = report.new_figure()
        axes.plot([1, 2], [3, 4])
        page = report.Report("t", self.folder)
        page.figure(figure, "loss", 'the "loss"')
        text = page.write().read_text(encoding="utf-8")
        png = (self.folder / "loss.png").read_bytes()
        self.assertStartsWith(png, b"\x89PNG")
        self.assertIn(base64.b64encode(png).decode(), text)
        self.assertIn('alt="the &quot;loss&quot;"', text)

    def test_page_loads_nothing_from_elsewhere(self):
        figure, _ = report.new_figure()
        page = report.Report("t", self.folder)
        page.figure(figure, "empty")
        text = page.write("index.html").read_text(encoding="utf-8")
        sources = re.findall(r'(?:src|href)="([^"]{0,22})', text)
        self.assertEqual(sources, ["data:image/png;base64,"])
        self.assertNotIn("url(", text)
        self.assertNotIn("@import", text)


class MinibatchesTest(parameterized.TestCase):
    @parameterized.parameters((10, 4, 9), (3, 8, 5), (1, 1, 2))
    def test_every_example_once_a_pass(self, count, size, steps):
        found = list(minibatches.positions(count, size, steps, seed=1))
        self.assertEqual([len(rows) for rows in found], [size] * steps)
        stream = [int(i) for rows in found for i in rows]
        passes = [stream[i : i + count] for i in range(0, len(stream), count)]
        for order in passes[:-1]:
            self.assertCountEqual(order, range(count))
        self.assertLen(set(passes[-1]), len(passes[-1]))

    def test_order_is_a_function_of_the_seed(self):
        orders = [
            [rows.tolist() for rows in minibatches.positions(50, 7, 9, seed)]
            for seed in (1, 1, 2)
        ]
        self.assertEqual(orders[0], orders[1])
        self.assertNotEqual(orders[0], orders[2])

    @parameterized.parameters(
        # examples, batch, least, passes -> steps
        (100, 10, 30, 0.0, 30),
        (100, 10, 30, 2.9, 30),
        (100, 10, 30, 4.0, 40),
        (101, 10, 30, 4.0, 41),
        (5, 10, 0, 0.5, 1),
    )
    def test_steps_for(self, count, size, least, passes, steps):
        found = minibatches.steps_for(count, size, least, passes)
        self.assertEqual(found, steps)

    def test_rate_rises_and_falls(self):
        rates = [minibatches.rate_factor(i, 20) for i in range(20)]
        self.assertEqual(rates[:2], [0.5, 1.0])
        self.assertEqual(rates[2], 1.0)
        self.assertAlmostEqual(rates[11], 0.5)
        self.assertEqual(rates[2:], sorted(rates[2:], reverse=True))
        self.assertGreater(rates[-1], 0)

    @parameterized.parameters(0, 3, 4, 9)
    def test_batches_have_one_shape_and_rows_keep_their_answers(self, count):
        rows = np.arange(2 * count).reshape(count, 2)
        seen = []

        def double_and_sum(batch):
            seen.append(batch.copy())
            return 2 * batch, batch.sum(1)

        doubled, sums = minibatches.in_batches(double_and_sum, rows, 4, 7)
        np.testing.assert_array_equal(doubled, 2 * rows)
        np.testing.assert_array_equal(sums, rows.sum(1))
        self.assertEqual({batch.shape for batch in seen}, {(4, 2)})
        self.assertEqual(len(seen), max(1, -(-count // 4)))
        if count % 4 or not count:
            self.assertTrue((seen[-1][count % 4 :] == 7).all())


class AveragesTest(absltest.TestCase):
    def test_mean_and_standard_error(self):
        # Deviations -2, -1, 3: variance 14 / 2 = 7, error sqrt(7 / 3).
        mean, error = averages.mean_and_error([1.0, 2.0, 6.0])
        self.assertEqual(mean, 3)
        self.assertAlmostEqual(error, (7 / 3) ** 0.5)

    def test_the_error_of_one_value_is_unknown(self):
        self.assertEqual(averages.mean_and_error([2]), (2, None))

    def test_in_words(self):
        self.assertEqual(averages.in_words([10, 20], 0), "15 +- 5")
        self.assertEqual(averages.in_words([0.25]), "0.2500")


if __name__ == "__main__":
    absltest.main()
