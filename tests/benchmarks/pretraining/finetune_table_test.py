"""The table of fine-tuning runs: means, errors, cells that do not belong."""

import math
import pathlib
from unittest import mock

from absl.testing import absltest

from benchmarks import harness
from benchmarks.pretraining import finetune_table
from runkit import InputError, read_json, write_json
from spactor_tf.config.fields import override, to_dict
from spactor_tf.config.finetune import FinetuneConfig


class TableTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.base = pathlib.Path(self.create_tempdir().full_path)

    def cell(self, weights, seed, value, **fields):
        folder = finetune_table.cell_dir(self.base, "sst2", weights, seed)
        config = override(
            FinetuneConfig(),
            {
                "task": "sst2",
                "init_from": "run",
                "seed": seed,
                "from_scratch": weights == "from scratch",
                **fields,
            },
        )
        write_json(folder / "config.json", to_dict(config))
        metrics = {"primary": "accuracy", "validation": {"accuracy": value}}
        write_json(folder / "results.json", {"tasks": {"sst2": metrics}})
        return folder

    def test_row_by_hand(self):
        for seed, value in enumerate((80.0, 82.0, 84.0)):
            self.cell("pre-trained", seed, value)
        for seed, value in enumerate((70.0, 72.0)):
            self.cell("from scratch", seed, value)
        (row,) = finetune_table.rows_from(self.base, ["sst2", "rte"], range(3))
        # Standard errors 2 / sqrt 3 and 1; together sqrt(4 / 3 + 1).
        self.assertEqual(row["pre-trained"], "82.00 +- 1.15")
        self.assertEqual(row["from scratch"], "71.00 +- 1.00")
        self.assertEqual(row["difference"], "11.00 +- 1.53")
        self.assertAlmostEqual(
            row["in standard errors"], 11 / math.sqrt(4 / 3 + 1)
        )
        self.assertEqual(row["pre-trained, seeds"], 3)
        self.assertEqual(row["from scratch, seeds"], 2)

    def test_one_seed_has_no_error(self):
        self.cell("pre-trained", 0, 80.0)
        self.cell("from scratch", 0, 70.0)
        (row,) = finetune_table.rows_from(self.base, ["sst2"], [0])
        self.assertEqual(row["difference"], "10.00")
        self.assertNotIn("in standard errors", row)

    def test_cells_of_other_settings_are_refused(self):
        folders = [
            self.cell("pre-trained", 0, 80.0),
            self.cell("from scratch", 1, 70.0),
        ]
        config = finetune_table.common_config(folders)
        self.assertEqual(config["optimizer.learning_rate"], 1e-3)
        folders.append(self.cell("pre-trained", 2, 80.0, train_steps=7))
        with self.assertRaisesRegex(InputError, "other settings.*train_steps"):
            finetune_table.common_config(folders)

    def test_finished_cells_are_skipped(self):
        ran = []

        def run_cell(folder, task, weights, seed, flags):
            ran.append((weights, seed, folder))
            self.cell(weights, seed, 75.0, **changed)

        changed = {"evaluation.patience": 5, "evaluation.test": False}
        self.cell("pre-trained", 0, 80.0, **changed)
        preset = {
            "preset": "tiny",
            "train_steps": 5,
            "dataset": "text:/my/corpus",
        }
        command = [
            "table",
            "--init_from=run",
            f"--work_dir={self.base}",
            "--tasks=sst2",
            "--seeds=0,1",
            "--cells=2",
            "--",
            "--patience=5",
            "--data_dir=/my/data",
        ]
        with (
            mock.patch.object(finetune_table, "run_cell", run_cell),
            mock.patch.object(
                finetune_table, "pretraining_of", lambda run: preset
            ),
            mock.patch.object(harness, "RESULTS", self.base),
            mock.patch("sys.argv", command),
        ):
            finetune_table.main()
        self.assertEqual(
            [cell[:2] for cell in ran],
            [("from scratch", 0), ("pre-trained", 1)],
        )
        found = read_json(self.base / "finetune.json")
        self.assertEqual(found["rows"][0]["pre-trained, seeds"], 2)
        self.assertIn("3 of 4 cells finished.", found["notes"])
        self.assertRegex(
            found["notes"][1],
            "5 steps on text:PATH;.* at 0.001; evaluation.patience 5.$",
        )
        text = (self.base / "finetune.json").read_text()
        for path in ("/my/corpus", "/my/data", str(self.base)):
            self.assertNotIn(path, text)

    def test_settings_named_are_those_of_the_runs(self):
        config = finetune_table.common_config([self.cell("from scratch", 0, 1)])
        self.assertEqual(
            finetune_table.changed_settings(config), "all else by default"
        )
        config |= {"data.input_length": 64, "dtype": "mixed_bfloat16"}
        self.assertEqual(
            finetune_table.changed_settings(config),
            "data.input_length 64, dtype mixed_bfloat16",
        )


if __name__ == "__main__":
    absltest.main()
