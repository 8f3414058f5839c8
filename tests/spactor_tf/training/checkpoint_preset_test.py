"""Presets of checkpoints: the weights of that step, refusals, nothing moved."""

import pathlib
import shutil
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf import preset_main
from spactor_tf.inference.pretrained import load_pretrained
from spactor_tf.training.checkpoint_preset import checkpoint_preset
from spactor_tf.training.pretrain_run import pretrain
from tests.support import finetune_case, testing


def weights(folder):
    return load_pretrained(folder).backbone.get_weights()


class PretrainingTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.base = pathlib.Path(folder.name)
        cls.config = testing.tiny_config(
            **{
                "data.dataset": testing.write_corpus(cls.base),
                "objective.transition_step": 3,
                "train_steps": 5,
                "runtime.checkpoint_every": 2,
                # The model that is saved is another than the trained one.
                "optimizer.name": "schedule_free",
                "optimizer.schedule": "constant",
                "optimizer.learning_rate": 0.01,
            }
        )
        cls.run_dir = pretrain(cls.config, cls.base / "run", cls.base / "cache")

    def test_the_last_one_is_the_run_s_own_preset(self):
        with testing.main_flags(
            preset_main,
            run_dir=str(self.run_dir),
            output_dir=str(self.base / "last"),
        ):
            preset_main.main(["main"])
        for mine, own in zip(
            weights(self.base / "last"), weights(self.run_dir), strict=True
        ):
            np.testing.assert_array_equal(mine, own)
        self.assertEqual(
            load_pretrained(self.base / "last").config, self.config
        )

    def test_a_run_that_is_not_finished(self):
        unfinished = self.base / "unfinished"
        shutil.copytree(self.run_dir, unfinished)
        shutil.rmtree(unfinished / "preset")
        before = testing.contents(unfinished)
        self.assertEqual(
            checkpoint_preset(unfinished, self.base / "first", 2), 2
        )
        self.assertEqual(testing.contents(unfinished), before)
        first, last = weights(self.base / "first"), weights(self.run_dir)
        self.assertFalse(np.array_equal(first[0], last[0]))
        model = load_pretrained(self.base / "first")
        self.assertLen(model.fill(["dan <extra_id_0> me"], max_span=4), 1)
        # x of y = beta_1 x + (1 - beta_1) z, by hand from the checkpoint.
        path = unfinished / "checkpoints/step-00000002/variables.npz"
        with np.load(path) as stored:
            y = stored["model/00000"]
            same = [
                stored[name]
                for name in stored.files
                if name.startswith("optimizer/")
                and stored[name].shape == y.shape
            ]
        means = [(y - 0.1 * z) / 0.9 for z in same]
        self.assertTrue(
            any(np.allclose(mean, first[0], atol=1e-6) for mean in means)
        )

    def test_a_step_without_a_checkpoint_names_the_nearest(self):
        with self.assertRaisesRegex(
            InputError, r"--step: .*got 3; expected 2, 4, 5. .*--step=2"
        ):
            checkpoint_preset(self.run_dir, self.base / "no", 3)
        self.assertFalse((self.base / "no").exists())

    def test_what_is_no_run_is_refused(self):
        with self.assertRaisesRegex(InputError, "--run_dir: no such directory"):
            checkpoint_preset(self.base / "nowhere", self.base / "no")
        with self.assertRaisesRegex(InputError, "--run_dir: has no checkpoint"):
            checkpoint_preset(self.base, self.base / "no")
        with self.assertRaisesRegex(InputError, "--output_dir: is not empty"):
            checkpoint_preset(self.run_dir, self.run_dir)
        self.assertFalse((self.base / "no").exists())

    def test_a_damaged_checkpoint(self):
        damaged = self.base / "damaged"
        shutil.copytree(self.run_dir, damaged)
        path = damaged / "checkpoints/step-00000005/variables.npz"
        path.write_bytes(path.read_bytes()[:-100])
        with self.assertRaisesRegex(
            InputError,
            "can be read.*another checkpoint.*of step 4",
        ):
            checkpoint_preset(damaged, self.base / "no", 5)
        self.assertEqual(checkpoint_preset(damaged, self.base / "before"), 4)

    @parameterized.parameters("config.json", "vocabulary.model", "state.json")
    def test_a_damaged_small_file(self, name):
        """As in training, the checkpoint before it is taken."""
        damaged = pathlib.Path(self.create_tempdir().full_path) / "run"
        shutil.copytree(self.run_dir, damaged)
        (damaged / "checkpoints/step-00000005" / name).write_bytes(b"{")
        output = damaged / "of-the-step-before"
        self.assertEqual(checkpoint_preset(damaged, output), 4)

    def test_what_is_left_of_a_run_without_whole_checkpoints(self):
        damaged = pathlib.Path(self.create_tempdir().full_path) / "run"
        shutil.copytree(self.run_dir, damaged)
        for path in damaged.glob("checkpoints/*/config.json"):
            path.write_bytes(b"{")
        message = r"3 damaged.*run/preset is whole.*--init_from="
        with self.assertRaisesRegex(InputError, message):
            checkpoint_preset(damaged, damaged / "no")
        (damaged / "preset" / "config.json").write_bytes(b"{")
        with self.assertRaisesRegex(InputError, r"\)'?\. Start a new run"):
            checkpoint_preset(damaged, damaged / "no")


class FinetuningTest(finetune_case.Base):
    def test_the_best_step_is_the_run_s_own_preset(self):
        config = self.config(train_steps=4)
        results = self.run_once("tuned", config)
        found = checkpoint_preset(
            self.base / "tuned", self.base / "preset", results["best_step"]
        )
        self.assertEqual(found, results["best_step"])
        for mine, own in zip(
            weights(self.base / "preset"),
            weights(self.base / "tuned"),
            strict=True,
        ):
            np.testing.assert_array_equal(mine, own)
        model = load_pretrained(self.base / "preset")
        self.assertEqual(model.input_length, 32)
        shutil.move(self.base / "start", self.base / "moved")
        with self.assertRaisesRegex(InputError, "sizes of the model.*started"):
            checkpoint_preset(self.base / "tuned", self.base / "no")


if __name__ == "__main__":
    absltest.main()
