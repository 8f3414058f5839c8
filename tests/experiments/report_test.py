"""The report: the same text from the same logs, known answers, no surprises."""

import math

from absl.testing import absltest

from experiments import report, results, sections
from experiments.claims import load_claims
from tests.experiments.experiment_case import ExperimentCase, hand_made_log

INF = math.inf


def history(*losses, every=250, flops=1_000_000_000):
    """Evaluations with these losses, one every 250 steps."""
    return [
        {
            "step": every * n,
            "stage": "span_corruption",
            "heldout_sc_loss": loss,
            "flops": flops * every * n,
        }
        for n, loss in enumerate(losses, 1)
    ]


def scores(*values):
    summary = {"primary": "accuracy"}
    summary["validation"] = {"accuracy": {"values": list(values)}}
    return [{"seeds": list(range(len(values))), "tasks": {"t": summary}}]


class OwnReportTest(absltest.TestCase):
    def test_the_committed_report_is_that_of_the_committed_logs(self):
        found = report.load_results(load_claims())
        parts = report.report_parts(found)
        text = report.markdown(parts, report.run_facts(found))
        committed = (report.DOCS / "results.md").read_text(encoding="utf-8")
        self.assertEqual(text, committed, "run `python -m experiments.report`")
        for part in parts:
            for name, _, _ in part.figures:
                path = report.DOCS / "results" / f"{name}.png"
                self.assertTrue(path.is_file(), path)


class OwnClaimCase(ExperimentCase):
    """Hand-made logs for this repository's declarations."""

    def results_of(self, name, make):
        """Writes make(cell) as the log of every cell where it is not None."""
        claims = load_claims([name])
        for cell in claims[name].cells:
            lines = make(cell)
            if lines is not None:
                hand_made_log(cell, self.logs, lines)
        return {
            one.claim.name: one
            for one in report.load_results(claims, self.logs)
        }[name]


class ExitTest(OwnClaimCase):
    def test_distribution_of_exit_steps(self):
        # SC of seed k leaves at step 250 (k + 2), seed 19 never.
        def make(cell):
            if cell.arm != "sc":
                return history(4.5, 4.1)
            late = 20 if cell.seed == 19 else cell.seed + 1
            rest = [] if cell.seed == 19 else [4.19]
            return history(*[4.5] * late, *rest)

        part = sections.section(self.results_of("plateau_exit", make))
        ((_, rows),) = part.tables
        self.assertEqual(rows[0][1], "20")
        self.assertStartsWith(rows[0][2], "2,750 (")
        self.assertEqual(rows[0][3:6], ["4,750", "500", "never"])
        self.assertEqual(rows[1][2], "500 (500 to 500)")

    def test_a_loss_at_the_bound_has_not_left(self):
        log = {"lines": history(4.2, 4.1999)}
        self.assertEqual(results.exit_step(log), 500)
        self.assertEqual(results.exit_step({"lines": history(4.2)}), INF)


class BudgetTest(OwnClaimCase):
    def test_half_of_the_iterations_and_more_flops_per_step(self):
        def make(cell):
            ahead = 0 if cell.arm == "sc" else 1
            per_step = 1_000_000_000 if cell.arm == "sc" else 1_200_000_000
            loss = 20 - math.log2(cell.budget) - ahead
            return history(loss, every=cell.budget, flops=per_step)

        part = sections.section(self.results_of("budget_curves", make))
        _, (_, ratios) = part.tables
        by_arm = {(row[0], row[1]): row[2:] for row in ratios}
        found = by_arm["SpacTor, τ 25 %", "16,000 steps"]
        self.assertEqual(found[0], "5")
        self.assertEqual(found[1], "0.50 (0.50 to 0.50)")
        self.assertEqual(found[2], "0.60 (0.60 to 0.60)")

    def test_one_seed_has_no_interval(self):
        def make(cell):
            ahead = 0 if cell.arm == "sc" else 1
            loss = 20 - math.log2(cell.budget) - ahead
            return history(loss) if cell.seed == 0 else None

        part = sections.section(self.results_of("budget_curves", make))
        _, (_, ratios) = part.tables
        self.assertEqual(ratios[0][2:4], ["1", "0.50"])


class TuningTest(OwnClaimCase):
    def test_settings_are_sorted_and_compared_in_pairs(self):
        losses = {"today": 4.0, "muon_cosine": 3.5, "schedule_free": 4.5}

        def make(cell):
            if cell.budget == 8000 and cell.arm in losses:
                return history(4.25, losses[cell.arm] + cell.seed / 10)
            return None

        part = sections.section(self.results_of("sc_tuning", make))
        ((header, rows),) = part.tables
        self.assertEqual(header[0], "8,000 steps")
        self.assertEqual(
            [row[3] for row in rows],
            ["-0.500 +- 0.000", "+0.000 +- 0.000", "+0.500 +- 0.000"],
        )
        self.assertEqual(rows[0][4], "500, 500")
        self.assertEqual(rows[2][4], "never, never")


class DownstreamTest(OwnClaimCase):
    def test_paired_differences_and_their_mean_over_tasks(self):
        def make(cell):
            ahead = {"spactor_50": cell.seed + 1.0}.get(cell.arm, 0.0)
            base = 70.0 + 5 * cell.seed
            return scores(*(base + ahead + n for n in range(5)))

        part = sections.section(self.results_of("downstream", make))
        ((header, rows),) = part.tables
        column = list(header).index("SpacTor, half of the steps")
        # 1, 2 and 3 ahead on every task: 2 +- 1 / sqrt(3).
        self.assertEqual({row[column] for row in rows}, {"+2.00 +- 0.58"})
        self.assertEqual(rows[-1][0], "mean")

    def test_a_set_up_that_cannot_tell_is_marked(self):
        def make(cell):
            ahead = 10.0 if cell.task == "sst2" else 0.5
            shift = ahead if cell.arm == "sc" else 0.0
            return scores(70.0 + shift, 71.0 + shift, 72.0 + shift)

        part = sections.section(self.results_of("downstream_setups", make))
        ((_, rows),) = part.tables
        # Standard errors of 1/sqrt(3) each: 10 is 12.2 of their root sum.
        marks = {row[0]: (row[5], row[6]) for row in rows}
        self.assertEqual(marks["sst2"], ("12.2", "yes"))
        self.assertEqual(marks["cola"], ("0.6", "no"))


class WriteTest(OwnClaimCase):
    def test_text_plots_and_page(self):
        one = self.results_of("plateau_exit", lambda cell: history(4.5, 4.1))
        path = report.write_report([one], self.folder / "docs", self.logs)
        first = path.read_bytes()
        self.assertIn(b"![Share of the seeds", first)
        self.assertTrue((path.parent / "results/plateau_exit.png").is_file())
        page = (path.parent / "results/report.html").read_text()
        self.assertIn("data:image/png;base64,", page)
        self.assertNotIn("None", page)
        report.write_report([one], self.folder / "docs", self.logs)
        self.assertEqual(path.read_bytes(), first)

    def test_a_bad_log_is_left_out(self):
        one = self.results_of("plateau_exit", lambda cell: history(4.1))
        count = len(one.logs)
        cell = one.claim.cells[0]
        hand_made_log(cell, self.logs, history(4.1), format=0)
        claims = load_claims(["plateau_exit"])
        (found,) = report.load_results(claims, self.logs)
        self.assertLen(found.logs, count - 1)


if __name__ == "__main__":
    absltest.main()
