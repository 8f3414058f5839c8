"""Equal texts of a corpus."""

import json
import pathlib

import numpy as np
from absl.testing import absltest

from al_tf.duplicates.texts import Corpus
from runkit import InputError


class CorpusTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def corpus(self, *rows, **options):
        path = self.folder / "c.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return Corpus(f"jsonl:{path}:text", **options)

    def test_the_first_of_equal_texts_owns_the_others(self):
        texts = ["b", "a", "b", "B", "", "a", "b ", "", "a"]
        corpus = self.corpus(*({"text": text} for text in texts))
        self.assertEqual(corpus.copies().tolist(), [0, 1, 0, 3, 4, 1, 6, 4, 1])

    def test_many_texts_against_a_dictionary(self):
        numbers = np.random.default_rng(0).integers(0, 300, 3000).tolist()
        corpus = self.corpus(*({"text": f"n {i}"} for i in numbers))
        first: dict[int, int] = {}
        expected = [first.setdefault(i, at) for at, i in enumerate(numbers)]
        self.assertEqual(corpus.copies().tolist(), expected)

    def test_no_texts(self):
        with self.assertRaisesRegex(InputError, "--dataset: holds no texts"):
            self.corpus().copies()
        with self.assertRaisesRegex(InputError, "--dataset: holds no texts"):
            self.corpus().embed(len)

    def test_embeddings_keep_the_order_of_the_texts(self):
        corpus = self.corpus(*({"text": "x" * i} for i in range(2500)))
        rows = corpus.embed(lambda t: np.array([[len(x)] for x in t], "f"))
        np.testing.assert_array_equal(rows[:, 0], np.arange(2500))

    def test_ids(self):
        rows = [{"text": "a", "id": "x"}, {"text": "b", "id": "y"}]
        self.assertIsNone(self.corpus(*rows).ids())
        self.assertEqual(
            self.corpus(*rows, id_column="id").ids().tolist(), ["x", "y"]
        )
        with self.assertRaisesRegex(InputError, "occur more than once: 'x'"):
            self.corpus(*rows, rows[0], id_column="id").ids()
        with self.assertRaisesRegex(InputError, "are not ids"):
            self.corpus(*rows, {"text": "c", "id": 3}, id_column="id").ids()


if __name__ == "__main__":
    absltest.main()
