"""Progress over phases, and the page about a run."""

import io
import pathlib

from absl.testing import absltest, parameterized

from al_tf.distributed.costs import page, watch
from al_tf.distributed.costs.measures import Receipt, StageCost, WorkerCost


class WatchTest(parameterized.TestCase):
    def lines(self, *told):
        """What a watch prints; each is (seconds, phase, share, note)."""
        now = [0.0]
        stream = io.StringIO()
        watching = watch.Watch(
            {"read": 10.0, "first search": 70.0, "rounds": 20.0},
            stream=stream,
            clock=lambda: now[0],
            every_seconds=0,
        )
        for seconds, *rest in told:
            now[0] = seconds
            watching(*rest)
        return stream.getvalue().splitlines()

    def test_time_left_counts_all_phases(self):
        found = self.lines(
            (0, "read", 0.0, ""),
            (10, "first search", 0.0, ""),
            (45, "first search", 0.5, "wave 1 of 2"),
            (90, "rounds", 0.5, "round 3"),
        )
        # After 45 of 100 expected seconds, 45 had passed.
        self.assertIn("450/1,000 of the work (45%)", found[2])
        self.assertIn("ETA 55s first search: wave 1 of 2", found[2])
        self.assertIn("900/1,000", found[3])
        self.assertIn("ETA 10s rounds: round 3", found[3])

    def test_phases_that_are_left_out_do_not_count(self):
        found = self.lines((0, "read", 0.0, ""), (10, "rounds", 0.5, ""))
        self.assertIn("667/1,000", found[1])

    @parameterized.parameters(True, False)
    def test_the_search_is_the_more_the_larger_the_pool(self, exact):
        small, large = (
            watch.phase_seconds(n, 8, exact=exact) for n in (10**5, 10**8)
        )
        for costs in (small, large):
            self.assertEqual(
                [*costs],
                ["read", "prepare", "first search", "rounds", "select"],
            )
        share = [c["first search"] / sum(c.values()) for c in (small, large)]
        self.assertLess(share[0], share[1])


class PageTest(absltest.TestCase):
    def test_everything_is_shown(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        stage, worker = StageCost(), WorkerCost()
        for seconds in (1.0, 3.0):
            receipt = Receipt(
                (2**20,), seconds, 2 * seconds, 7 * 2**20, "1", "host:1"
            )
            stage.add(receipt, 0)
            worker.add(receipt)
        self.assertEqual(page.skew(stage), 1.5)
        self.assertEqual(page.skew(StageCost()), 1.0)
        path = page.write_page(
            folder,
            "ids.",
            "A run",
            {"examples": 12},
            {"search": stage},
            {"host:1": worker},
        )
        text = path.read_text()
        for shown in ("A run", "search", "host:1", "<td>examples</td>"):
            self.assertIn(shown, text)
        for name in page.FIGURES:
            self.assertTrue((folder / f"ids.{name}.png").exists())
        self.assertNotIn("http://", text)

    def test_a_run_without_work(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        path = page.write_page(folder, "", "Nothing", {}, {}, {})
        self.assertTrue(path.exists())


if __name__ == "__main__":
    absltest.main()
