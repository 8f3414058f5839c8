"""Gaps are filled in the form of a target, with the likeliest words."""

import numpy as np
from absl.testing import absltest

from spactor_tf.fill_main import fill_in
from spactor_tf.inference.filling import GapFiller, greedy_target
from spactor_tf.model import t5
from tests.support import serving_models


def whole_model_logits(model, tokens, target):
    """[target length, rows] float32, without a cache."""
    inputs = {
        "encoder_token_ids": tokens[np.newaxis],
        "encoder_padding_mask": np.ones((1, len(tokens)), np.int32),
        "decoder_token_ids": np.asarray(t5.decoder_inputs(target[np.newaxis])),
        "decoder_padding_mask": np.ones((1, len(target)), np.int32),
    }
    hidden = model.backbone(inputs)["decoder_sequence_output"]
    return t5.lm_logits(model.backbone, hidden)[0].numpy()


class FillingTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.model = serving_models.pretrained()
        self.vocabulary = self.model.vocabulary
        self.filler = GapFiller(self.model.backbone, self.vocabulary)

    def tokens(self, text):
        ids = self.vocabulary.encode([text])[0]
        return np.append(ids, self.vocabulary.eos_id).astype(np.int32)

    def test_target_has_the_form_and_the_likeliest_words(self):
        tokens = self.tokens("dada <extra_id_0> zuzu <extra_id_1> number 3.")
        target = self.filler.target(tokens, max_span=4)
        sentinels = self.vocabulary.sentinel_ids
        places = np.flatnonzero(np.isin(target, sentinels))
        np.testing.assert_array_equal(target[places], sentinels[:2])
        self.assertEqual(places[0], 0)
        self.assertEqual(target[-1], self.vocabulary.eos_id)
        is_word = np.ones(self.model.backbone.vocabulary_size, bool)
        is_word[self.vocabulary.special_ids] = False
        is_word[self.vocabulary.size :] = False
        logits = whole_model_logits(self.model, tokens, target)
        ends = [sentinels[1], self.vocabulary.eos_id]
        stops = [*places[1:], len(target) - 1]
        for start, stop, end in zip(places, stops, ends, strict=True):
            self.assertBetween(stop - start - 1, 1, 4)
            for place in range(start + 1, stop):
                words = np.where(is_word, logits[place], -np.inf)
                self.assertEqual(target[place], words.argmax())
                if place > start + 1:
                    self.assertLessEqual(logits[place][end], words.max())
            if stop - start - 1 < 4:
                words = np.where(is_word, logits[stop], -np.inf)
                self.assertGreater(logits[stop][end], words.max())

    def test_a_span_ends_where_its_end_is_likelier(self):
        sentinels = self.vocabulary.sentinel_ids
        end = self.vocabulary.eos_id
        word, other = 300, 301
        # After the sentinel the end is likeliest, but a span is not empty;
        # after the second word it is likeliest again, and it ends the span.
        script = iter(
            [{end: 9, word: 1}, {other: 9, end: 1}, {end: 2, word: 1}]
        )

        def step(token):
            logits = np.full(self.model.backbone.vocabulary_size, -9.0)
            for index, value in next(script).items():
                logits[index] = value
            return logits

        is_word = np.ones(self.model.backbone.vocabulary_size, bool)
        is_word[end] = False
        target = greedy_target(step, sentinels[:1], end, is_word, 5)
        self.assertEqual(target.tolist(), [sentinels[0], word, other, end])

    def test_texts_of_a_model(self):
        text = "dada <extra_id_0> zuzu <extra_id_1> three"
        (answer,) = self.model.fill([text], max_span=2)
        self.assertStartsWith(answer, "<extra_id_0> ")
        self.assertIn(" <extra_id_1> ", answer)
        filled = fill_in(text, answer)
        self.assertNotIn("<extra_id", filled)

    def test_a_text_without_a_gap_has_no_span(self):
        target = self.filler.target(self.tokens("dada"), max_span=3)
        self.assertEqual(target.tolist(), [self.vocabulary.eos_id])


if __name__ == "__main__":
    absltest.main()
