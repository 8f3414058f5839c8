"""Texts become rows of tokens by one rule, in Python and in a graph."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.data.encoding import TokenRows, encode_in_graph, encode_texts
from tests.support import testing

EOS = 1
TEXTS = ["", "dada zuzu", "a <extra_id_0> b", "number " * 30, "bad"]


class EncodeTextsTest(parameterized.TestCase):
    def test_rows_are_cut_and_end_with_eos(self):
        whole = testing.vocabulary().encode(TEXTS)
        rows = encode_texts(testing.vocabulary(), TEXTS, 12)
        self.assertLen(rows, 5)
        self.assertEqual(rows.truncated, 1)
        tokens = rows.padded(14)
        self.assertEqual((tokens.shape, tokens.dtype), ((5, 14), np.int32))
        for number, ids in enumerate(whole):
            expected = [*ids[:11], EOS]
            self.assertEqual(rows.row(number).tolist(), expected)
            self.assertEqual(rows.lengths()[number], len(expected))
            padding = [0] * (14 - len(expected))
            self.assertEqual(tokens[number].tolist(), expected + padding)

    def test_a_text_that_just_fits_is_not_cut(self):
        (ids,) = testing.vocabulary().encode(["dada zuzu"])
        for room, truncated in ((len(ids) + 1, 0), (len(ids), 1)):
            rows = encode_texts(testing.vocabulary(), ["dada zuzu"], room)
            self.assertEqual(rows.truncated, truncated)
            self.assertEqual(rows.lengths().tolist(), [room])

    def test_without_a_length_nothing_is_cut(self):
        rows = encode_texts(testing.vocabulary(), TEXTS)
        self.assertEqual(rows.truncated, 0)
        whole = testing.vocabulary().encode(TEXTS)
        self.assertEqual(rows.lengths().tolist(), [len(i) + 1 for i in whole])

    def test_chosen_rows(self):
        rows = TokenRows(np.array([5, 6, 7, 8, 1]), np.array([0, 2, 2, 5]))
        chosen = np.array([2, 0])
        self.assertEqual(rows.lengths(chosen).tolist(), [3, 2])
        self.assertEqual(
            rows.padded(4, chosen).tolist(), [[7, 8, 1, 0], [5, 6, 0, 0]]
        )

    @parameterized.parameters(("text",), (None,), ([["a"]],), (["a", 1],))
    def test_what_is_no_list_of_texts_is_refused(self, texts):
        with self.assertRaisesRegex(InputError, "^texts.*: is not a"):
            encode_texts(testing.vocabulary(), texts, 12)

    def test_no_texts(self):
        rows = encode_texts(testing.vocabulary(), [], 12)
        self.assertEmpty(rows)
        self.assertEqual(rows.padded(12).shape, (0, 12))


class EncodeInGraphTest(parameterized.TestCase):
    @parameterized.parameters(2, 3, 7, 12, 200)
    def test_equals_the_python_version(self, length):
        vocabulary = testing.vocabulary()
        (ids,) = vocabulary.encode(["dada zuzu"])
        lengths = {length, len(ids), len(ids) + 1}  # Just fits, just does not.
        for each in lengths:
            encode = tf.function(
                lambda text, each=each: encode_in_graph(
                    vocabulary.tokenizer, text, each
                )
            )
            tokens, mask, truncated = encode(tf.constant(TEXTS))
            rows = encode_texts(vocabulary, TEXTS, each)
            expected = rows.padded(int(rows.lengths().max()))
            self.assertEqual(tokens.dtype, tf.int32)
            np.testing.assert_array_equal(tokens, expected)
            np.testing.assert_array_equal(mask, expected != 0)
            self.assertEqual(int(truncated.numpy().sum()), rows.truncated)


if __name__ == "__main__":
    absltest.main()
