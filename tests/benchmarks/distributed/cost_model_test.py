"""The cost model: it finds numbers that are there, and never negative ones."""

import dataclasses

from absl.testing import absltest, parameterized

from benchmarks.distributed import cost_model
from benchmarks.distributed.cost_model import Size


def run(n, exact=True, **change):
    """A run whose stages cost exactly what the model says."""
    size = Size(n, 64, 16, 8, exact)
    stages = {
        name: {
            "tasks": 100 + n / 1000,
            "cpu_seconds": 2e-9 * n * 64 + 3e-12 * size.work(name)
            if name == "search"
            else 0.001 * (100 + n / 1000) + 1e-9 * size.work(name),
            "message_bytes": 70 * sum(size.traffic(name)),
        }
        for name in ("search", "lists", "merge")
    }
    for name, cost in change.items():
        stages[name] |= cost
    return {"size": size, "stages": stages}


class CostModelTest(parameterized.TestCase):
    @parameterized.parameters(True, False)
    def test_a_size_left_out_is_predicted(self, exact):
        runs = [run(n, exact) for n in (20_000, 50_000, 100_000)]
        left_out = run(10**6, exact)
        model = cost_model.fit(runs)
        tasks = {k: s["tasks"] for k, s in left_out["stages"].items()}
        found = model.predict(left_out["size"], tasks)
        for name, cost in left_out["stages"].items():
            self.assertAlmostEqual(
                found["seconds"][name] / cost["cpu_seconds"], 1, places=6
            )
            self.assertAlmostEqual(
                found["bytes"][name] / cost["message_bytes"], 1, places=6
            )

    def test_nothing_is_negative(self):
        # Cheaper at the larger size: noise must not make time run backwards.
        runs = [
            run(20_000, lists={"cpu_seconds": 3.0}),
            run(40_000, lists={"cpu_seconds": 1.0}),
        ]
        model = cost_model.fit(runs)
        for pair in model.seconds.values():
            self.assertGreaterEqual(min(pair), 0)
        self.assertGreaterEqual(min(min(x) for x in model.sent.values()), 0)

    def test_tasks_grow_with_parts_and_slowly_with_rows(self):
        runs = [run(10_000), run(100_000)]
        size = runs[1]["size"]
        same = cost_model.tasks_of(runs, size)
        self.assertEqual(same["lists"], runs[1]["stages"]["lists"]["tasks"])
        twice = cost_model.tasks_of(runs, dataclasses.replace(size, parts=16))
        self.assertAlmostEqual(twice["lists"] / same["lists"], 2)
        large = cost_model.tasks_of(runs, dataclasses.replace(size, n=1e10))
        self.assertAlmostEqual(large["lists"] / same["lists"], 2)

    def test_memory_of_a_part(self):
        size = Size(8e6, 64, 16, 8, True)
        self.assertEqual(size.part_bytes(), 1e6 * (24 * 64 + 24 * 16 + 128))


if __name__ == "__main__":
    absltest.main()
