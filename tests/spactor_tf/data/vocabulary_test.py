"""The vocabulary: nothing is lost, and special ids mean what they should."""

import functools
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import hypothesis
import keras_hub
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from sentencepiece import sentencepiece_model_pb2 as spm_pb2

from runkit import InputError
from spactor_tf.data import vocabulary_text
from spactor_tf.data.vocabulary import Vocabulary, train_vocabulary
from tests.support import testing

SPACE = "\u2581"
# Any text but SentencePiece's own mark for a space (and lone surrogates,
# which are not text in UTF-8).
any_text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=SPACE)
)
settings = hypothesis.settings(
    max_examples=200, deadline=None, derandomize=True, database=None
)


@functools.cache
def base_model() -> bytes:
    """The trained model as it was before special tokens were appended."""
    model = spm_pb2.ModelProto.FromString(testing.vocabulary().proto)
    del model.pieces[-101:]
    return model.SerializeToString()


def with_own_sentinels(prefix: str) -> bytes:
    """A base model with 100 extra ids, as T5's files have them."""
    model = spm_pb2.ModelProto.FromString(base_model())
    for i in reversed(range(100)):
        model.pieces.add(
            piece=f"{prefix}<extra_id_{i}>",
            score=0.0,
            type=spm_pb2.ModelProto.SentencePiece.USER_DEFINED,
        )
    return model.SerializeToString()


class RoundTripTest(parameterized.TestCase):
    @settings
    @hypothesis.given(any_text)
    def test_no_text_is_lost(self, text):
        vocabulary = testing.vocabulary()
        (ids,) = vocabulary.encode([text])
        self.assertEqual(vocabulary.decode(ids), text)
        self.assertNotIn(vocabulary.unk_id, ids)

    @parameterized.parameters(
        "",
        " ",
        "  two  spaces  ",
        "\n\n\tx\r\n",
        "a\0b",
        "\u2028\x85",
        "naïve ½ ﬁ Ⅷ",
        "日本語 \U0001f600",
        "e\u0301 and \u00e9",
        "<unk> <pad> </s> <0x41>",
    )
    def test_neither_are_awkward_texts(self, text):
        vocabulary = testing.vocabulary()
        tokens, lengths = vocabulary.encode_corpus([text])
        self.assertEqual(vocabulary.decode(tokens), text)
        self.assertEqual(tokens[-1], vocabulary.eos_id)
        self.assertEqual(lengths, [len(tokens)])
        self.assertLen(np.flatnonzero(tokens <= 2), 1)  # The EOS alone.

    @settings
    @hypothesis.given(st.lists(any_text, max_size=5))
    def test_documents_are_joined_by_eos(self, texts):
        vocabulary = testing.vocabulary()
        tokens, lengths = vocabulary.encode_corpus(texts)
        self.assertEqual(tokens.dtype, np.int32)
        self.assertLen(tokens, lengths.sum())
        rows = np.split(tokens, np.cumsum(lengths))[:-1]
        self.assertEqual([vocabulary.decode(row) for row in rows], texts)
        self.assertEqual(
            np.flatnonzero(tokens == vocabulary.eos_id).tolist(),
            (np.cumsum(lengths) - 1).tolist(),
        )

    def test_spare_rows_of_the_embedding_have_no_text(self):
        vocabulary = testing.vocabulary()
        (ids,) = vocabulary.encode(["mono"])
        odd = [vocabulary.size, *ids, 100_000, -1, vocabulary.pad_id]
        self.assertEqual(vocabulary.decode(odd), "mono")
        self.assertLen(vocabulary.pieces(odd), len(odd))

    def test_half_a_character_does_not_stop_decoding(self):
        vocabulary = testing.vocabulary()
        (ids,) = vocabulary.encode(["é"])
        self.assertLen(ids, 2)  # Its bytes.
        self.assertEqual(vocabulary.decode(ids[:1]), "\ufffd")


class SpecialTokensTest(parameterized.TestCase):
    def test_layout_is_that_of_the_module_docstring(self):
        vocabulary = testing.vocabulary()
        pieces = testing.ROWS - 128
        self.assertEqual(vocabulary.size, pieces + 101)
        self.assertEqual(
            vocabulary.sentinel_ids.tolist(),
            list(range(pieces + 99, pieces - 1, -1)),
        )
        self.assertEqual(vocabulary.mask_id, pieces + 100)
        self.assertEqual(
            vocabulary.pieces([0, 1, 2, pieces + 99, pieces + 100]),
            ["<pad>", "</s>", "<unk>", "<extra_id_0>", "<mask>"],
        )
        self.assertCountEqual(
            vocabulary.special_ids,
            [0, 1, vocabulary.mask_id, *vocabulary.sentinel_ids],
        )

    def test_sentinels_are_read_in_text_and_written_back(self):
        vocabulary = testing.vocabulary()
        text = "a <extra_id_0> b<extra_id_99>"
        (ids,) = vocabulary.encode([text])
        self.assertIn(vocabulary.sentinel_ids[0], ids)
        self.assertEqual(ids[-1], vocabulary.sentinel_ids[99])
        self.assertEqual(vocabulary.decode(ids), text)

    def test_the_mask_is_one_token_to_any_reader(self):
        reader = SentencePieceProcessor()
        reader.LoadFromSerializedProto(testing.vocabulary().proto)
        self.assertIn(testing.vocabulary().mask_id, reader.encode("a<mask>b"))

    @parameterized.parameters("", SPACE)
    def test_model_with_its_own_extra_ids_keeps_them(self, prefix):
        vocabulary = Vocabulary(with_own_sentinels(prefix))
        plain = Vocabulary(base_model())
        self.assertEqual(vocabulary.size, plain.size)
        np.testing.assert_array_equal(
            vocabulary.sentinel_ids, plain.sentinel_ids
        )
        self.assertEqual(vocabulary.mask_id, vocabulary.size - 1)
        (ids,) = vocabulary.encode(["mo <extra_id_3>"])
        self.assertEqual(ids[-1], vocabulary.sentinel_ids[3])

    @parameterized.parameters("none", "", SPACE)
    def test_corpus_text_never_becomes_a_sentinel(self, kind):
        proto = base_model() if kind == "none" else with_own_sentinels(kind)
        vocabulary = Vocabulary(proto)
        special = {vocabulary.mask_id, *vocabulary.sentinel_ids.tolist()}
        text = " ".join(f"x<extra_id_{i}>" for i in range(100)) + (
            " <mask><pad></s> <extra_id_5>"
        )
        tokens, _ = vocabulary.encode_corpus([text])
        self.assertEmpty(special & set(tokens.tolist()))
        self.assertEqual(vocabulary.decode(tokens), text)

    def test_saving_and_loading_changes_nothing(self):
        path = pathlib.Path(self.create_tempdir()) / "v.model"
        vocabulary = testing.vocabulary()
        vocabulary.save(path)
        loaded = Vocabulary.load(path)
        self.assertEqual(loaded.proto, vocabulary.proto)
        self.assertEqual(loaded.fingerprint, vocabulary.fingerprint)
        self.assertEqual(loaded.mask_id, vocabulary.mask_id)

    def test_no_line_of_the_reader_reaches_the_screen(self):
        written = pathlib.Path(self.create_tempdir().full_path, "stderr")
        screen = os.dup(2)
        self.addCleanup(os.close, screen)
        with written.open("wb") as file:
            os.dup2(file.fileno(), 2)
            try:
                vocabulary_text.text_reader(testing.vocabulary().proto)
                with vocabulary_text.without_greeting():
                    os.write(2, b"something else")
            finally:
                os.dup2(screen, 2)
        text = written.read_bytes()  # TensorFlow may write lines of its own.
        self.assertNotIn(b"charsmap", text)
        self.assertEndsWith(text, b"something else")

    def test_kerashub_reads_the_same_tokens(self):
        from keras_hub.tokenizers import T5Tokenizer

        vocabulary = testing.vocabulary()
        theirs = T5Tokenizer(proto=vocabulary.proto)
        texts = [*testing.documents(5), "a<extra_id_7>b <mask>", " é \n"]
        for text, ours in zip(texts, vocabulary.encode(texts), strict=True):
            self.assertEqual(np.asarray(theirs(text)).tolist(), ours.tolist())
        self.assertEqual(theirs.pad_token_id, vocabulary.pad_id)
        self.assertEqual(theirs.end_token_id, vocabulary.eos_id)


class TrainingTest(parameterized.TestCase):
    def test_same_text_gives_the_same_model(self):
        again = train_vocabulary(testing.documents(), testing.ROWS)
        self.assertEqual(again.fingerprint, testing.vocabulary().fingerprint)

    def test_lines_longer_than_the_trainer_takes_are_not_lost(self):
        # One line of about 30 kB of which only the end is new.
        words = "qxqx " * 2000
        texts = [*testing.documents(), "mo ma " * 4000 + words]
        vocabulary = train_vocabulary(texts, testing.ROWS)
        self.assertTrue(
            any("qx" in piece for piece in vocabulary.pieces(range(384)))
        )

    @parameterized.named_parameters(
        ("no_document", [], 512, "--dataset: the corpus holds no text"),
        ("only_blanks", ["", "\n"], 512, "--dataset: the corpus holds no text"),
        # 3 control pieces, 256 bytes, a and b: 261 pieces and 128 rows more.
        ("too_little", ["ab"], 512, "got 512; expected at most 389"),
        ("too_few_rows", ["ab"], 200, "got 200; expected at least 389"),
    )
    def test_corpus_that_does_not_give_that_many_pieces(self, texts, rows, say):
        with self.assertRaisesRegex(InputError, say):
            train_vocabulary(texts, rows)

    def test_an_error_of_the_corpus_is_not_hidden_by_the_trainer(self):
        def texts():
            yield from testing.documents()
            raise InputError("is not UTF-8", where="corpus.txt")

        with self.assertRaisesRegex(InputError, "corpus.txt: is not UTF-8"):
            train_vocabulary(texts(), testing.ROWS)


class BadModelTest(parameterized.TestCase):
    @parameterized.parameters(b"", b"no model", b"\x00\xff" * 50)
    def test_not_a_model(self, content):
        path = self.create_tempfile(content=content, mode="wb").full_path
        with self.assertRaisesRegex(InputError, f"{path}: .*SentencePiece"):
            Vocabulary.load(path)

    def test_truncated_model(self):
        proto = base_model()
        with self.assertRaisesRegex(InputError, "half.model: .*SentencePiece"):
            Vocabulary(proto[: len(proto) // 2], "half.model")

    def test_missing_file_and_folder(self):
        folder = self.create_tempdir().full_path
        for path in (folder, f"{folder}/none.model"):
            with self.assertRaisesRegex(InputError, f"{path}: cannot be read"):
                Vocabulary.load(path)

    def test_other_control_ids(self):
        path = os.path.join(self.create_tempdir().full_path, "other")  # noqa: PTH118
        SentencePieceTrainer.train(  # Its defaults: unk 0, bos 1, eos 2.
            sentence_iterator=iter(testing.documents()),
            vocab_size=150,
            model_prefix=path,
            minloglevel=2,
        )
        with self.assertRaisesRegex(
            InputError, "control ids.*'<unk>', '<s>', '</s>'.*pad_id=0"
        ):
            Vocabulary.load(f"{path}.model")

    def test_embedding_with_too_few_rows(self):
        vocabulary = testing.vocabulary()
        vocabulary.check_rows(vocabulary.size, "here")
        with self.assertRaisesRegex(InputError, "here: .*got 484.*485"):
            vocabulary.check_rows(484, "here")


class PaddedTest(absltest.TestCase):
    def test_every_row_decodes_and_text_is_the_same(self):
        plain = testing.vocabulary()
        padded = plain.padded(testing.ROWS)
        self.assertLess(plain.size, padded.size)
        self.assertEqual(padded.size, testing.ROWS)
        tokenizer = keras_hub.models.T5Tokenizer(proto=padded.proto)
        for spare in range(plain.size, testing.ROWS):
            self.assertNotEmpty(tokenizer.detokenize([[spare]])[0])
            self.assertIn(spare, padded.special_ids)
        text = testing.documents(1)[0] + " <extra_id_3> <unused_511>"
        np.testing.assert_array_equal(
            plain.encode([text])[0], padded.encode([text])[0]
        )
        np.testing.assert_array_equal(plain.sentinel_ids, padded.sentinel_ids)
        self.assertEqual(plain.mask_id, padded.mask_id)


class SeededTest(absltest.TestCase):
    def test_setting_a_global_seed_takes_no_tokenizer_away(self):
        """It clears TensorFlow's kernels, and their resources with them."""
        plain = Vocabulary(testing.vocabulary().proto)
        before = plain.encode(["some text"])[0]
        corpus, _ = plain.encode_corpus(["some text"])
        tf.random.set_seed(1)
        np.testing.assert_array_equal(plain.encode(["some text"])[0], before)
        tf.random.set_seed(1)
        self.assertEqual(plain.decode(before), "some text")
        tf.random.set_seed(1)
        again, _ = plain.encode_corpus(["some text"])
        np.testing.assert_array_equal(again, corpus)


class OtherScriptsTest(absltest.TestCase):
    def test_more_characters_than_pieces(self):
        text = "".join(chr(0x4E00 + i) for i in range(6000))
        vocabulary = train_vocabulary(iter([text]), 1024)
        self.assertLessEqual(vocabulary.size, 1024)
        (ids,) = vocabulary.encode([text])
        self.assertEqual(vocabulary.decode(ids), text)
        again = train_vocabulary([text], 1024)
        self.assertEqual(again.fingerprint, vocabulary.fingerprint)

    def test_text_without_spaces_is_bounded(self):
        texts = ["ab" * 10_000, "a short line"] * 200
        read = list(vocabulary_text.sentences(texts, []))
        self.assertLessEqual(
            sum(map(len, read)), vocabulary_text.MOST_UNSPACED + 200 * 12
        )
        self.assertEqual(read.count("a short line"), 200)


if __name__ == "__main__":
    absltest.main()
