"""Starts of processes: what is measured, and the table made of it."""

import pathlib

from absl.testing import absltest

from benchmarks import make_results
from benchmarks.serving import start

_ARM = """
def build(text):
    return lambda: {"units": 1, "texts": text}

def broken(text):
    raise RuntimeError("cannot be built")
"""


class StartTest(absltest.TestCase):
    def start(self, factory):
        folder = pathlib.Path(self.create_tempdir().full_path)
        (folder / "toy_start.py").write_text(_ARM)
        # The other checkout: this one, and one module more.
        for name in ("benchmarks", "runkit"):
            (folder / name).symlink_to(start.ROOT / name)
        return start.Start(
            factory, {"text": 7.0}, root=folder, module="toy_start"
        )

    def test_a_process_is_measured_in_its_checkout(self):
        figures, versions = start.first_answer(self.start("build"))
        self.assertEqual(figures["texts"], 7.0)
        self.assertGreater(figures["wall"], 0)
        self.assertGreater(figures["cpu"], 0)
        self.assertGreater(figures["peak"], figures["anonymous"])
        self.assertNotIn("tensorflow", versions)

    def test_an_arm_without_an_answer_is_named(self):
        with self.assertRaisesRegex(RuntimeError, "broken.*ended with code 1"):
            start.first_answer(self.start("broken"))

    def test_medians_range_and_equal_texts(self):
        def run(wall, texts):
            more = {"cpu": 1.0, "peak": 9.0, "anonymous": 4.0, "file": 5.0}
            return {"wall": wall, "texts": texts, **more}

        found = start.rows(
            {
                "ours": [run(2.0, 5.0), run(9.0, 5.0), run(3.0, 5.0)],
                "other": [run(1.0, 6.0)],
                "floor": [run(1.0, None)],
            }
        )
        self.assertEqual(found[0]["start to first answer s"], 3.0)
        self.assertEqual(found[0]["range"], "2 .. 9")
        self.assertEqual(
            [line["same texts"] for line in found], ["True", "False", ""]
        )

    def test_arms(self):
        folder = pathlib.Path("any")
        arms = start.starts(folder, 1, 64, pathlib.Path("old"))
        self.assertEqual(
            list(arms)[:3],
            ["served", "served, exported before", "served, before"],
        )
        self.assertEqual(arms["served, before"].root, pathlib.Path("old"))
        self.assertNotIn("served, before", start.starts(folder, 1, 64, None))
        self.assertIn("serving_start_d256", make_results.TITLES)


if __name__ == "__main__":
    absltest.main()
