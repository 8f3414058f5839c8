"""The served functions against oracles that call the whole model."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from export.modules.options import ServingOptions
from export.modules.t5_module import ServingModule
from runkit import InputError
from spactor_tf.config.search_options import SearchOptions
from spactor_tf.inference import token_search as search
from spactor_tf.inference.decoding import CachedDecoder, label_targets
from spactor_tf.inference.pretrained import Pretrained
from spactor_tf.model import t5
from tests.support import serving_models, testing

LABELS = ("bad", "very good", "so so")
TEXTS = [
    "dada zuzu, number 3.",
    "",
    "so it goes " * 3,
    "\u05e9\u05dc \U0001f600",
]
LENGTH = 24


@functools.cache  # Traced once; a dropped module cannot be traced at all.
def serving_module(model: Pretrained | None = None, **options) -> ServingModule:
    model = model or serving_models.pretrained()
    options = {
        "labels": LABELS,
        "input_length": LENGTH,
        "max_output_length": 6,
        **options,
    }
    return ServingModule(
        model.backbone, model.vocabulary, ServingOptions(**options)
    )


def run(function, texts) -> dict[str, np.ndarray]:
    outputs = function(tf.constant(texts, tf.string))
    return {name: value.numpy() for name, value in outputs.items()}


def encoder_inputs(model: Pretrained, text: str) -> dict[str, np.ndarray]:
    """One text, unpadded, tokenized outside the graph."""
    ids = model.vocabulary.encode([text])[0][: LENGTH - 1]
    tokens = np.append(ids, model.vocabulary.eos_id)[np.newaxis]
    return {
        "encoder_token_ids": tokens,
        "encoder_padding_mask": np.ones_like(tokens),
    }


def log_probabilities(model: Pretrained, text: str, targets) -> np.ndarray:
    """[..., positions, vocabulary] by the whole model, no cache at all."""
    targets = np.asarray(targets)
    rows = len(targets)
    inputs = {
        k: np.repeat(v, rows, 0) for k, v in encoder_inputs(model, text).items()
    }
    inputs["decoder_token_ids"] = np.asarray(t5.decoder_inputs(targets))
    inputs["decoder_padding_mask"] = np.ones_like(targets)
    hidden = model.backbone(inputs)["decoder_sequence_output"]
    return tf.nn.log_softmax(t5.lm_logits(model.backbone, hidden)).numpy()


def allowed(model: Pretrained, rows: np.ndarray) -> np.ndarray:
    """Log-probabilities again after pad and spare rows are taken out."""
    rows = np.array(rows)
    rows[..., 0] = rows[..., model.vocabulary.size :] = -np.inf
    return rows - np.log(np.exp(rows).sum(-1, keepdims=True))


def greedy_oracle(model: Pretrained, text: str, length: int):
    """Tokens and score, calling the whole model for every token."""
    tokens: list[int] = []
    score = 0.0
    while len(tokens) < length and model.vocabulary.eos_id not in tokens:
        last = log_probabilities(model, text, [[*tokens, 0]])[0, -1]
        last = allowed(model, last)
        tokens.append(int(last.argmax()))
        score += last.max()
    return tokens, score


class EmbedTest(parameterized.TestCase):
    def test_is_the_mean_of_the_encoder_states(self):
        found = run(serving_module().embed, TEXTS)
        expected = serving_models.pretrained().embed(TEXTS, LENGTH)
        np.testing.assert_allclose(found["embedding"], expected, atol=1e-5)

    def test_unit_norm(self):
        found = run(serving_module(unit_norm=True).embed, TEXTS)["embedding"]
        plain = run(serving_module().embed, TEXTS)["embedding"]
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
        scale = np.linalg.norm(plain, axis=1, keepdims=True)
        np.testing.assert_allclose(found, plain / scale, atol=1e-6)

    def test_truncates_and_says_so(self):
        # A text of exactly as many tokens as there is room for is not cut.
        vocabulary = serving_models.pretrained().vocabulary
        text = "dada zuzu. " * 40
        ids = vocabulary.encode([text])[0]
        exact = vocabulary.decode(ids[: LENGTH - 1])
        self.assertLen(vocabulary.encode([exact])[0], LENGTH - 1)
        found = run(serving_module().embed, [exact, text])
        self.assertEqual(found["truncated"].tolist(), [False, True])
        np.testing.assert_allclose(*found["embedding"], atol=1e-5)


class ClassifyTest(parameterized.TestCase):
    @parameterized.parameters(False, True)
    def test_ranks_by_the_likelihood_of_the_label_words(self, gated):
        model = serving_models.pretrained(gated)
        prefix = "task: "
        found = run(serving_module(model, prefix=prefix).classify, TEXTS)
        targets = label_targets(model.vocabulary, LABELS)
        scores = np.zeros((len(TEXTS), len(LABELS)))
        for row, text in enumerate(TEXTS):
            for column, target in enumerate(targets):
                target = target[target != 0]
                table = log_probabilities(model, prefix + text, [target])[0]
                scores[row, column] = table[range(len(target)), target].sum()
        expected = np.exp(scores - scores.max(1, keepdims=True))
        expected /= expected.sum(1, keepdims=True)
        np.testing.assert_allclose(
            found["probabilities"], expected, rtol=1e-4, atol=1e-5
        )
        order = np.sort(expected, axis=1)
        np.testing.assert_allclose(
            found["margin"], order[:, -1] - order[:, -2], atol=1e-5
        )
        best = expected.argmax(1)
        np.testing.assert_array_equal(found["class_id"], best)
        self.assertEqual(
            [label.decode() for label in found["label"]],
            [LABELS[i] for i in best],
        )
        np.testing.assert_allclose(
            found["embedding"],
            model.embed([prefix + t for t in TEXTS], LENGTH),
            atol=1e-5,
        )

    def test_labels_end_with_eos_and_differ(self):
        vocabulary = testing.vocabulary()
        targets = label_targets(vocabulary, LABELS)
        for target in targets:
            self.assertEqual(target[target != 0][-1], vocabulary.eos_id)
        with self.assertRaisesRegex(InputError, "tell the label words apart"):
            label_targets(vocabulary, ["good", ""])

    def test_examples_give_the_same_as_text(self):
        module = serving_module()
        examples = []
        for text in TEXTS:
            example = tf.train.Example()
            feature = example.features.feature["text"].bytes_list
            feature.value.append(text.encode())
            examples.append(example.SerializeToString())
        found = run(module.classify_examples, examples)
        expected = run(module.classify, TEXTS)["probabilities"]
        np.testing.assert_allclose(found["scores"], expected, atol=1e-6)
        self.assertEqual(
            found["classes"][0].tolist(), [label.encode() for label in LABELS]
        )


class GenerateTest(parameterized.TestCase):
    @parameterized.parameters(False, True)
    def test_greedy_equals_the_whole_model_token_by_token(self, gated):
        model = serving_models.pretrained(gated)
        found = run(serving_module(model).generate, TEXTS)
        for row, text in enumerate(TEXTS):
            tokens, score = greedy_oracle(model, text, 6)
            self.assertEqual(
                found["text"][row].decode(), model.vocabulary.decode(tokens)
            )
            self.assertAlmostEqual(found["score"][row], score, places=3)
            self.assertEqual(
                found["finished"][row], model.vocabulary.eos_id in tokens
            )

    def test_wide_beam_finds_the_best_of_all(self):
        # With a beam for every token, two steps are an exhaustive search.
        model = serving_models.pretrained()
        text, size = TEXTS[0], model.vocabulary.size
        found = run(
            serving_module(
                decoding="beam",
                num_beams=size,
                max_output_length=2,
                length_penalty=0.0,
            ).generate,
            [text],
        )
        first = allowed(model, log_probabilities(model, text, [[0]])[0, 0])
        pairs = [[token, 0] for token in range(size)]
        second = allowed(model, log_probabilities(model, text, pairs)[:, 1])
        total = first[:size, np.newaxis] + second
        total[model.vocabulary.eos_id] = -np.inf
        best = max(total.max(), first[model.vocabulary.eos_id])
        self.assertAlmostEqual(found["score"][0], best, places=4)

    def test_one_beam_is_greedy(self):
        greedy = run(serving_module().generate, TEXTS)
        beam = run(serving_module(decoding="beam", num_beams=1).generate, TEXTS)
        self.assertEqual(greedy["text"].tolist(), beam["text"].tolist())
        np.testing.assert_allclose(greedy["score"], beam["score"], atol=1e-4)

    def test_samples_follow_the_distribution(self):
        model = serving_models.pretrained()
        rows, temperature = 2000, 0.5
        inputs = encoder_inputs(model, TEXTS[0])
        states = t5.build_encoder(model.backbone)(inputs)
        mask = inputs["encoder_padding_mask"]
        drawn = [
            search.generate(
                CachedDecoder(model.backbone),
                SearchOptions(
                    max_output_length=2,
                    decoding="temperature",
                    temperature=temperature,
                    seed=seed,
                ),
                model.vocabulary.size,
                tf.range(rows, dtype=tf.int64),  # Hashes of different texts.
                tf.repeat(states, rows, 0),
                tf.repeat(mask, rows, 0),
            )[0][:, 0]
            for seed in range(3)
        ]
        logits = log_probabilities(model, TEXTS[0], [[0]])[0, 0] / temperature
        expected = np.exp(allowed(model, logits))
        counts = np.bincount(np.ravel(drawn), minlength=len(expected))
        likely = np.argsort(expected)[-5:]
        np.testing.assert_allclose(
            counts[likely] / (3 * rows), expected[likely], atol=0.03
        )

    def test_sample_depends_on_seed_and_text_only(self):
        def sample(texts, seed):
            module = serving_module(
                decoding="temperature", temperature=2.0, seed=seed
            )
            return run(module.generate, texts)["text"].tolist()

        together = sample(TEXTS, 1)
        self.assertEqual(together, [sample([t], 1)[0] for t in TEXTS])
        self.assertNotEqual(together, sample(TEXTS, 2))
        self.assertLen(set(together), len(TEXTS))


class BatchTest(parameterized.TestCase):
    @parameterized.product(
        signature=["embed", "classify", "generate"],
        decoding=["greedy", "beam"],
    )
    def test_rows_do_not_influence_each_other(self, signature, decoding):
        module = serving_module(decoding=decoding, num_beams=2)
        function = getattr(module, signature)
        texts = [f"{TEXTS[i % 4]} {i // 4}" for i in range(64)]
        alone = [run(function, [text]) for text in texts[:8]]
        for size in (1, 3, 8, 64):
            found = run(function, texts[:size])
            for name, value in found.items():
                self.assertLen(value, size)
                expected = np.concatenate([row[name] for row in alone])[:size]
                if value.dtype == np.float32:
                    np.testing.assert_allclose(
                        value[:8], expected, rtol=1e-4, atol=1e-5
                    )
                else:
                    np.testing.assert_array_equal(value[:8], expected)

    @parameterized.parameters("embed", "classify", "generate")
    def test_empty_batch(self, signature):
        function = getattr(serving_module(), signature)
        one, none = run(function, ["x"]), run(function, [])
        for name, value in none.items():
            self.assertEqual(value.shape, (0, *one[name].shape[1:]))
            self.assertEqual(value.dtype, one[name].dtype)


class OptionsTest(parameterized.TestCase):
    @parameterized.parameters(
        ({"decoding": "beem"}, "Did you mean 'beam'"),
        ({"labels": ("one",)}, "fewer than two"),
        ({"prefix": "\udc80"}, "prefix\\[0\\]: holds half of a character"),
        ({"labels": ("a", "\udc80")}, "half of a character"),
        ({"labels": ("a", "a")}, "repeated"),
        ({"labels": ("a", " ")}, "empty"),
        ({"input_length": 0}, "must be positive"),
        ({"temperature": 0.0}, "must be positive"),
        ({"num_beams": 0}, "must be positive"),
        ({"length_penalty": -1.0}, "negative"),
    )
    def test_bad_options_are_refused(self, options, message):
        with self.assertRaisesRegex(InputError, message):
            ServingOptions(**options).validate()

    def test_vocabulary_larger_than_the_model_is_refused(self):
        model = testing.tiny_config(**{"model.vocabulary_size": 256}).model
        with self.assertRaisesRegex(InputError, "fewer rows"):
            ServingModule(
                t5.build_backbone(model), testing.vocabulary(), ServingOptions()
            )


if __name__ == "__main__":
    absltest.main()
