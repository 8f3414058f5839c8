"""Decoding over several chunks of the caches, against the whole model."""

import functools

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from spactor_tf.config.search_options import SearchOptions
from spactor_tf.data.vocabulary import EOS_ID
from spactor_tf.inference import token_search
from spactor_tf.inference.decoder_steps import CHUNK
from spactor_tf.inference.decoding import CachedDecoder
from spactor_tf.model import t5
from tests.support import serving_models

LENGTH = 2 * CHUNK + 3


@functools.cache
def inputs(rows=3):
    """(tokens, mask), padded differently."""
    random = np.random.default_rng(0)
    tokens = random.integers(3, 200, (rows, 9)).astype(np.int32)
    mask = (np.arange(9) < 9 - np.arange(rows)[:, np.newaxis]).astype(np.int32)
    return tokens * mask, mask


def whole_model(gated, targets):
    """log p of the next tokens, [rows, length, vocabulary], no cache."""
    model = serving_models.pretrained(gated)
    tokens, mask = inputs()
    hidden = model.backbone(
        {
            "encoder_token_ids": tokens,
            "encoder_padding_mask": mask,
            "decoder_token_ids": np.asarray(t5.decoder_inputs(targets)),
            "decoder_padding_mask": np.ones_like(targets),
        }
    )["decoder_sequence_output"]
    logits = np.array(t5.lm_logits(model.backbone, hidden))
    logits[..., 0] = logits[..., model.vocabulary.size :] = -1e9
    return tf.nn.log_softmax(logits).numpy()


def generated(gated=False, never_ends=False, **options):
    """(tokens, scores, log-probabilities by the whole model, answers)."""
    model = serving_models.pretrained(gated)
    tokens, mask = inputs()
    found, scores = token_search.generate(
        CachedDecoder(model.backbone),
        SearchOptions(**{"max_output_length": LENGTH, **options}),
        model.vocabulary.size,
        tf.range(len(tokens), dtype=tf.int64),
        t5.build_encoder(model.backbone)(
            {"encoder_token_ids": tokens, "encoder_padding_mask": mask}
        ),
        tf.constant(mask),
    )
    return found.numpy(), scores.numpy(), whole_model(gated, found.numpy())


def until_eos(tokens):
    """[rows, length] bool: the tokens that count, EOS included."""
    return np.cumsum(np.cumsum(tokens == EOS_ID, 1), 1) <= 1


class TokenSearchTest(parameterized.TestCase):
    @parameterized.parameters(False, True)
    def test_greedy_over_several_chunks(self, gated):
        tokens, scores, logp = generated(gated)
        counts = until_eos(tokens)
        self.assertGreater(counts.sum(1).max(), 2 * CHUNK)
        np.testing.assert_array_equal(
            tokens, np.where(counts, logp.argmax(-1), 0)
        )
        expected = np.where(counts, logp.max(-1), 0).sum(1)
        np.testing.assert_allclose(scores, expected, rtol=1e-5)

    def test_earlier_calls_leave_nothing_in_the_caches(self):
        # Caches are written in place, beneath what a graph sees.
        model = serving_models.pretrained()
        decoder, encode = (
            CachedDecoder(model.backbone),
            t5.build_encoder(model.backbone),
        )

        @tf.function(
            input_signature=[tf.TensorSpec([None, 9], tf.int32)] * 2,
            autograph=False,
        )
        def generate(tokens, mask):
            return token_search.generate(
                decoder,
                SearchOptions(max_output_length=LENGTH),
                model.vocabulary.size,
                tf.zeros([tf.shape(tokens)[0]], tf.int64),
                encode(
                    {"encoder_token_ids": tokens, "encoder_padding_mask": mask}
                ),
                mask,
            )

        tokens, mask = inputs()
        first, first_score = generate(tokens, mask)
        generate(tokens[1:] + 1, mask[1:])
        again, again_score = generate(tokens, mask)
        np.testing.assert_array_equal(again, first)
        np.testing.assert_array_equal(again_score, first_score)
        np.testing.assert_array_equal(first, generated()[0])

    @parameterized.product(
        options=[
            {"decoding": "temperature", "temperature": 2.0},
            {"decoding": "beam", "num_beams": 3, "length_penalty": 0.0},
        ],
        gated=[False, True],
    )
    def test_scores_are_the_whole_model_s(self, options, gated):
        tokens, scores, logp = generated(gated, **options)
        own = np.take_along_axis(logp, tokens[..., np.newaxis], 2)[..., 0]
        expected = np.where(until_eos(tokens), own, 0).sum(1)
        np.testing.assert_allclose(scores, expected, rtol=1e-5)

    def test_beams_equal_a_plain_search(self):
        tokens, scores, _ = generated(
            decoding="beam", num_beams=3, max_output_length=CHUNK + 4
        )
        for row in range(len(tokens)):
            answer, score = plain_beam_search(row, 3, CHUNK + 4, 0.6)
            self.assertEqual(tokens[row][: len(answer)].tolist(), answer)
            self.assertFalse(tokens[row][len(answer) :].any())
            self.assertAlmostEqual(scores[row], score, places=3)


def plain_beam_search(row, beams, length, penalty):
    """(tokens, score) with lists and the whole model for every token."""
    kept = [([], 0.0)]
    rows = len(inputs()[0])
    for _ in range(length):
        children = []
        for answer, score in kept:
            if answer[-1:] == [EOS_ID]:
                children.append((answer, score))
                continue
            targets = np.array([[*answer, 0]] * rows, np.int32)
            logp = whole_model(False, targets)[row, -1]
            for word in np.argsort(-logp)[:beams].tolist():
                children.append(([*answer, word], score + logp[word]))
        kept = sorted(children, key=lambda child: -child[1])[:beams]
    return max(kept, key=lambda child: child[1] / len(child[0]) ** penalty)


if __name__ == "__main__":
    absltest.main()
