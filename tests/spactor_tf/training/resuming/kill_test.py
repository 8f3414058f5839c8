"""kill -9 at random moments: the run goes on and computes the same bits."""

import os
import pathlib
import random
import subprocess
import tempfile
import time

import numpy as np
import pytest
from absl.testing import absltest

from tests.support import testing
from tests.support.faults import small_run

ROOT = pathlib.Path(__file__).resolve().parents[4]
KILLS, TRANSITION = 20, 1000


@pytest.mark.slow
class KillTest(absltest.TestCase):
    """Twenty kills, each at another moment of another attempt.

    Half of them come when a temporary folder is there (the process is inside
    a checkpoint), one at the transition, the others a random time after a line
    of metrics.
    """

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.base = pathlib.Path(folder.name)
        self.dataset = testing.write_corpus(self.base)

    def start(self, name):
        command = small_run.command(
            dataset=self.dataset,
            output_dir=self.base / name,
            cache_dir=self.base / "cache",
            train_steps=2000,
            transition_step=TRANSITION,
            eval_every=200,
            checkpoint_every=20,
        )
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, name):
        process = self.start(name)
        _, log = process.communicate(timeout=900)
        self.assertEqual(process.returncode, 0, log[-2000:])
        return self.base / name

    def wait_for(self, process, sign, seconds=300):
        until = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < until:
            if sign():
                return
            time.sleep(0.0005)

    def signs(self, folder, moment):
        checkpoints = folder / "checkpoints"
        metrics = folder / "metrics.jsonl"
        size = metrics.stat().st_size if metrics.is_file() else 0
        if moment == KILLS // 2:
            return (checkpoints / f"step-{TRANSITION:08d}").is_dir
        if moment % 2 == 0:
            return lambda: any(checkpoints.glob(".tmp-*"))
        return lambda: metrics.is_file() and metrics.stat().st_size > size

    def test_twenty_kills(self):
        chooser = random.Random(0)
        whole = self.finish("whole")
        folder = self.base / "killed"
        kills = inside = 0
        for moment in range(KILLS):
            process = self.start("killed")
            self.wait_for(process, self.signs(folder, moment))
            if moment % 2:
                time.sleep(chooser.uniform(0.0, 0.4))
            if process.poll() is None:
                process.kill()
                kills += 1
                inside += any((folder / "checkpoints").glob(".tmp-*"))
            process.communicate()
        self.finish("killed")
        print(f"{kills} kills, {inside} of them inside a checkpoint write")
        self.assertEqual(kills, KILLS)
        self.assertGreater(inside, 0)
        self.assertEqual(
            testing.without_timings(folder), testing.without_timings(whole)
        )
        mine, expected = (
            testing.final_arrays(folder),
            testing.final_arrays(whole),
        )
        for name, value in expected.items():
            np.testing.assert_array_equal(mine[name], value, err_msg=name)


if __name__ == "__main__":
    absltest.main()
