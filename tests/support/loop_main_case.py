"""Runs of the loop's binary, in this process and in one of its own."""

import csv
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
from absl.testing import parameterized

from al_tf import active_learning_main
from spactor_tf.inference.pretrained import save_pretrained
from tests.support import isolated, loop_data, testing

ROOT = pathlib.Path(__file__).absolute().parents[2]


class MainTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.run_dir = self.folder / "run"
        pool = loop_data.blobs(120)
        self.npz = self.folder / "pool.npz"
        np.savez(
            self.npz,
            embeddings=pool.inputs,
            labels=pool.labels,
            classes=np.array(pool.classes),
        )

    def main(self, **change):
        values = {
            "dataset": f"npz:{self.npz}",
            "output_dir": str(self.run_dir),
            "seed_size": 12,
            "batch_size": 6,
            "rounds": 2,
            "strategies": ["cluster_margin", "random"],
            "target_cluster_size": 3.0,
            **change,
        }
        with testing.main_flags(active_learning_main, **values):
            active_learning_main.main(["main"])

    def curves(self):
        with (self.run_dir / "curves.csv").open() as handle:
            return list(csv.DictReader(handle))

    def write_jsonl(self, examples, name="pool.jsonl"):
        path = self.folder / name
        with path.open("w") as handle:
            for text, label in zip(
                examples.inputs, examples.labels, strict=True
            ):
                row = {"text": text, "label": examples.classes[label]}
                handle.write(json.dumps(row) + "\n")
        return f"jsonl:{path}:text:label"

    def encoder(self):
        model = testing.random_t5()
        path = self.folder / "t5"
        save_pretrained(path, model.backbone, model.vocabulary, model.config)
        return str(path)


class ProcessTestCase(MainTestCase):
    def command(self, name, *more):
        return [
            sys.executable,
            "-m",
            "al_tf.active_learning_main",
            f"--dataset=npz:{self.npz}",
            f"--output_dir={self.folder / name}",
            "--seed_size=12",
            "--batch_size=6",
            *more,
        ]

    def start(self, name, *more):
        return subprocess.Popen(
            self.command(name, *more),
            cwd=ROOT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=isolated.hear_ctrl_c,
        )
