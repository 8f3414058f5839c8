"""The parts of the quickstart that are not the package's own commands."""

import importlib.util
import json
import pathlib

import numpy as np
from absl.testing import absltest

from examples import ask, package_pool, quickstart, quickstart_report
from runkit import InputError, write_json


def documents():
    for number in range(30):
        yield "alpha", f"alpha text {number} of the Alpha package"
        if number < 20:
            yield "beta", f"beta text {number}"
        if number < 5:
            yield "gamma", f"gamma text {number}"
        yield "not-a-package", f"other text {number}"


class FakeModel:
    def __init__(self, **outputs):
        self.outputs = outputs

    def run(self, signature, inputs):
        self.asked = signature, inputs["text"].tolist()
        return self.outputs


class PackagePoolTest(absltest.TestCase):
    def test_largest_packages_split_without_their_names(self):
        pool, test = package_pool.package_pool(documents(), 2, 12, 6)
        names = [row["package"] for row in pool]
        self.assertEqual(sorted(set(names)), ["alpha", "beta"])
        self.assertEqual(names.count("alpha"), 12)
        self.assertLen(test, 12)
        texts = [row["text"] for row in pool + test]
        self.assertLen(set(texts), len(texts))
        self.assertFalse([t for t in texts if "alpha" in t.lower()])
        again = package_pool.package_pool(documents(), 2, 12, 6)
        self.assertEqual(again, (pool, test))

    def test_too_few_texts(self):
        with self.assertRaisesRegex(InputError, "more than 10 docstrings"):
            package_pool.package_pool(documents(), 3, 12, 10)


class AskTest(absltest.TestCase):
    def test_label_margin_and_neighbors(self):
        classifier = FakeModel(
            label=np.array([b"beta"]),
            margin=np.array([0.5]),
            probabilities=np.array([[0.25, 0.75]]),
        )
        neighbors = FakeModel(
            cluster_id=np.array([7]),
            example_ids=np.array([[2, 0]]),
            distances=np.array([[0.125, 0.25]]),
        )
        (answer,) = ask.ask(classifier, neighbors, ["a", "b", "c"], ["what?"])
        self.assertEqual(neighbors.asked, ("neighbors", ["what?"]))
        self.assertEqual(
            answer,
            {
                "text": "what?",
                "label": "beta",
                "probability": 0.75,
                "margin": 0.5,
                "cluster": 7,
                "neighbors": [
                    {"text": "c", "distance": 0.125},
                    {"text": "a", "distance": 0.25},
                ],
            },
        )

    def test_long_texts_are_cut_to_one_line(self):
        self.assertEqual(ask.first_line("a\n  b"), "a b")
        self.assertLen(ask.first_line("word " * 50), 70)


class QuickstartTest(absltest.TestCase):
    def test_every_step_is_a_module_and_reads_what_was_written(self):
        folder = pathlib.Path("out")
        for _, _, arguments in quickstart.steps(folder, folder / "cache"):
            self.assertEqual(arguments[0], "-m")
            self.assertIsNotNone(importlib.util.find_spec(arguments[1]))

    def report_of(self, seeds):
        folder = pathlib.Path(self.create_tempdir().full_path)
        for name in (
            "pretrain",
            "active_learning",
            "classifier",
            "served/packages/1",
        ):
            (folder / name).mkdir(parents=True)
        write_json(
            folder / "pretrain" / "config.json",
            {"objective": {"transition_step": 0.25}},
        )
        rows = [{"step": s, "heldout_sc_loss": 5 - s / 100} for s in (10, 20)]
        (folder / "pretrain" / "metrics.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows)
        )
        lines = ["strategy,seed,round,labels,accuracy"] + [
            f"{name},{seed},{r},{10 + 10 * r},{0.5 + 0.1 * r + 0.1 * seed}"
            for name in ("cluster_margin", "random")
            for seed in seeds
            for r in (0, 1)
        ]
        curves = folder / "active_learning" / "curves.csv"
        curves.write_text("\n".join(lines) + "\n")
        write_json(folder / "classifier" / "metrics.json", {"accuracy": 0.625})
        write_json(
            folder / "served/packages/1/model_card.json",
            {"signatures": {"embed": {}, "classify": {}}, "parameters": 1234},
        )
        write_json(
            folder / "answers.json",
            [
                {
                    "text": "a <question>",
                    "label": "beta",
                    "probability": 0.75,
                    "margin": 0.5,
                    "cluster": 7,
                    "neighbors": [{"text": "near", "distance": 0.125}],
                }
            ],
        )
        steps = [{"title": "one", "command": "python x", "seconds": None}]
        page = quickstart_report.write_report(folder, steps).read_text()
        self.assertTrue((folder / "labels.png").is_file())
        return page

    def test_report_joins_the_results(self):
        page = self.report_of(seeds=(0, 1))
        for part in ("0.625", "1,234", "a &lt;question&gt;", "near", "0.65"):
            self.assertIn(part, page)

    def test_the_error_of_one_seed_is_blank(self):
        page = self.report_of(seeds=(0,))
        self.assertIn("<td>0.6000</td>", page)


if __name__ == "__main__":
    absltest.main()
