"""Logs of cells: whole, of this version, of these settings, or named."""

import json

from absl.testing import absltest, parameterized

from experiments import cell_logs
from runkit import InputError
from tests.experiments.experiment_case import ExperimentCase, hand_made_log

LINES = [
    {"step": 5, "stage": "span_corruption", "heldout_sc_loss": 6.25},
    {"step": 10, "stage": "span_corruption", "heldout_sc_loss": 5.5},
]


class ReadTest(ExperimentCase):
    def setUp(self):
        super().setUp()
        self.declare("claim")
        self.cell = self.cells("claim")[0]

    def test_a_cell_without_a_log(self):
        self.assertIsNone(cell_logs.logged(self.cell, self.logs))

    def test_a_log_is_read_back(self):
        hand_made_log(self.cell, self.logs, LINES)
        log = cell_logs.logged(self.cell, self.logs)
        self.assertEqual(log["lines"], LINES)
        self.assertEqual(log["cpu_seconds"], 60.0)

    @parameterized.parameters(
        ({"format": 0}, "another format version"),
        ({"digest": "0"}, "other settings"),
        ({"stop_below": 1.0}, "other settings"),
    )
    def test_another_log_is_named(self, changes, message):
        hand_made_log(self.cell, self.logs, LINES, **changes)
        with self.assertRaisesRegex(
            InputError, f"{self.cell.name}.jsonl: .*{message}"
        ):
            cell_logs.logged(self.cell, self.logs)

    def test_every_cut_is_seen(self):
        path = hand_made_log(self.cell, self.logs, LINES)
        whole = path.read_bytes()
        for length in range(0, len(whole) - 1, 7):
            path.write_bytes(whole[:length])
            with self.assertRaisesRegex(InputError, "seed0.jsonl"):
                cell_logs.logged(self.cell, self.logs)


class WriteTest(ExperimentCase):
    def write(self, attempts, more=""):
        self.declare("claim", more=more)
        cell = self.cells("claim")[0]
        run = self.folder / "run"
        run.mkdir(exist_ok=True)
        lines = [{"step": 2, "stage": "span_corruption", "sc_loss": 7.0}]
        lines += [line | {"steps_per_second": 3.0} for line in LINES]
        (run / "metrics.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines)
        )
        cell_logs.write_log(cell, run, attempts, self.logs)
        return cell_logs.logged(cell, self.logs)

    def test_evaluations_are_kept_and_timings_are_not(self):
        log = self.write([{"cpu_seconds": 2.0}, {"cpu_seconds": 3.0}])
        self.assertEqual(log["lines"], LINES)
        self.assertEqual((log["attempts"], log["cpu_seconds"]), (2, 5.0))

    def test_a_killed_attempt_makes_the_cost_unknown(self):
        log = self.write([{"cpu_seconds": 2.0}, {}])
        self.assertIsNone(log["cpu_seconds"])

    def test_a_stopped_run_ends_with_the_line_that_stopped_it(self):
        log = self.write([], "stop_below = 7.0")
        self.assertEqual(log["lines"], LINES[:1])

    def test_no_folder_of_this_machine_is_written(self):
        self.declare_corpus()
        log = self.write([])
        self.assertIn(
            "--set=data.dataset=text:PATH:blank_lines", log["command"]
        )
        self.assertNotIn(str(self.folder), json.dumps(log))


if __name__ == "__main__":
    absltest.main()
