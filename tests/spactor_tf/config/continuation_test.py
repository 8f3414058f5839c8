"""What may change when a run goes on: hand-worked ends and transitions."""

import json
import pathlib

from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.config.continuation import (
    HISTORY,
    Continuation,
    continuation,
    read_config,
)
from spactor_tf.config.fields import override
from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.config.presets import get_preset
from spactor_tf.config.pretrain import PretrainConfig

OLD = override(
    get_preset("tiny"), {"train_steps": 60, "objective.transition_step": 0.5}
)


def continued(fields, trained, old=OLD, history=()):
    """From `old` after `trained` steps, to `old` with these fields."""
    return continuation(old, history, override(old, fields), trained, "run")


class ContinuationTest(parameterized.TestCase):
    def test_the_same_end_has_no_history(self):
        found = continued({"runtime.log_every": 7}, 30)
        self.assertEqual(found, Continuation())
        self.assertFalse(found.is_changed)

    def test_ends_are_listed_with_their_first_step(self):
        first = continued({"train_steps": 120}, 20)
        self.assertTrue(first.is_changed)
        self.assertEqual(first.history, ((0, 60), (20, 120)))
        longer = override(OLD, {"train_steps": 120})
        second = continued({"train_steps": 200}, 50, longer, first.history)
        self.assertEqual(second.history, ((0, 60), (20, 120), (50, 200)))
        # An end at which nothing was trained was none.
        other = continued({"train_steps": 90}, 20, longer, first.history)
        self.assertEqual(other.history, ((0, 60), (20, 90)))
        self.assertEmpty(continued({"train_steps": 90}, 0).history)
        self.assertEqual(
            second.values(longer)[HISTORY][1],
            {"from_step": 20, "train_steps": 120},
        )

    @parameterized.parameters(
        # Steps trained, and the end: half of it is the transition step.
        (30, 120, True),  # Up to the transition: stage 1 just gets longer.
        (31, 120, False),  # Step 30 was one of stage 2.
        (20, 40, True),
        (21, 40, False),  # Step 20 was one of stage 1.
        (31, 60, True),
    )
    def test_a_transition_that_is_passed_does_not_move(
        self, trained, end, possible
    ):
        if possible:
            continued({"train_steps": end}, trained)
            return
        with self.assertRaisesRegex(InputError, "--transition_step=30"):
            continued({"train_steps": end}, trained)

    def test_the_step_that_a_fraction_stood_for_may_be_given(self):
        fields = {"train_steps": 120, "objective.transition_step": 30}
        self.assertTrue(continued(fields, 60).is_changed)
        with self.assertRaisesRegex(InputError, "transition_step: 0.5 -> 31"):
            continued({**fields, "objective.transition_step": 31}, 60)
        with self.assertRaisesRegex(InputError, "transition_step: 0.5 -> 30"):
            continued({"objective.transition_step": 30}, 60)

    @parameterized.parameters("span_corruption", "hybrid", "rtd")
    def test_other_objectives_have_no_transition(self, name):
        old = override(OLD, {"objective.name": name})
        self.assertTrue(continued({"train_steps": 120}, 60, old).is_changed)

    @parameterized.parameters(
        ("constant", False),
        ("inverse_sqrt", False),
        ("linear", True),
        ("cosine", True),
    )
    def test_a_rate_that_depends_on_the_end_is_told(self, schedule, told):
        old = override(OLD, {"optimizer.schedule": schedule})
        for trained in (0, 20):
            notes = " ".join(continued({"train_steps": 90}, trained, old).notes)
            self.assertIn(f"60 -> 90, from step {trained} on", notes)
            is_told = "now reaches 0 at step 90" in notes
            self.assertEqual(is_told, told and trained > 0)

    def test_a_run_does_not_end_before_its_checkpoint(self):
        with self.assertRaisesRegex(InputError, "at least 30"):
            continued({"train_steps": 29, "objective.transition_step": 0.5}, 30)

    def test_nothing_else_may_change(self):
        for fields in ({"seed": 1}, {"seed": 1, "train_steps": 120}):
            with self.assertRaisesRegex(InputError, "seed: 0 -> 1"):
                continued(fields, 10)

    def test_fine_tuning_has_no_transition(self):
        old = FinetuneConfig(task="sst2", init_from="run", train_steps=20)
        found = continued({"train_steps": 40}, 20, old)
        self.assertEqual(found.history, ((0, 20), (20, 40)))


class ReadConfigTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.path = pathlib.Path(self.create_tempdir().full_path) / "c.json"

    def test_it_reads_what_is_written(self):
        for history in ((), ((0, 60), (20, 120))):
            values = Continuation(history).values(OLD)
            self.path.write_text(json.dumps(values), encoding="utf-8")
            found = read_config(self.path, PretrainConfig)
            self.assertEqual(found, (OLD, history))

    def test_what_is_no_history_is_refused(self):
        for listed in (3, [1], [{"from_step": 0}], [{"from_step": "x"}]):
            values = {**Continuation().values(OLD), HISTORY: listed}
            self.path.write_text(json.dumps(values), encoding="utf-8")
            with self.assertRaisesRegex(InputError, HISTORY):
                read_config(self.path, PretrainConfig)


if __name__ == "__main__":
    absltest.main()
