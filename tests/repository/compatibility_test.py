"""What was written before the modules moved into folders still opens.

`testdata/written_before_folders.zip` was made by the binaries of commit
8361132: a pre-training run that was killed before step 6 of 8, a clustering, a
loop that ended after one round, an exported version and, in `expected.json` and
`expected_variables.npz`, what that code computed from there.
"""

import csv
import hashlib
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
from absl.testing import absltest

import al_tf
from export import SessionModel, verify_saved_model
from tests.support.isolated import ROOT, FolderTestCase
from tests.support.testing import without_timings

ARCHIVE = ROOT / "tests" / "testdata" / "written_before_folders.zip"
# Another processor may round differently; the same one gives the same bits.
TOLERANCE = 1e-5


class CompatibilityTest(FolderTestCase):
    def setUp(self):
        super().setUp()
        with zipfile.ZipFile(ARCHIVE) as archive:
            archive.extractall(self.folder)
        text = (self.folder / "expected.json").read_text(encoding="utf-8")
        self.expected = json.loads(text)

    def run_main(self, module: str, *arguments: str) -> None:
        """Runs a binary in the folder, as the fixture's relative paths ask."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def flags(self, name: str) -> list[str]:
        return (self.folder / name).read_text(encoding="utf-8").split()

    def test_a_killed_run_resumes(self):
        run = self.folder / "run"
        before = (run / "metrics.jsonl").read_text(encoding="utf-8")
        self.assertNotIn('"step": 8', before)
        self.run_main("spactor_tf.pretrain_main", *self.flags("run_flags.txt"))
        with (
            np.load(self.folder / "expected_variables.npz") as expected,
            np.load(run / "checkpoints/step-00000008/variables.npz") as found,
        ):
            self.assertCountEqual(found.files, expected.files)
            for name in expected.files:
                np.testing.assert_allclose(
                    found[name],
                    expected[name],
                    rtol=TOLERANCE,
                    atol=TOLERANCE,
                    err_msg=name,
                )
        metrics = without_timings(run)
        self.assertLen(metrics, 8)
        for line, wanted in zip(metrics, self.expected["metrics"], strict=True):
            for name, value in wanted.items():
                if isinstance(value, float):
                    self.assertAlmostEqual(line[name], value, 4, name)
                else:
                    self.assertEqual(line[name], value, name)

    def test_a_clustering_loads_and_gives_the_same_batch(self):
        clustering = al_tf.load_clustering(self.folder / "clustering")
        hashes = self.expected["clustering"]
        for name in ("cluster_ids", "merge_distances"):
            digest = hashlib.sha256(getattr(clustering, name).tobytes())
            self.assertEqual(digest.hexdigest(), hashes[f"{name}.npy"], name)
        self.run_main(
            "al_tf.select_main",
            "--embeddings=embeddings.npy",
            "--margins=margins.npy",
            "--batch_size=20",
            "--clustering=clustering",
            "--target_cluster_size=6",
            "--output=batch.csv",
        )
        batch = (self.folder / "batch.csv").read_text(encoding="utf-8")
        self.assertEqual(batch, self.expected["batch"].replace("\r\n", "\n"))

    def test_a_loop_resumes(self):
        self.run_main(
            "al_tf.active_learning_main", *self.flags("loop_flags.txt")
        )
        path = self.folder / "loop" / "curves.csv"
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        self.assertLen(rows, 4)
        for row, wanted in zip(rows, self.expected["curves"], strict=True):
            for name, value in wanted.items():
                if "." in value:
                    self.assertAlmostEqual(float(row[name]), float(value), 5)
                else:
                    self.assertEqual(row[name], value, name)

    def test_an_export_verifies_and_answers_the_same(self):
        version = self.folder / "export" / "1"
        verify_saved_model(version)
        model = SessionModel(version)
        texts = self.expected["texts"]
        for signature, answers in self.expected["answers"].items():
            found = model.run(signature, {"text": texts})
            self.assertCountEqual(found, answers)
            for name, value in answers.items():
                if found[name].dtype == object:
                    words = [word.decode() for word in found[name].ravel()]
                    self.assertEqual(words, value, name)
                else:
                    np.testing.assert_allclose(
                        found[name], value, rtol=TOLERANCE, atol=TOLERANCE
                    )


if __name__ == "__main__":
    absltest.main()
