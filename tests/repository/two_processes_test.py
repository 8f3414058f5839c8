"""Two processes of one binary on one directory: one works, one says so."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from absl.testing import absltest, parameterized

from runkit.errors import EXIT_BAD_INPUT
from spactor_tf.inference.pretrained import save_pretrained
from tests.support import loop_data, serving_models, testing
from tests.support.isolated import ROOT, FolderTestCase

SMALL = (
    "--set=model.vocabulary_size=512",
    "--set=model.num_layers=1",
    "--set=model.hidden_dim=64",
    "--set=corruption.input_length=32",
    "--set=data.holdout_fraction=0.2",
)


def pretraining(folder: pathlib.Path) -> list[str]:
    return [
        "spactor_tf.pretrain_main",
        f"--dataset={testing.write_corpus(folder)}",
        f"--output_dir={folder / 'out'}",
        f"--cache_dir={folder / 'cache'}",
        "--train_steps=60",
        "--batch_size=4",
        *SMALL,
    ]


def labeled(folder: pathlib.Path) -> str:
    pool = loop_data.texts(40)
    rows = [
        json.dumps({"text": text, "label": pool.classes[label]})
        for text, label in zip(pool.inputs, pool.labels, strict=True)
    ]
    path = folder / "labeled.jsonl"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return f"jsonl:{path}:text:label"


def classification(folder: pathlib.Path) -> list[str]:
    model = testing.random_t5()
    save_pretrained(
        folder / "t5", model.backbone, model.vocabulary, model.config
    )
    return [
        "spactor_tf.classify_main",
        f"--init_from={folder / 't5'}",
        f"--train={labeled(folder)}",
        f"--output_dir={folder / 'out'}",
        "--train_steps=40",
    ]


def loop(folder: pathlib.Path) -> list[str]:
    rng = np.random.default_rng(0)
    np.savez(
        folder / "pool.npz",
        embeddings=rng.normal(size=(400, 8)).astype(np.float32),
        labels=rng.integers(0, 3, 400),
    )
    return [
        "al_tf.active_learning_main",
        f"--dataset=npz:{folder / 'pool.npz'}",
        f"--output_dir={folder / 'out'}",
        "--seeds=0,1,2",
        "--seed_size=20",
        "--batch_size=20",
    ]


def selection(folder: pathlib.Path) -> list[str]:
    rng = np.random.default_rng(0)
    np.save(folder / "e.npy", rng.normal(size=(5000, 16)).astype(np.float32))
    np.save(folder / "m.npy", rng.random(5000))
    return [
        "al_tf.select_main",
        f"--embeddings={folder / 'e.npy'}",
        f"--margins={folder / 'm.npy'}",
        f"--clustering={folder / 'clusters'}",
        f"--output={folder / 'batch.csv'}",
        "--batch_size=100",
    ]


def scoring(folder: pathlib.Path) -> list[str]:
    return [
        "export.score_main",
        f"--model_dir={serving_models.export_t5(folder / 'served')}",
        f"--dataset={labeled(folder).removesuffix(':label')}",
        f"--output_dir={folder / 'out'}",
    ]


@pytest.mark.slow
class TwoProcessesTest(FolderTestCase):
    @parameterized.parameters(
        pretraining, classification, loop, selection, scoring
    )
    def test_one_works_and_one_is_refused(self, command):
        module, *flags = command(self.folder)
        both = [
            subprocess.Popen(
                [sys.executable, "-m", module, *flags],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            for _ in range(2)
        ]
        for process in both:
            self.addCleanup(process.kill)
        said = [process.communicate()[0] for process in both]
        codes = [process.returncode for process in both]
        self.assertCountEqual(codes, [0, EXIT_BAD_INPUT], said)
        refused = said[codes.index(EXIT_BAD_INPUT)]
        self.assertRegex(refused, "is in use by|exists already")
        self.assertNotIn("Traceback", refused)


if __name__ == "__main__":
    absltest.main()
