"""Vocabularies of T5's kind, which puts a space before every text.

One reading in Python, in a graph, in KerasHub and in what transformers opens;
that of T5's library, whose sentinels begin with the mark of a space.
"""

import functools
import hashlib
import io
import json
import os
import random

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_hub
import numpy as np
import tensorflow as tf
import tokenizers
from absl.testing import absltest, parameterized
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from spactor_tf.data.encoding import encode_in_graph, encode_texts
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.data.vocabulary_text import ModelProto
from spactor_tf.inference.hugging_face import tokenizer_json
from tests.support import testing

SPACE = "\u2581"
USER_DEFINED = ModelProto.SentencePiece.USER_DEFINED
# As seqio's documentation wants sentinels: at the start of words.
AT_WORDS = (
    "mo <extra_id_0> da",
    "<extra_id_0> mo",
    "<extra_id_0>. mo",
    "mo <extra_id_0>da <extra_id_12>, zu",
    "  <extra_id_99>  ",
    "mo\n<extra_id_0>\tda <extra_id_1> <extra_id_2>",
    "  mo  da ",
    " ",
    "",
)
# And as they also come.
INSIDE = (
    "mo<extra_id_0>da",
    "mo<extra_id_0><extra_id_10>.<extra_id_3>",
    "mo <mask> da<mask>",
)


@functools.cache
def base_model() -> bytes:
    """As SentencePiece's trainer makes it by default, with T5's ids."""
    buffer = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(testing.documents()),
        model_writer=buffer,
        vocab_size=300,
        hard_vocab_limit=False,
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return buffer.getvalue()


def with_sentinels(prefix: str) -> bytes:
    model = ModelProto.FromString(base_model())
    for i in reversed(range(100)):
        name = f"{prefix}<extra_id_{i}>"
        model.pieces.add(piece=name, score=0.0, type=USER_DEFINED)
    return model.SerializeToString()


def ids_of(vocabulary: Vocabulary, texts: tuple[str, ...]) -> list[list[int]]:
    return [ids.tolist() for ids in vocabulary.encode(texts)]


class SpaceMarksTest(parameterized.TestCase):
    def test_ids_are_those_of_t5s_library(self):
        theirs = SentencePieceProcessor(model_proto=with_sentinels(SPACE))
        found = ids_of(Vocabulary(base_model()), AT_WORDS)
        self.assertEqual(found, [theirs.encode(text) for text in AT_WORDS])

    @parameterized.parameters("none", "", SPACE)
    def test_wherever_the_sentinels_came_from(self, kind):
        proto = base_model() if kind == "none" else with_sentinels(kind)
        vocabulary = Vocabulary(proto)
        expected = ids_of(Vocabulary(base_model()), AT_WORDS + INSIDE)
        self.assertEqual(ids_of(vocabulary, AT_WORDS + INSIDE), expected)
        kerashub = keras_hub.tokenizers.T5Tokenizer(proto=vocabulary.proto)
        for text, ids in zip(AT_WORDS, expected, strict=False):
            self.assertEqual(np.asarray(kerashub(text)).tolist(), ids)
        again = Vocabulary(vocabulary.proto)
        self.assertEqual(again.fingerprint, vocabulary.fingerprint)

    def test_one_inside_a_word_is_a_sentinel_too(self):
        vocabulary = Vocabulary(base_model())
        for text in INSIDE[:2]:
            (ids,) = vocabulary.encode([text])
            special = np.isin(ids, vocabulary.sentinel_ids)
            self.assertEqual(special.sum(), text.count("<"), text)
        apart = "mo <extra_id_0>da"
        self.assertEqual(*ids_of(vocabulary, (apart, INSIDE[0])))
        self.assertEqual(
            vocabulary.decode(vocabulary.encode([apart])[0]), apart
        )

    @parameterized.parameters(True, False)
    def test_what_transformers_opens_reads_the_same(self, dummy_prefix):
        """Any order of words, sentinels and spaces."""
        proto = ModelProto.FromString(base_model())
        proto.normalizer_spec.add_dummy_prefix = dummy_prefix
        if not dummy_prefix:
            proto.normalizer_spec.remove_extra_whitespaces = False
        vocabulary = Vocabulary(proto.SerializeToString())
        written = json.dumps(tokenizer_json(vocabulary))
        reader = tokenizers.Tokenizer.from_str(written)
        parts = ["mo", "zu.", ",", " ", "  ", "<extra_id_0>", "<extra_id_17>"]
        chance = random.Random(0)
        texts = [*AT_WORDS, *INSIDE]
        texts += ["".join(chance.choices(parts, k=7)) for _ in range(300)]
        for text, ids in zip(texts, vocabulary.encode(texts), strict=True):
            found = reader.encode(text, add_special_tokens=False).ids
            self.assertEqual(found, ids.tolist(), repr(text))

    def test_a_graph_reads_the_same(self):
        vocabulary = Vocabulary(base_model())
        reader = vocabulary.new_tokenizer()
        texts = [*AT_WORDS, *INSIDE]
        graph = tf.function(lambda text: encode_in_graph(reader, text, 20)[0])
        tokens = graph(tf.constant(texts)).numpy()
        expected = encode_texts(vocabulary, texts, 20).padded(tokens.shape[1])
        np.testing.assert_array_equal(tokens, expected)

    def test_text_of_a_corpus_never_becomes_a_sentinel(self):
        vocabulary = Vocabulary(base_model())
        text = "mo <extra_id_0> da<extra_id_1><mask>"
        tokens, _ = vocabulary.encode_corpus([text])
        special = {vocabulary.mask_id, *vocabulary.sentinel_ids.tolist()}
        self.assertEmpty(special & set(tokens.tolist()))
        self.assertEqual(vocabulary.decode(tokens), text)

    def test_files_of_before_the_marks_are_known(self):
        """They hold, and name, a model with bare sentinels."""
        before = ModelProto.FromString(with_sentinels(""))
        before.pieces.add(piece="<mask>", score=0.0, type=USER_DEFINED)
        before.trainer_spec.vocab_size = len(before.pieces)
        proto = before.SerializeToString(deterministic=True)
        named = hashlib.sha256(proto).hexdigest()
        for content in (proto, base_model()):
            vocabulary = Vocabulary(content)
            self.assertTrue(vocabulary.has_fingerprint(named))
            self.assertTrue(vocabulary.has_fingerprint(vocabulary.fingerprint))
        self.assertFalse(vocabulary.has_fingerprint(None))
        self.assertFalse(testing.vocabulary().has_fingerprint(named))


if __name__ == "__main__":
    absltest.main()
