"""The standing benchmark: declaration, runs, logs, figures, page."""

import dataclasses
import json
import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.clustering.build import cluster_embeddings
from al_tf.selection.spreading.lists import neighbor_lists
from experiments.selection import declaration, figures, logs, report
from experiments.selection.declaration import Arm, Benchmark, Setting
from experiments.selection.pools import FixedPool
from experiments.selection.run import held, left
from experiments.selection.simulate import Simulation, noisy
from runkit import InputError
from tests.support import loop_data

SETTING = Setting("blobs", "digits", True, 12, 6, 2)


def fixed_pool():
    pool, test = loop_data.blobs(), loop_data.blobs(40, 1)
    return FixedPool(
        pool.inputs,
        pool.labels,
        test.inputs,
        test.labels,
        cluster_embeddings(pool.inputs, target_cluster_size=3.0).cluster_ids,
        neighbor_lists(pool.inputs),
        17,
    )


def made_run(seed, accuracy, **fields):
    values = {
        "seed": seed,
        "labels": [12, 18, 24],
        "accuracy": accuracy,
        "selection_cpu": 0.5,
        "cpu": 1.0,
    }
    return values | fields


class DeclarationTest(parameterized.TestCase):
    def test_the_declaration_keeps_the_protocol(self):
        benchmark = declaration.load()
        self.assertEqual(benchmark.seeds, 50)
        by_pool = {}
        for setting in benchmark.settings.values():
            by_pool.setdefault(setting.pool, set()).add(setting.chooses)
        # No pool both chooses and tests, and there are some of each.
        self.assertTrue(all(len(kinds) == 1 for kinds in by_pool.values()))
        self.assertLen(set.union(*by_pool.values()), 2)
        testing = next(s for s in benchmark.settings.values() if not s.chooses)
        self.assertFalse(any(a.variant for a in benchmark.arms_of(testing)))

    @parameterized.parameters(
        ('pool = "digits"', 'pool = "digit"', "pool"),
        ('name = "badge"', 'name = "bagde"', "badge"),
        ("order = ", "ordre = ", "order"),
        ("seed_size = 20", "seed_sizes = 20", "seed_size"),
        ("chooses = true", "", "chooses"),
        ("seeds = 50", "seeds = ", "TOML"),
    )
    def test_errors_are_named(self, text, other, word):
        good = declaration.PATH.read_text()
        self.assertIn(text, good)
        path = pathlib.Path(self.create_tempdir()) / "bad.toml"
        path.write_text(good.replace(text, other))
        with self.assertRaisesRegex(InputError, word):
            declaration.load(path)


class SimulationTest(parameterized.TestCase):
    @parameterized.parameters("margin", "cluster_margin", "seals", "badge")
    def test_equals_the_loop(self, name):
        """The loop of the package, with its files, measures the same."""
        loop = loop_data.make_loop(
            pathlib.Path(self.create_tempdir()), strategies=(name,)
        )
        loop.run(loop_data.head(loop))
        simulation = Simulation(SETTING, fixed_pool())
        for seed in (0, 1):
            run = simulation.run(Arm(name), seed)
            for number in range(3):
                result = loop.store(name, seed).result(number)
                self.assertEqual(run["labels"][number], result["labels"])
                self.assertAlmostEqual(
                    run["accuracy"][number], result["accuracy"], places=5
                )

    def test_variants_are_options_of_the_turns(self):
        simulation = Simulation(SETTING, fixed_pool())
        plain = simulation.run(Arm("margin_turns"), 0)
        variant = simulation.run(Arm("v", turns={}), 0)
        self.assertEqual(plain["accuracy"], variant["accuracy"])
        run = simulation.run(
            Arm("w", turns={"member": "random"}, margin_batches=1), 0
        )
        self.assertEqual(run["labels"], [12, 18, 24])

    def test_noise_changes_its_share_of_the_labels(self):
        labels = np.arange(1000) % 4
        wrong = noisy(labels, 0.1, 3)
        self.assertEqual((wrong != labels).sum(), 100)
        self.assertContainsSubset(wrong.tolist(), range(4))
        np.testing.assert_array_equal(wrong, noisy(labels, 0.1, 3))
        self.assertTrue((noisy(labels, 0.0, 3) == labels).all())


class LogsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir())

    def append(self, run, arm="margin", checksum=17):
        facts = {"examples": 90, "checksum": checksum}
        logs.append(SETTING, Arm(arm), run, facts, self.folder)

    def test_lines_come_back_by_seed(self):
        for seed in (3, 0):
            self.append(made_run(seed, [0.5, 0.6, 0.7]))
        runs = logs.read(SETTING, Arm("margin"), self.folder)
        self.assertEqual([run["seed"] for run in runs], [0, 3])
        head = logs.head_of(SETTING, Arm("margin"), self.folder)
        self.assertEqual(head["pool"], {"examples": 90, "checksum": 17})

    def test_only_missing_runs_are_left(self):
        benchmark = Benchmark(
            9, {"blobs": SETTING}, {n: Arm(n) for n in ("random", "margin")}
        )
        self.append(made_run(1, [0.5, 0.6, 0.7]))
        todo = left(benchmark, SETTING, 2, self.folder)
        self.assertEqual(
            [(seed, arm.name) for seed, arm in todo],
            [(0, "random"), (0, "margin"), (1, "random")],
        )

    def test_foreign_and_damaged_logs_are_refused(self):
        self.append(made_run(0, [0.5, 0.6, 0.7]))
        with self.assertRaisesRegex(InputError, "another pool"):
            self.append(made_run(1, [0.5, 0.6, 0.7]), checksum=18)
        changed = dataclasses.replace(SETTING, rounds=3)
        with self.assertRaisesRegex(InputError, "another declaration"):
            logs.read(changed, Arm("margin"), self.folder)
        path = logs.path_of(SETTING, Arm("margin"), self.folder)
        path.write_text(path.read_text() + json.dumps({"seed": 2}) + "\n")
        with self.assertRaisesRegex(InputError, "not a run"):
            logs.read(SETTING, Arm("margin"), self.folder)
        path.write_text("{")
        with self.assertRaisesRegex(InputError, "damaged"):
            logs.read(SETTING, Arm("margin"), self.folder)

    def test_a_setting_is_held_by_one_process(self):
        with held(SETTING, self.folder) as mine:
            self.assertTrue(mine)
            with held(SETTING, self.folder) as other:
                self.assertFalse(other)
        with held(SETTING, self.folder) as again:
            self.assertTrue(again)


class FiguresTest(absltest.TestCase):
    def test_runs_are_paired_on_common_seeds(self):
        curves = figures.paired_curves(
            {
                "a": [made_run(s, [0.1, 0.2, 0.4]) for s in (0, 1, 2)],
                "b": [made_run(s, [0.1, 0.3, 0.3]) for s in (2, 1, 5)],
                "c": [],
            }
        )
        self.assertEqual((curves.arms, curves.seeds), (["a", "b"], [1, 2]))
        # The seed model is not part of the area.
        np.testing.assert_allclose(curves.area, 0.3)
        self.assertIsNone(figures.paired_curves({"c": []}))

    def test_by_hand(self):
        step, error = figures.difference(
            np.array([0.5, 0.7]), np.array([0.4, 0.5])
        )
        self.assertAlmostEqual(step, 0.15)
        self.assertAlmostEqual(error, 0.05)
        area = np.array([[0.3, 0.1], [0.2, 0.5], [0.2, 0.4]])
        np.testing.assert_array_equal(
            figures.ranks(area), [[1, 3], [2.5, 1], [2.5, 2]]
        )
        low, high = figures.interval(np.array([1.0, 2.0, 3.0] * 9))
        self.assertBetween(low, 1.5, 2.0)
        self.assertBetween(high, 2.0, 2.5)

    def test_labels_to_a_target(self):
        labels = np.array([10, 20, 30])
        curve = np.array([0.5, 0.6, 0.9])
        self.assertAlmostEqual(figures.labels_to(labels, curve, 0.75), 25)
        self.assertAlmostEqual(figures.labels_to(labels, curve, 0.4), 10)
        self.assertIsNone(figures.labels_to(labels, curve, 0.91))


class PageTest(absltest.TestCase):
    def test_the_page_from_logs(self):
        folder = pathlib.Path(self.create_tempdir())
        benchmark = Benchmark(
            50,
            {"blobs": SETTING, "other": dataclasses.replace(SETTING, name="o")},
            {
                "margin": Arm("margin", published=True),
                "badge": Arm("badge", published=True),
                "margin_turns": Arm("margin_turns"),
                "turns_v": Arm("turns_v", variant=True, turns={}),
            },
        )
        ends = {
            "margin": (0.8, 0.9),
            "badge": (0.7, 0.8),
            "margin_turns": (0.6, 0.7),
            "turns_v": (0.9, 0.9),
        }
        for name, (middle, end) in ends.items():
            for seed in (0, 1):
                logs.append(
                    SETTING,
                    benchmark.arms[name],
                    made_run(seed, [0.5, middle + seed / 100, end]),
                    {"examples": 90, "checksum": 17},
                    folder,
                )
        docs = pathlib.Path(self.create_tempdir())
        text = report.write_report(benchmark, folder, docs).read_text()
        self.assertIn("2 of 50 seeds: a direction, no ranking", text)
        self.assertIn("Not run yet: other", text)
        self.assertIn("| badge (second-best published) | 75.25 | -10.00", text)
        # Margin is at 80.5 % after 18 labels; badge ends at 80 % with 24.
        self.assertIn("| margin | 85.25 | 0 | 1.0 (1.0 to 1.0) | 90.00", text)
        share = (12 + 6 * (0.8 - 0.5) / (0.805 - 0.5)) / 24
        self.assertIn(f"| 90.00 | {share:.2f} | 0.5 |", text)
        # (0.9 + 0.9) / 2 less (0.6 + 0.7) / 2, in both seeds.
        self.assertIn("| turns_v | margin_turns | +25.00 ± 0.00 |", text)
        plot = docs / "selection_results" / "blobs.png"
        before = plot.read_bytes()
        again = report.write_report(benchmark, folder, docs).read_text()
        self.assertEqual((again, plot.read_bytes()), (text, before))

    def test_arms_of_another_pool_are_named_and_left_out(self):
        folder = pathlib.Path(self.create_tempdir())
        names = ("margin", "badge", "random")
        arms = {name: Arm(name, published=True) for name in names}
        benchmark = Benchmark(50, {"blobs": SETTING}, arms)
        facts = {
            "margin": {"examples": 90, "checksum": 17},
            "badge": {"examples": 90, "checksum": 18},
            "random": {"examples": 90},
        }
        for name, pool in facts.items():
            run = made_run(0, [0.5, 0.6, 0.7])
            logs.append(SETTING, arms[name], run, pool, folder)
        found = report.load_curves(benchmark, folder)
        self.assertEqual(found["blobs"].arms, ["margin", "random"])
        text = report.markdown(benchmark, found, folder)
        self.assertIn("pool than margin (17): badge (18). The logs name", text)
        self.assertIn("The logs name no pool: random.", text)
        self.assertNotIn("| badge", text)
        self.assertNotIn("Not run", text)
        # One that was not run is not hidden by a longer name left out.
        arms["herding"] = Arm("herding", published=True)
        arms["u_herding"] = Arm("u_herding", published=True)
        pool = {"examples": 90, "checksum": 18}
        run = made_run(0, [0.5, 0.6, 0.7])
        logs.append(SETTING, arms["u_herding"], run, pool, folder)
        found = report.load_curves(benchmark, folder)
        text = report.markdown(benchmark, found, folder)
        self.assertIn("Not run: herding.", text)

    def test_the_committed_page_is_that_of_the_committed_logs(self):
        docs = pathlib.Path(self.create_tempdir())
        made = report.write_report(declaration.load(), logs.FOLDER, docs)
        committed = report.DOCS / "selection_results.md"
        self.assertEqual(made.read_text(), committed.read_text())


if __name__ == "__main__":
    absltest.main()
