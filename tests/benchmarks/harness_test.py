"""The benchmark harness: turns, ratios, records and the page made of them."""

import json
import os
import pathlib
import unittest.mock

from absl.testing import absltest, parameterized

from benchmarks import harness, make_results

# Counts its own calls and prints, as libraries do.
_FACTORY = """
def build(weight):
    calls = []
    def run():
        print("chatter")
        calls.append(sum(range(20_000)))
        return {"units": weight, "calls": len(calls)}
    return run

def broken():
    raise RuntimeError("cannot be built")
"""


class CompareTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        folder = pathlib.Path(self.create_tempdir().full_path)
        (folder / "toy_arms.py").write_text(_FACTORY)
        self.env = {"PYTHONPATH": str(folder)}

    def arm(self, name, factory="build", **arguments):
        return harness.Arm(name, f"toy_arms:{factory}", arguments, env=self.env)

    def test_every_arm_takes_every_turn(self):
        arms = [self.arm("light", weight=1), self.arm("heavy", weight=5)]
        timings = harness.compare(arms, rounds=3, warm_up=2)
        self.assertEqual(list(timings), ["light", "heavy"])
        for name, weight in (("light", 1), ("heavy", 5)):
            timing = timings[name]
            self.assertEqual(timing.units, [weight] * 3)
            self.assertEqual(timing.facts["calls"], 2 + 3)
            self.assertLen(timing.cpu, 3)
            self.assertGreater(min(timing.cpu + timing.wall), 0)
            self.assertGreaterEqual(timing.peak_mib, timing.built_mib)

    def test_an_arm_that_cannot_be_built_is_named(self):
        with self.assertRaisesRegex(RuntimeError, "'faulty'"):
            harness.compare([self.arm("faulty", factory="broken")], rounds=1)

    def test_peers_run_with_their_own_python(self):
        arm = harness.Arm("peer", "toy_arms:build", {"weight": 1}, peer=True)
        with (
            unittest.mock.patch.dict(
                os.environ, {harness.PEER_PYTHON: "/nowhere/python"}
            ),
            self.assertRaisesRegex(FileNotFoundError, "/nowhere/python"),
        ):
            harness.compare([arm], rounds=1)


class SpeedTest(absltest.TestCase):
    def test_ratio_is_taken_within_rounds(self):
        # The machine was ten times slower in the second round; the ratio of
        # the medians would say 1.25.
        ours = harness.Timing("a", cpu=[1, 10, 2], units=[2, 2, 2])
        peer = harness.Timing("b", cpu=[2, 20, 2.5], units=[2, 2, 2])
        middle, low, high = harness.speed(ours, peer)
        self.assertEqual((middle, low, high), (2.0, 1.625, 2.0))

    def test_units_count(self):
        ours = harness.Timing("a", cpu=[1.0], units=[6])
        peer = harness.Timing("b", cpu=[1.0], units=[2])
        self.assertEqual(harness.speed(ours, peer)[0], 3)


class RecordTest(parameterized.TestCase):
    @parameterized.parameters(
        ("--work_dir=/any/runs", "--work_dir=PATH"),
        ("/any/my runs", "PATH"),
        ("--dataset=npz:/a/b.npz,npz:/c", "--dataset=npz:PATH,npz:PATH"),
        ("--init_from=runs/imdb", "--init_from=runs/imdb"),
        ("--task=bbh/x", "--task=bbh/x"),
    )
    def test_no_path_of_the_machine_is_recorded(self, argument, expected):
        self.assertEqual(harness.without_paths(argument), expected)
        folder = pathlib.Path(self.create_tempdir().full_path)
        with (
            unittest.mock.patch.object(harness, "RESULTS", folder),
            unittest.mock.patch("sys.argv", ["program", argument]),
        ):
            path = harness.record("command", [{"a": 1}])
        command = json.loads(path.read_text())["command"]
        self.assertEndsWith(command, f" {expected}")

    def test_record_and_page(self):
        folder = pathlib.Path(self.create_tempdir().full_path) / "results"
        rows = [{"arm": "a", "CPU s": 0.12345}, {"arm": "b", "more": 12345.6}]
        timing = harness.Timing("a", versions={"numpy": "1.0"})
        other = harness.Timing("b", versions={"numpy": "2.0"})
        with (
            unittest.mock.patch.object(harness, "RESULTS", folder),
            unittest.mock.patch.object(make_results, "RESULTS", folder),
        ):
            path = harness.record(
                "some_table",
                rows,
                timings={"a": timing, "b": other},
                notes=["A note."],
            )
            make_results.main()
        result = json.loads(path.read_text())
        self.assertEqual(result["columns"], ["arm", "CPU s", "more"])
        self.assertEqual(result["versions"], {"numpy": "1.0 and 2.0"})
        page = folder.with_suffix(".md").read_text()
        self.assertIn("## some table", page)
        self.assertIn("| a | 0.123 |  |", page)
        self.assertIn("| b |  | 12,346 |", page)
        self.assertIn("- A note.", page)

    def test_page_is_the_committed_one(self):
        # results.md is generated: nobody edits it, nobody forgets it.
        page = harness.RESULTS.with_suffix(".md")
        if not page.exists():
            self.skipTest("no results yet")
        text = page.read_text()
        self.assertEqual(text, make_results.page())
        self.assertNotIn("{'", text)  # A Python dictionary is not a note.

    def test_settings_are_shown_in_words(self):
        sizes = {"num_layers": 4, "num_heads": 8}
        self.assertEqual(harness.in_words(sizes), "num_layers 4, num_heads 8")

    def test_every_committed_result_has_a_heading(self):
        names = {path.stem for path in harness.RESULTS.glob("*.json")}
        self.assertEmpty(names - set(make_results.TITLES))


if __name__ == "__main__":
    absltest.main()
