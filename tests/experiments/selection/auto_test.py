"""What the rule of `auto` loses, from logs; and whether logs bear it out."""

import dataclasses
import math
import pathlib

from absl.testing import absltest

from al_tf.selection.spreading import advice
from experiments.selection import auto, declaration, figures, logs, report
from experiments.selection.declaration import Arm, Benchmark, Setting
from runkit import read_json

SETTING = Setting("small", "digits", True, 12, 6, 1)
FACTS = {"examples": 90, "dimensions": 4, "redundancy": 0.25, "checksum": 17}


class AutoTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir())
        other = dataclasses.replace(SETTING, name="other", chooses=False)
        names = ("margin", "u_herding", "cluster_allocation")
        variant = Arm("turns_v", variant=True, turns={})
        self.benchmark = Benchmark(
            50,
            {"small": SETTING, "other": other},
            {**{n: Arm(n) for n in names}, "turns_v": variant},
        )
        self.write("small", margin=0.6, u_herding=0.8, cluster_allocation=0.9)
        self.write("small", turns_v=1.0)
        self.write("other", margin=0.9, u_herding=0.6, cluster_allocation=0.5)

    def write(self, setting, **ends):
        for arm, end in ends.items():
            for seed in (0, 1):
                run = {
                    "seed": seed,
                    "labels": [12, 18],
                    "accuracy": [0.5, end],
                    "selection_cpu": 0.5,
                    "cpu": 1.0,
                }
                logs.append(
                    self.benchmark.settings[setting],
                    self.benchmark.arms[arm],
                    run,
                    {"examples": 90, "checksum": 17},
                    self.folder,
                )

    def judge(self, **facts):
        found = report.load_curves(self.benchmark, self.folder)
        return auto.judge(
            self.benchmark, found, self.folder, {"digits": FACTS | facts}
        )

    def test_losses_by_hand(self):
        judged = self.judge()
        # The variant is better still, and no strategy.
        self.assertEqual(
            [(one.takes, one.best) for one in judged],
            [("u_herding", "cluster_allocation"), ("u_herding", "margin")],
        )
        rows = auto.setting_rows(judged)
        self.assertEqual(rows[0][1:3], ["25.0%", "6.7%"])
        self.assertEqual(
            [row[-2] for row in rows], ["10.00"] * 2 + ["30.00"] * 2
        )
        self.assertEqual(
            [row[-1] for row in rows], ["0.00"] * 2 + ["40.00"] * 2
        )
        fixed = {row[0]: row[1:] for row in auto.fixed_rows(judged)}
        self.assertEqual(fixed["auto"], ["10.00", "30.00", "20.00"])
        self.assertEqual(fixed["u_herding"], fixed["auto"])
        self.assertEqual(fixed["margin"], ["30.00", "0.00", "15.00"])

    def test_larger_pools_take_the_other_leaf(self):
        takes = [one.takes for one in self.judge(examples=10**7)]
        self.assertEqual(takes, ["cluster_allocation"] * 2)

    def test_facts_of_another_pool_do_not_count(self):
        self.assertEmpty(self.judge(checksum=18))

    def test_the_committed_logs_bear_the_rule_out(self):
        """What the docstring of the rule claims of the pools that choose."""
        benchmark = declaration.load()
        found = report.load_curves(benchmark, logs.FOLDER)
        judged = auto.judge(benchmark, found, logs.FOLDER, read_json(auto.PATH))
        ahead: dict[str, list[tuple[float, float]]] = {}
        for one in judged:
            if not one.setting.chooses:
                continue
            curves = found[one.setting.name]
            area = dict(zip(curves.arms, curves.area, strict=True))
            taken = advice.advise(one.facts, 1).strategy
            for name in set(one.losses) - {taken}:
                step, error = figures.difference(area[name], area[taken])
                assert error is not None
                ahead.setdefault(name, []).append((step, error))
        self.assertGreater(len(ahead), 10)
        for name, steps in ahead.items():
            self.assertLen(steps, 5, name)
            mean = sum(step for step, _ in steps) / len(steps)
            error = math.hypot(*(e for _, e in steps)) / len(steps)
            self.assertLess(mean, 2 * error, name)
            self.assertLess(mean, 0.005, name)  # Half a point: the bar.


if __name__ == "__main__":
    absltest.main()
