"""Reports of fine-tuning show no Python values and need no scrolling."""

import json
import pathlib
import re

from absl.testing import absltest

from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.finetune import report

CONFIG = FinetuneConfig(task="toy", init_from="runs/" + "start" * 30)
RESULTS = {
    "steps": 8,
    "best_step": 4,
    "stopped_early": True,
    "mixture": [
        {
            "task": "toy",
            "examples": 64,
            "share": 1.0,
            "truncated_inputs": 2,
            "truncated_targets": 0,
        }
    ],
    "tasks": {"toy": {"primary": "f1", "validation": {"f1": 75.0}}},
}
SUMMARY = {
    "seeds": [3],
    "tasks": {
        "toy": {
            "primary": "f1",
            "validation": {
                "f1": {"mean": 75.0, "standard_error": None, "values": [75.0]}
            },
        }
    },
}


class ReportTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        line = {"step": 4, "loss": 2.0, "validation_toy_f1": 75.0}
        (self.folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")

    def check(self, path):
        page = path.read_text(encoding="utf-8")
        cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", page)
        self.assertNotEmpty(cells)
        for cell in cells:
            self.assertNotRegex(cell, r"None|True|False|[\[\]{}]|&#x27;")
        return page, cells

    def test_report_of_a_run(self):
        page, cells = self.check(
            report.write_report(self.folder, CONFIG, RESULTS)
        )
        self.assertTrue((self.folder / "validation_toy_f1.png").is_file())
        self.assertContainsSubset({"75", "yes", "truncated inputs"}, cells)
        # An absent value as --set takes it.
        place = cells.index("evaluation.patience")
        self.assertEqual(cells[place + 1], "none")
        # A long path wraps instead of widening the page.
        self.assertIn("overflow-wrap:anywhere", page)

    def test_report_of_one_seed_has_no_error(self):
        _, cells = self.check(
            report.write_seeds_report(
                self.folder, CONFIG, SUMMARY, {"seed-3": self.folder}
            )
        )
        place = cells.index("f1")
        self.assertEqual(cells[place + 1 : place + 4], ["75", "", "75.00"])


if __name__ == "__main__":
    absltest.main()
