"""kill -9 at any moment: the loop ends where it would have ended."""

import json
import os
import pathlib
import random
import signal
import time

import pytest
from absl.testing import absltest

from runkit.errors import EXIT_INTERRUPTED
from tests.support import loop_data
from tests.support.loop_main_case import ProcessTestCase


def names(folder, suffix="", prefix=""):
    """Files and folders; they may vanish while they are listed."""
    return {
        pathlib.Path(place, name)
        for place, folders, files in os.walk(folder)
        for name in [*folders, *files]
        if name.startswith(prefix) and name.endswith(suffix)
    }


@pytest.mark.slow
class LoopKillTest(ProcessTestCase):
    def setUp(self):
        super().setUp()
        self.whole, self.killed = self.folder / "whole", self.folder / "killed"
        self.chooser = random.Random(0)
        self.kills = self.inside = 0

    def kill(self, options):
        """Starts the run and kills it; every second time inside a write.

        Returns:
            The exit code: that of a kill, unless the run ended before it.
        """
        inside = self.kills % 2
        # What an earlier kill left is no sign that this process writes.
        left = names(self.killed, prefix=".tmp-")
        written = names(self.killed, ".json")
        process = self.start("killed", *options)
        while process.poll() is None:
            if inside:
                reached = names(self.killed, prefix=".tmp-") - left
            else:
                reached = names(self.killed, ".json") - written
            if reached:
                break
            time.sleep(0.0002)
        if not inside:
            time.sleep(self.chooser.uniform(0, 0.1))
        process.kill()
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            self.kills += 1
            self.inside += bool(names(self.killed, prefix=".tmp-") - left)
        return process.returncode

    def check_ends_alike(self):
        print(f"{self.kills} kills, {self.inside} of them inside a write")
        self.assertGreater(self.inside, 0)
        self.assertEqual(
            loop_data.state(self.killed), loop_data.state(self.whole)
        )
        self.assertEmpty(names(self.killed, prefix=".tmp-"))

    def test_twenty_kills(self):
        options = (
            "--rounds=12",
            "--strategies=cluster_margin,margin",
            "--seeds=0,1",
            "--learner=mlp",
        )
        self.assertEqual(self.start("whole", *options).wait(600), 0)
        while self.kills < 20:
            code = self.kill(options)
            self.assertEqual(code, -signal.SIGKILL, "finished before a kill")
        self.assertEqual(self.start("killed", *options).wait(600), 0)
        self.check_ends_alike()
        for run in self.killed.glob("runs/*/*"):
            asked = [
                row
                for path in run.glob("batch-*.json")
                for row in json.loads(path.read_text())["example_ids"]
            ]
            self.assertLen(set(asked), 12 + 12 * 6)
            self.assertLen(asked, len(set(asked)))

    def test_kills_between_the_answers_of_people(self):
        options = ("--rounds=3", "--strategies=margin", "--oracle=people")
        pool = loop_data.blobs(120)
        for number in range(4):
            code = self.start("whole", *options).wait(600)
            self.assertEqual(code, EXIT_INTERRUPTED)
            loop_data.answer(self.whole, number, pool)
        self.assertEqual(self.start("whole", *options).wait(600), 0)
        number, code = 0, None
        while code != 0:
            code = self.kill(options)
            if code == EXIT_INTERRUPTED:
                loop_data.answer(self.killed, number, pool)
                number += 1
            self.assertIn(code, (0, EXIT_INTERRUPTED, -signal.SIGKILL))
        self.assertEqual(number, 4)
        self.assertGreater(self.kills, 3)
        self.check_ends_alike()
        for path in self.whole.glob("to_label/*"):
            again = self.killed / "to_label" / path.name
            self.assertEqual(again.read_bytes(), path.read_bytes())


if __name__ == "__main__":
    absltest.main()
