"""Curves, labels to the target, and the report made of them."""

import csv
import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.loop import curves
from al_tf.loop import report as loop_report
from tests.support import loop_data


def rows(values, strategy="a"):
    """Rows of {seed: [accuracy of round 0, 1, ...]}; ten labels a round."""
    return [
        {
            "strategy": strategy,
            "seed": seed,
            "round": number,
            "labels": 10 * (number + 1),
            "accuracy": value,
        }
        for seed, column in values.items()
        for number, value in enumerate(column)
    ]


class CurvesTest(parameterized.TestCase):
    def test_labels_needed_is_the_first_time(self):
        table = rows({0: [0.5, 0.9, 0.7], 1: [0.95, 0.9, 0.9], 2: [0, 0, 0]})
        needed = curves.labels_needed(table, "accuracy", 0.9)
        self.assertEqual(needed, {"a": [20, 10, None]})
        self.assertEqual(curves.summary(needed["a"]), "15 +- 5 (2/3)")
        self.assertEqual(curves.summary([None]), "never")
        self.assertEqual(curves.summary([30]), "30")

    def test_ratio_needs_every_seed(self):
        needed = {"a": [10, 30], "b": [40, 60], "c": [10, None]}
        self.assertEqual(curves.ratio(needed, "a", "b"), 0.4)
        self.assertIsNone(curves.ratio(needed, "a", "c"))
        self.assertIsNone(curves.ratio(needed, "c", "a"))
        self.assertIsNone(curves.ratio(needed, "a", "d"))

    def test_target(self):
        table = rows({0: [0.1, 0.2], 1: [0.1, 0.4]}, "margin")
        self.assertEqual(curves.target(table, "accuracy", None), 0.2)
        table += rows({0: [0.1, 0.8], 1: [0.5, 0.7]}, "random")
        self.assertEqual(curves.target(table, "accuracy", None), 0.7)
        self.assertEqual(curves.target(table, "accuracy", 0.5), 0.5)
        self.assertIsNone(curves.target([], "accuracy", None))

    def test_random_reaches_the_default_target_in_every_seed(self):
        table = rows({0: [0.5, 0.8], 1: [0.5, 0.6]}, "random")
        table += rows({0: [0.7, 0.9], 1: [0.7, 0.8]}, "margin")
        goal = curves.target(table, "accuracy", None)
        needed = curves.labels_needed(table, "accuracy", goal)
        self.assertEqual(curves.ratio(needed, "margin", "random"), 10 / 20)

    def test_curve(self):
        table = rows({0: [0.1, 0.2], 1: [0.3]})
        labels, mean, error = loop_report.curve(table, "a", "accuracy")
        self.assertEqual(labels.tolist(), [10, 20])
        np.testing.assert_allclose(mean, [0.2, 0.2])
        np.testing.assert_allclose(error, [0.1, np.nan], atol=1e-12)


class PageTest(absltest.TestCase):
    def run_loop(self, **fields):
        folder = pathlib.Path(self.create_tempdir().full_path) / "run"
        loop = loop_data.make_loop(folder, **fields)
        loop.run(loop_data.head(loop))
        return loop, folder, curves.collect(loop)

    def test_csv(self):
        loop, folder, table = self.run_loop()
        path = folder / "curves.csv"
        curves.write_curves(path, table)
        again = curves.read_curves(path)
        self.assertEqual(again, table)
        self.assertIsInstance(again[0]["labels"], int)
        with path.open() as handle:
            found = list(csv.DictReader(handle))
        self.assertLen(found, 2 * 2 * 3)
        self.assertEqual(
            list(found[0])[:6],
            [
                "strategy",
                "seed",
                "round",
                "labels",
                "accuracy",
                "selection_seconds",
            ],
        )
        for row in found:
            store = loop.store(row["strategy"], int(row["seed"]))
            number = int(row["round"])
            result = store.result(number)
            self.assertEqual(int(row["labels"]), 12 + 6 * number)
            self.assertEqual(float(row["accuracy"]), result["accuracy"])
            if number:
                facts = store.batch_facts(number)
                self.assertEqual(
                    float(row["selection_seconds"]),
                    facts["selection_seconds"],
                )

    def test_page_is_complete(self):
        loop, folder, table = self.run_loop(target_accuracy=0.5)
        page = loop_report.write_report(loop, table, {"x": "<y>"}, folder)
        text = page.read_text()
        for part in (
            "Learning curves",
            "Labels until accuracy 0.5",
            "Clusters covered",
            "Seconds to choose a batch",
            "&lt;y&gt;",
            "standard error",
        ):
            self.assertIn(part, text)
        self.assertNotIn('src="http', text)
        for name in ("accuracy.png", "clusters_covered.png"):
            self.assertTrue((folder / name).is_file())

    def test_settings_are_shown_without_python_notation(self):
        loop, folder, table = self.run_loop(seeds=(0,))
        settings = {
            "seeds": [0, 1],
            "target": None,
            "init_from": "",
            "warm_start": False,
            "pool": {"examples": 90, "fingerprint": "00ab"},
            "rate": 0.0003,
        }
        page = loop_report.write_report(loop, table, settings, folder)
        text = page.read_text()
        for name, shown in (
            ("seeds", "0, 1"),
            ("target", "\N{EN DASH}"),
            ("init_from", "\N{EN DASH}"),
            ("warm_start", "no"),
            ("pool", "examples: 90, fingerprint: 00ab"),
            ("rate", "0.0003"),
        ):
            self.assertIn(f"<td>{name}</td><td>{shown}</td>", text)
        self.assertNotIn("None", text)

    def test_words_are_those_of_the_settings(self):
        fields = {"seed_set": "stratified", "strategies": ("margin",)}
        loop, folder, table = self.run_loop(**fields, seeds=(0,))
        text = loop_report.write_report(loop, table, {}, folder).read_text()
        self.assertIn("12 stratified labels to begin with", text)
        self.assertIn("what margin ends with", text)
        self.assertNotIn("random", text)
        final = curves.final_values(table, "margin", "accuracy")
        self.assertIn(f"<td>{final[0]:.4f}</td>", text)

    def test_an_unfinished_run_says_so(self):
        loop, folder, table = self.run_loop(seeds=(0,))
        page = loop_report.write_report(loop, table[:4], {}, folder)
        self.assertIn("Not finished: 4 of 6 rounds", page.read_text())

    def test_a_run_without_test_set(self):
        test = loop_data.blobs().take(np.arange(0))
        loop, folder, table = self.run_loop(test=test)
        page = loop_report.write_report(loop, table, {}, folder)
        self.assertNotIn("Labels until", page.read_text())


if __name__ == "__main__":
    absltest.main()
