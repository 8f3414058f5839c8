"""Ranking and generation against the whole model called once a label."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.finetune.predictor import Predictor
from spactor_tf.model import t5
from spactor_tf.tasks import Example, Task
from tests.support import serving_models, testing

WORDS = ("bad", "very good", "so so")


def texts(count=23):
    """Of very different lengths, one of them empty."""
    return [
        " ".join(document.split()[: 3 * (i % 8)])
        for i, document in enumerate(testing.documents(count))
    ]


def predictor(**more):
    model = serving_models.pretrained()
    options = {"input_length": 40, "target_length": 12, "batch_size": 4, **more}
    return Predictor(model.backbone, model.vocabulary, **options)


def whole_model(text, target):
    """log p(target | text) without any cache, padding or batch."""
    model = serving_models.pretrained()
    ends = [model.vocabulary.eos_id]
    source, wanted = (
        np.concatenate([ids[: n - 1], ends])[np.newaxis].astype(np.int32)
        for ids, n in zip(
            model.vocabulary.encode([text, target]), (40, 12), strict=True
        )
    )
    outputs = model.backbone(
        {
            "encoder_token_ids": source,
            "encoder_padding_mask": np.ones_like(source),
            "decoder_token_ids": np.asarray(t5.decoder_inputs(wanted)),
            "decoder_padding_mask": np.ones_like(wanted),
        },
        training=False,
    )
    logits = t5.lm_logits(model.backbone, outputs["decoder_sequence_output"])
    logp = tf.nn.log_softmax(logits)[0].numpy()
    return logp[np.arange(wanted.shape[1]), wanted[0]].sum()


def counted(one):
    """Counts the rows that pass the encoder, in the graph."""
    seen, encode = [], one.encode

    def counting(tokens, mask):
        def note(mask):
            seen.append(int((mask.sum(1) > 0).sum()))
            return np.int32(0)

        done = tf.numpy_function(note, [mask], tf.int32)
        with tf.control_dependencies([done]):
            return encode(tf.identity(tokens), mask)

    one.encode = counting
    return seen


def task(words=WORDS):
    return Task(
        name="toy",
        suite="toy",
        source="jsonl:{split}",
        splits={},
        label_words=words,
        metrics=("accuracy",),
        to_examples=lambda record, number: [],
    )


class RankTest(parameterized.TestCase):
    def test_label_words_equal_the_whole_model_called_once_a_label(self):
        one = predictor()
        encoded = counted(one)
        found = one.log_likelihoods(texts(), [WORDS] * 23)
        expected = [[whole_model(t, word) for word in WORDS] for t in texts()]
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
        # 3 labels, and yet each of the 23 texts is encoded once.
        self.assertEqual(sum(encoded), 23)
        self.assertLen(encoded, 6)
        ranked = one.rank(texts(), [WORDS] * 23)
        best = np.argmax(expected, 1)
        self.assertEqual(ranked, [WORDS[i] for i in best])

    def test_options_of_its_own_for_each_text(self):
        one = predictor()
        encoded = counted(one)
        options = [
            tuple(f"{word} {i}" for word in WORDS[: 1 + i % 3])
            for i in range(23)
        ]
        found = one.log_likelihoods(texts(), options)
        self.assertEqual(found.shape, (23, 3))
        for text, own, scores in zip(texts(), options, found, strict=True):
            expected = [whole_model(text, option) for option in own]
            np.testing.assert_allclose(
                scores[: len(own)], expected, atol=1e-5, rtol=1e-5
            )
            np.testing.assert_array_equal(scores[len(own) :], -np.inf)
        self.assertEqual(sum(encoded), 23)
        best = [own[i] for own, i in zip(options, found.argmax(1), strict=True)]
        self.assertEqual(one.rank(texts(), options), best)

    def test_few_traces_whatever_the_lengths(self):
        one = predictor()
        one.rank(texts(), [WORDS] * 23)
        first = one.traces
        self.assertLessEqual(first, 5)  # 8, 12, 16, 24 and 40.
        one.rank(texts()[::-1], [WORDS] * 23)
        self.assertEqual(one.traces, first)

    def test_many_options_make_smaller_calls(self):
        one = predictor(max_logits=12_000)
        encoded = counted(one)
        found = one.log_likelihoods(texts(), [WORDS] * 23)
        self.assertGreater(len(encoded), 6)
        expected = predictor().log_likelihoods(texts(), [WORDS] * 23)
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_no_texts(self):
        self.assertEmpty(predictor().rank([], []))

    def test_weights_are_read_when_called(self):
        model = serving_models.pretrained()
        one = predictor()
        before = one.log_likelihoods(texts(4), [WORDS] * 4)
        norm = model.backbone.decoder_layer_norm.weight
        old = norm.numpy()
        try:
            norm.assign(old * 2)
            after = one.log_likelihoods(texts(4), [WORDS] * 4)
        finally:
            norm.assign(old)
        self.assertGreater(np.abs(after - before).max(), 0.1)


class GenerateTest(parameterized.TestCase):
    def test_equals_the_whole_model_token_by_token(self):
        model = serving_models.pretrained()
        one = predictor()
        encoded = counted(one)
        found = one.generate(texts(9), max_length=5)
        self.assertEqual(sum(encoded), 9)
        for text, answer in zip(texts(9), found, strict=True):
            self.assertEqual(answer, self.slowly(model, text, 5))

    def slowly(self, model, text, length):
        ids = model.vocabulary.encode([text])[0][:39]
        source = np.append(ids, model.vocabulary.eos_id)[np.newaxis]
        tokens = [0]
        for _ in range(length):
            targets = np.array([tokens], np.int32)
            hidden = model.backbone(
                {
                    "encoder_token_ids": source,
                    "encoder_padding_mask": np.ones_like(source),
                    "decoder_token_ids": targets,
                    "decoder_padding_mask": np.ones_like(targets),
                }
            )["decoder_sequence_output"]
            logits = t5.lm_logits(model.backbone, hidden)[0, -1].numpy()
            logits = logits[: model.vocabulary.size]
            logits[0] = -np.inf
            tokens.append(int(logits.argmax()))
            if tokens[-1] == model.vocabulary.eos_id:
                break
        return model.vocabulary.decode(tokens[1:])


class PredictTest(parameterized.TestCase):
    def test_auto_ranks_where_there_are_options(self):
        examples = [Example(t, "", str(i)) for i, t in enumerate(texts(5))]
        one = predictor()
        ranked = one.rank(texts(5), [WORDS] * 5)
        self.assertEqual(one.predict(task(), examples), ranked)
        self.assertEqual(one.predict(task(), examples, "rank"), ranked)
        written = one.generate(texts(5))
        self.assertEqual(one.predict(task(()), examples), written)

    def test_generation_stops_at_the_longest_label(self):
        examples = [Example(t, "", str(i)) for i, t in enumerate(texts(5))]
        one = predictor(target_length=40)
        vocabulary = serving_models.pretrained().vocabulary
        longest = max(map(len, vocabulary.encode(WORDS))) + 1
        self.assertEqual(
            one.predict(task(), examples, "generate"),
            one.generate(texts(5), longest),
        )

    def test_options_of_an_example_come_before_the_label_words(self):
        example = Example("dada", "", "0", {"options": ("lala",)})
        self.assertEqual(predictor().predict(task(), [example]), ["lala"])

    def test_free_text_cannot_be_ranked(self):
        with self.assertRaisesRegex(InputError, "--task=toy: has no options"):
            predictor().predict(task(()), [Example("a", "", "0")], "rank")


if __name__ == "__main__":
    absltest.main()
