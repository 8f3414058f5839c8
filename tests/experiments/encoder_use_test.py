"""Tests of `experiments.encoder_use`."""

import json

from absl.testing import absltest

from experiments import cell_logs, encoder_use
from runkit import InputError
from spactor_tf.training import pretrain
from tests.support import testing
from tests.support.isolated import FolderTestCase

LINE = {
    "step": 4000,
    "sc_loss": 4.25,
    "other_loss": 4.5,
    "encoder_use": 0.25,
    "cross_attention_share": 0.5,
}


class SectionTest(FolderTestCase):
    def write(self, *lines):
        path = self.folder / "a.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def test_a_row_per_checkpoint(self):
        head = {"format": 1, "title": "four thousand"}
        self.write(head, LINE, LINE | {"step": 8000}, {"end": True})
        part = encoder_use.section(self.folder)
        ((header, rows),) = part.tables
        self.assertLen(rows, 2)
        self.assertLen(header, len(rows[0]))
        self.assertEqual(
            rows[0],
            ["four thousand", "4,000", "4.250", "4.500", "0.250", "0.500"],
        )

    def test_no_log_and_half_a_log(self):
        self.assertIsNone(encoder_use.section(self.folder))
        self.write({"format": 1, "title": "half"}, LINE)
        with self.assertRaisesRegex(InputError, "cut short"):
            encoder_use.section(self.folder)


class RunTest(FolderTestCase):
    def trained(self, objective):
        config = testing.tiny_config(
            **{
                "train_steps": 4,
                "objective.name": objective,
                "data.dataset": testing.write_corpus(self.folder),
                "runtime.eval_every": 2,
                "runtime.checkpoint_every": 2,
            }
        )
        run = self.folder / objective
        pretrain(config, run, self.folder / "cache")
        return run

    def test_losses_are_those_of_the_run(self):
        run = self.trained("spactor")
        rows = [*encoder_use.encoder_use(run, self.folder / "cache")]
        logged = {
            line["step"]: line["heldout_sc_loss"]
            for line in cell_logs.evaluations(run)
        }
        self.assertEqual([row["step"] for row in rows], [2, 4])
        for row in rows:
            self.assertAlmostEqual(row["sc_loss"], logged[row["step"]], 5)
            self.assertNotEqual(row["other_loss"], row["sc_loss"])
            self.assertBetween(row["cross_attention_share"], 1e-6, 1)

    def test_a_run_without_a_decoder_is_refused(self):
        run = self.trained("rtd")
        with self.assertRaisesRegex(InputError, "nothing to measure"):
            next(encoder_use.encoder_use(run, self.folder / "cache"))


if __name__ == "__main__":
    absltest.main()
