"""The runner with the real binary on miniature claims."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
from absl.testing import absltest

from experiments import cell_logs
from experiments.processes import Place, Process, try_lock
from tests.experiments.experiment_case import ExperimentCase, hand_made_log

ROOT = pathlib.Path(__file__).resolve().parents[2]
KILLS = 10


class RunnerCase(ExperimentCase):
    def start(self, *flags, place="runs"):
        command = [
            sys.executable,
            "-m",
            "experiments.run",
            f"--runs_dir={self.folder / place}",
            f"--logs_dir={self.logs}",
            f"--claims_dir={self.claims}",
            f"--cache_dir={self.folder / 'cache'}",
            *flags,
        ]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, *flags, code=0, place="runs"):
        process = self.start(*flags, place=place)
        printed, _ = process.communicate(timeout=900)
        self.assertEqual(process.returncode, code, printed[-3000:])
        return printed

    def facts(self):
        """All logs without what depends on the clock."""
        timed = ("cpu_seconds", "attempts", "machine", "commit")
        found = {}
        for path in sorted(self.logs.rglob("*.jsonl")):
            log = cell_logs.read_log(path)
            name = str(path.relative_to(self.logs))
            found[name] = {k: v for k, v in log.items() if k not in timed}
        return found


class PlanTest(RunnerCase):
    """Without any run."""

    def test_says_what_is_left_and_skips_what_has_a_log(self):
        self.declare("claim")
        cells = self.cells("claim")
        lines = [{"step": 10, "stage": "s", "heldout_sc_loss": 5.0}]
        hand_made_log(cells[0], self.logs, lines)
        printed = self.finish("--dry_run")
        self.assertIn("1 cells done; 3 cells left", printed)
        self.assertNotIn(f" {cells[0].name}:", printed)
        self.assertIn(f" {cells[1].name}: 0/10 steps", printed)

    def test_a_bad_log_is_named_and_its_cell_done_again(self):
        self.declare("claim")
        cells = self.cells("claim")
        hand_made_log(cells[0], self.logs, [], format=0)
        path = hand_made_log(cells[1], self.logs, [])
        path.write_text(path.read_text().splitlines()[0] + "\n")
        printed = self.finish("--dry_run")
        self.assertRegex(printed, f"{cells[0].name}.jsonl.*format version")
        self.assertRegex(printed, f"{cells[1].name}.jsonl.*cut short")
        self.assertIn("4 cells left", printed)

    def test_unknown_names_end_with_code_2_and_the_nearest(self):
        self.declare("claim")
        printed = self.finish("--experiments=clam", code=2)
        self.assertIn("Did you mean 'claim'", printed)
        printed = self.finish("--arms=secnd", code=2)
        self.assertIn("Did you mean 'second'", printed)
        printed = self.finish("--cpus=one", code=2)
        self.assertIn("CPU numbers", printed)

    def test_pause_and_resume_leave_a_sign_for_every_runner(self):
        self.finish("--pause")
        self.assertTrue((self.folder / "runs" / "pause").exists())
        self.finish("--resume")
        self.assertFalse((self.folder / "runs" / "pause").exists())


class WorkTest(RunnerCase):
    def test_runs_stops_and_collects(self):
        self.declare_corpus()
        # Every loss is below: the run stops after the first evaluation.
        self.declare("stops", more="stop_below = 99.0", budget=20_000)
        printed = self.finish("--jobs=2", "--arms=first")
        self.assertIn("0 cells left", printed)
        logs = self.facts()
        self.assertLen(logs, 2)
        for log in logs.values():
            self.assertEqual([line["step"] for line in log["lines"]], [5])
            self.assertGreater(log["lines"][0]["flops"], 0)
        again = self.finish("--jobs=2", "--arms=first")
        self.assertIn("2 cells done; 0 cells left", again)
        self.assertNotIn("start", again)

    @pytest.mark.slow
    def test_a_process_that_somebody_stopped_and_forgot_is_continued(self):
        self.declare_corpus()
        self.declare("claim")
        place = Place(self.folder / "runs", str(self.folder / "cache"))
        cell = self.cells("claim")[0]
        process = Process(cell, place, try_lock(cell, place), patience=0.5)
        os.kill(process.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 300
        while (code := process.poll()) is None:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        self.assertEqual(code, 0)
        self.assertTrue(place.is_finished(cell))

    @pytest.mark.slow
    def test_the_pause_file_stops_and_continues(self):
        self.declare_corpus()
        self.declare("claim")
        place = Place(self.folder / "runs", str(self.folder / "cache"))
        cell = self.cells("claim")[0]
        process = Process(cell, place, try_lock(cell, place), patience=0.0)
        place.pause.touch()
        process.poll()
        for _ in range(20):
            self.assertIsNone(process.poll())
            time.sleep(0.05)
        state = pathlib.Path(f"/proc/{process.pid}/stat")
        if state.is_file():
            self.assertEqual(state.read_text().rpartition(")")[2][1], "T")
        place.pause.unlink()
        while (code := process.poll()) is None:
            time.sleep(0.1)
        self.assertEqual(code, 0)

    def test_a_missing_data_set_says_how_to_prepare_it(self):
        self.declare("claim")
        path = self.claims / "settings.toml"
        text = path.read_text()
        path.write_text(text.replace("text:none.txt", "tfds:ag_news_subset"))
        printed = self.finish("--arms=first", "--jobs=1", code=2)
        self.assertIn("tfds build ag_news_subset", printed)

    def test_termination_saves_and_the_same_command_resumes(self):
        self.declare_corpus()
        self.declare("claim", budget=3000)
        process = self.start("--arms=first", "--jobs=1")
        runs = self.folder / "runs"
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if any(runs.glob("*/checkpoints/step-*")):
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 75, printed)
        self.assertIn("the same command resumes them", printed)
        printed = self.finish("--arms=first", "--dry_run")
        self.assertRegex(printed, r"seed0: [1-9]\d*/3000 steps")


@pytest.mark.slow
class KillTest(RunnerCase):
    def test_ten_kills_leave_the_same_logs(self):
        self.declare_corpus()
        self.declare("claim", budget=200)
        self.finish("--jobs=2", place="whole")
        whole = self.facts()
        self.assertLen(whole, 4)
        for path in self.logs.rglob("*.jsonl"):
            path.unlink()
        chooser = random.Random(0)
        kills = 0
        for _ in range(KILLS):
            process = self.start("--jobs=2")
            time.sleep(chooser.uniform(1.0, 20.0))
            if process.poll() is None:
                process.kill()
                kills += 1
            process.communicate()
        self.assertGreater(kills, 0)
        self.finish("--jobs=2")
        self.assertEqual(self.facts(), whole)
        self.assertEqual(
            json.dumps(self.facts(), sort_keys=True),
            json.dumps(whole, sort_keys=True),
        )


if __name__ == "__main__":
    absltest.main()
