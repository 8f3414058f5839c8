"""Embeddings of texts: against the layers called by hand, in any batch."""

import contextlib
import io
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl.testing import absltest

from runkit import write_json
from spactor_tf.inference import load_pretrained, save_pretrained
from spactor_tf.inference.pretrained import preset_dir
from tests.support import serving_models, testing


def by_hand(model, text, length):
    """The mean over the tokens of one text, without padding or batch."""
    ids = model.vocabulary.encode([text])[0][: length - 1]
    tokens = np.append(ids, model.vocabulary.eos_id)[np.newaxis]
    states = model.backbone(
        {
            "encoder_token_ids": tokens,
            "encoder_padding_mask": np.ones_like(tokens),
            "decoder_token_ids": np.zeros((1, 1), np.int32),
            "decoder_padding_mask": np.ones((1, 1), np.int32),
        }
    )["encoder_sequence_output"]
    return states.numpy()[0].mean(0)


class EmbedTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.model = serving_models.pretrained()
        self.texts = [
            " ".join(document.split()[: i % 7])
            for i, document in enumerate(testing.documents(35))
        ]

    def test_equals_the_mean_by_hand(self):
        expected = [by_hand(self.model, text, 12) for text in self.texts]
        for batch_size in (None, 4, 64):
            found = self.model.embed(self.texts, 12, batch_size)
            self.assertEqual(found.dtype, np.float32)
            np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_no_texts(self):
        self.assertEqual(self.model.embed([]).shape, (0, 32))

    def test_weights_are_read_when_called(self):
        before = self.model.embed(self.texts[:2])
        weights = self.model.backbone.token_embedding.embeddings
        old = weights.numpy()
        self.addCleanup(weights.assign, old)
        weights.assign(old[::-1])
        after = self.model.embed(self.texts[:2])
        self.assertGreater(np.abs(after - before).max(), 0.1)
        np.testing.assert_allclose(
            after[0], by_hand(self.model, self.texts[0], 128), atol=1e-5
        )


class SaveTest(absltest.TestCase):
    def test_input_length_of_the_last_training(self):
        model = serving_models.pretrained()
        folder = pathlib.Path(self.create_tempdir().full_path)
        # Pre-training read 32 tokens.
        for number, (config, task_length, expected) in enumerate(
            (
                (model.config, 17, 17),
                (model.config, None, 32),
                (None, None, None),
            )
        ):
            path = folder / str(number)
            save_pretrained(
                path, model.backbone, model.vocabulary, config, task_length
            )
            found = load_pretrained(path)
            self.assertEqual(found.config, config)
            self.assertEqual(found.input_length, expected)


class GoingOnTest(absltest.TestCase):
    def told(self, of_run, of_preset, named="", results=False):
        run = pathlib.Path(self.create_tempdir().full_path)
        preset = run / "preset"
        (preset / "assets/tokenizer").mkdir(parents=True)
        (preset / "assets/tokenizer/vocabulary.spm").touch()
        write_json(preset / "config.json", {})
        write_json(preset / "spactor_config.json", of_preset)
        write_json(run / "config.json", of_run)
        if results:
            write_json(run / "results.json", {})
        with contextlib.redirect_stderr(io.StringIO()) as printed:
            self.assertEqual(preset_dir(run / named), preset)
        return printed.getvalue()

    def test_a_longer_run_has_an_older_preset(self):
        told = self.told({"train_steps": 24}, {"train_steps": 12})
        self.assertRegex(told, "model of 12 steps.*to 24.*spactor-preset")
        self.assertEqual(self.told({"train_steps": 9}, {"train_steps": 9}), "")

    def test_a_preset_that_is_named_itself_is_older_too(self):
        told = self.told({"train_steps": 24}, {"train_steps": 12}, "preset")
        self.assertIn("model of 12 steps", told)

    def test_of_fine_tuning_the_results_tell(self):
        of_run = {"train_steps": 24, "task": "sst2"}
        told = self.told(of_run, {"train_steps": 12})
        self.assertRegex(told, "an earlier end.*to 24: the same command")
        told = self.told(of_run, {"train_steps": 12}, results=True)
        self.assertEqual(told, "")


if __name__ == "__main__":
    absltest.main()
