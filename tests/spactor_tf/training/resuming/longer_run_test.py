"""A run that goes on to a later end, against one that went there in one go."""

import pathlib
import tempfile

import numpy as np
import pytest
from absl.testing import absltest

from runkit import InputError, read_json
from spactor_tf.config.continuation import HISTORY
from spactor_tf.config.fields import override
from spactor_tf.training import pretrain_run as training
from tests.support import testing


class LongerRunTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.base = pathlib.Path(folder.name)
        cls.config = testing.tiny_config(
            **{
                "data.dataset": testing.write_corpus(cls.base),
                "objective.transition_step": 25,
                "optimizer.schedule": "constant",
                "optimizer.learning_rate": 0.01,
                "optimizer.momentum": 0.9,
                "model.dropout": 0.1,
                "runtime.checkpoint_every": 50,
                "runtime.eval_every": 30,
                "runtime.log_every": 10,
                "train_steps": 60,
            }
        )

    def run_once(self, name, **fields):
        return training.pretrain(
            override(self.config, fields),
            self.base / name,
            self.base / "cache",
        )

    def assert_same_weights(self, folder, whole):
        mine, expected = map(testing.final_arrays, (folder, whole))
        self.assertEqual(set(mine), set(expected))
        for name, value in expected.items():
            np.testing.assert_array_equal(mine[name], value, err_msg=name)

    def test_eighteen_steps_and_as_many_more_are_thirty_six(self):
        self.check(18)

    @pytest.mark.slow
    def test_sixty_steps_and_sixty_more_are_a_hundred_and_twenty(self):
        self.check(60)

    def check(self, steps):
        """Stage 1 ends, and checkpoints are made, before and after the stop."""
        all_steps, longer = 2 * steps, f"longer-{steps}"
        fields = {
            "objective.transition_step": 5 * steps // 12,
            "runtime.checkpoint_every": 5 * steps // 6,
            "runtime.eval_every": steps // 2,
            "runtime.log_every": steps // 6,
        }
        whole = self.run_once(f"whole-{steps}", train_steps=all_steps, **fields)
        self.run_once(longer, train_steps=steps, **fields)
        fields["train_steps"] = all_steps
        folder = self.run_once(longer, **fields)
        self.assert_same_weights(folder, whole)
        # Evaluations and lines fall on the same steps, so these agree too.
        self.assertEqual(
            testing.without_timings(folder), testing.without_timings(whole)
        )
        values = read_json(folder / "config.json")
        self.assertEqual(values["train_steps"], all_steps)
        self.assertEqual(
            values[HISTORY],
            [
                {"from_step": 0, "train_steps": steps},
                {"from_step": steps, "train_steps": all_steps},
            ],
        )
        self.assertNotIn(HISTORY, read_json(whole / "config.json"))
        # The checkpoint and the preset tell the same.
        for part in (
            f"checkpoints/step-{all_steps:08}/config.json",
            "preset/spactor_config.json",
        ):
            self.assertEqual(read_json(folder / part)["train_steps"], all_steps)
        # Once more, without a change: nothing is trained.
        self.run_once(longer, **fields)
        self.assertEqual(read_json(folder / "config.json"), values)
        before = testing.contents(folder)
        with self.assertRaisesRegex(InputError, f"at least {all_steps}"):
            self.run_once(longer, **{**fields, "train_steps": all_steps - 2})
        self.assertEqual(testing.contents(folder), before)

    @pytest.mark.slow
    def test_a_fraction_follows_the_end_until_it_is_passed(self):
        """Stage 1 to step 4 of 8, or to step 6 of 12."""
        fields = {"objective.transition_step": 0.5, "train_steps": 12}
        whole = self.run_once("half", **fields)
        # Four steps, all of stage 1.
        self.run_once(
            "tau",
            **{**fields, "train_steps": 4},
            **{"objective.name": "hybrid"},
        )
        path = self.base / "tau" / "config.json"
        text = path.read_text(encoding="utf-8").replace('"hybrid"', '"spactor"')
        # As a run of eight steps that was stopped after four.
        path.write_text(
            text.replace('"train_steps": 4', '"train_steps": 8'),
            encoding="utf-8",
        )
        folder = self.run_once("tau", **fields)
        self.assert_same_weights(folder, whole)
        with self.assertRaisesRegex(InputError, "--transition_step=6"):
            self.run_once("tau", **{**fields, "train_steps": 24})


if __name__ == "__main__":
    absltest.main()
