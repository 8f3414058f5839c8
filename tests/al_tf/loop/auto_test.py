"""`--strategies=auto`: what it takes, where it says so, how it resumes."""

import html
import json
from unittest import mock

from absl.testing import absltest

from al_tf.loop import loop as loop_lib
from al_tf.selection.spreading.advice import Advice
from runkit import InputError
from tests.support import loop_data
from tests.support.loop_main_case import MainTestCase

OTHER = Advice("random", "for a test")


class AutoTest(MainTestCase):
    def auto(self, **change):
        self.main(**{"strategies": ["auto"], "seed_size": 20, **change})

    def read(self, name):
        path = self.run_dir / "runs" / "auto" / "seed-0" / name
        return json.loads(path.read_text())

    def test_it_is_the_strategy_that_it_names_and_says_why(self):
        self.auto(strategies=["auto", "u_herding"])
        choice = self.read("choice.json")
        self.assertEqual(choice["strategy"], "u_herding")
        self.assertIn("near copies", choice["reason"])
        other = self.run_dir / "runs" / "u_herding" / "seed-0"
        for number in (1, 2):
            batch = self.read(f"batch-00{number}.json")
            self.assertEqual(batch["taken"], "u_herding")
            plain = json.loads((other / f"batch-00{number}.json").read_text())
            self.assertEqual(batch["example_ids"], plain["example_ids"])
        page = (self.run_dir / "report.html").read_text()
        self.assertIn("What auto takes", page)
        self.assertIn(html.escape(choice["reason"]), page)

    def test_a_resumed_run_keeps_its_first_choice(self):
        self.auto(rounds=3)
        expected = loop_data.state(self.run_dir)
        self.run_dir = self.folder / "resumed"
        self.auto(rounds=1)
        with mock.patch.object(loop_lib, "advise", return_value=OTHER):
            self.auto(rounds=3)
            again = loop_data.state(self.run_dir)
            again["config.json"]["output_dir"] = None
            self.run_dir = self.folder / "other"
            self.auto(rounds=1)
        self.assertEqual(self.read("choice.json"), OTHER._asdict())
        expected["config.json"]["output_dir"] = None
        self.assertEqual(again, expected)

    def test_multilabel_pools_and_large_ones(self):
        pool = loop_data.blobs(multilabel=True)
        for name in ("u_herding", "cluster_allocation"):
            loop = loop_data.make_loop(
                self.folder / name, pool, strategies=("auto",), seeds=(0,)
            )
            loop.check()
            advice = Advice(name, "for a test")
            with mock.patch.object(loop_lib, "advise", return_value=advice):
                loop.run(loop_data.head(loop))
            self.assertLen(loop.store("auto", 0).batch(2), 6)
        # Nothing searched the lists that the advice does without.
        self.assertFalse((self.folder / name / "neighbors").exists())

    def test_a_choice_that_is_none_is_named(self):
        self.auto(rounds=1)
        path = self.run_dir / "runs" / "auto" / "seed-0" / "choice.json"
        for text, message in (
            ('{"strategy": "margn", "reason": ""}', "mean 'margin'"),
            ('{"strategy": "margin"}', "is not a choice"),
            ("[1]", "is not a choice"),
        ):
            path.write_text(text)
            with self.assertRaisesRegex(InputError, message):
                self.auto(rounds=2)


if __name__ == "__main__":
    absltest.main()
