"""kill -9 at any moment: the project ends where it would have ended."""

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

from al_tf.project.project import Project
from tests.support.labeling import project_data

ROOT = pathlib.Path(__file__).absolute().parents[3]


def names(folder, prefix="", suffix=""):
    """Files that are there; they may vanish while they are listed."""
    return {
        pathlib.Path(place, name)
        for place, _, files in os.walk(folder)
        for name in files
        if name.startswith(prefix) and name.endswith(suffix)
    }


def state(folder):
    """Everything that a project is, but for its own name."""
    project = Project(folder)
    found = project.state
    return {
        "classes": found.classes,
        "parts": found.parts,
        "batches": [b._replace(name=b.name[-3:]) for b in found.batches],
        "answers": {k: dict(v) for k, v in found.answers.items()},
        "amendments": found.amendments,
        "labels": project.labels(),
        "clusters": project.clustering.cluster_ids.tolist(),
    }


@pytest.mark.slow
class ProjectKillTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        project_data.write_blobs(self.folder / "pool.npz")
        project_data.write_blobs(self.folder / "more.npz", 40, seed=1)

    def start(self, name):
        """Starts somebody who does what is not done yet, and then ends."""
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.support.labeling.project_life",
                str(self.folder),
                name,
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def test_twenty_kills(self):
        self.assertEqual(self.start("whole").wait(600), 0)
        killed, chooser = self.folder / "killed", random.Random(0)
        kills = inside = 0
        while kills < 20:
            left = names(killed, prefix=".tmp-")
            written = names(killed / "events", suffix=".json")
            process = self.start("killed")
            # Every second time inside a write, else soon after one.
            while process.poll() is None:
                reached = (
                    names(killed, prefix=".tmp-") - left
                    if kills % 2
                    else names(killed / "events", suffix=".json") - written
                )
                if reached:
                    break
                time.sleep(0.0002)
            if not kills % 2:
                time.sleep(chooser.uniform(0, 0.05))
            process.kill()
            self.assertEqual(process.wait(60), -signal.SIGKILL, "ended early")
            kills += 1
            inside += bool(names(killed, prefix=".tmp-") - left)
        print(f"{kills} kills, {inside} of them inside a write")
        self.assertGreater(inside, 0)
        self.assertEqual(self.start("killed").wait(600), 0)
        whole, again = state(self.folder / "whole"), state(killed)
        self.assertEqual(json.dumps(again), json.dumps(whole))
        self.assertLen(whole["amendments"], 2)
        self.assertEqual(whole["classes"][-1], "dog")
        self.assertLen(whole["parts"], 2)
        states = {
            given.state
            for answers in whole["answers"].values()
            for given in answers.values()
        }
        self.assertEqual(states, {"label", "skip", "unsure"})


if __name__ == "__main__":
    absltest.main()
