"""An mT5 with a vocabulary of mT5's kind: against transformers.

The golden files say what transformers makes of the same folder. Its T5Tokenizer
has no byte fallback (version 5), so where it gives <unk> the ids are compared
with SentencePiece's alone, which mT5 was trained with.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import shutil

import numpy as np
import tokenizers
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.inference import load_pretrained, save_hugging_face
from spactor_tf.inference.pretrained import save_pretrained
from spactor_tf.model import t5
from spactor_tf.model.hugging_face import tensors_of

GOLDEN = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = GOLDEN / "testdata/mt5_vocabulary"


def without_padding(rows):
    return [row[row != 0].tolist() for row in rows]


class MT5Test(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with np.load(GOLDEN / "golden.npz") as arrays:
            cls.golden = dict(arrays)
        cls.texts = cls.golden["texts"].tolist()
        cls.model = load_pretrained(GOLDEN)

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def test_ids_are_those_of_sentencepiece_and_of_transformers(self):
        found = [
            [*ids.tolist(), 1]
            for ids in self.model.vocabulary.encode(self.texts)
        ]
        self.assertEqual(found, without_padding(self.golden["sentencepiece"]))
        same = 0
        for text, mine, theirs in zip(
            self.texts, found, without_padding(self.golden["ids"]), strict=True
        ):
            # Nor does it keep tabs.
            if self.model.vocabulary.unk_id not in theirs and "\t" not in text:
                self.assertEqual(mine, theirs)
                same += 1
        self.assertGreaterEqual(same, 6)

    def test_the_last_pieces_are_the_sentinels(self):
        vocabulary = self.model.vocabulary
        first = int(self.golden["first_sentinel"])
        np.testing.assert_array_equal(
            vocabulary.sentinel_ids, first - np.arange(100)
        )
        # The mask takes the first of the spare rows.
        self.assertEqual(vocabulary.mask_id, first + 1)
        self.assertEqual(self.model.backbone.vocabulary_size, first + 13)

    def test_greedy_ids_and_texts(self):
        ids = self.golden["ids"].astype(np.int32)
        inputs = {
            "encoder_token_ids": ids,
            "encoder_padding_mask": (ids != 0).astype(np.int32),
        }
        given = self.golden["greedy"]
        decoder = np.zeros((len(ids), 1), np.int32)
        ended = np.zeros(len(ids), bool)
        for _ in range(given.shape[1]):
            hidden = self.model.backbone(
                inputs
                | {
                    "decoder_token_ids": decoder,
                    "decoder_padding_mask": np.ones_like(decoder),
                }
            )["decoder_sequence_output"]
            logits = np.asarray(t5.lm_logits(self.model.backbone, hidden))
            best = np.where(ended, 0, logits[:, -1].argmax(-1))
            ended |= best == 1
            decoder = np.concatenate([decoder, best[:, None]], 1)
            decoder = decoder.astype(np.int32)
        np.testing.assert_array_equal(decoder[:, 1:], given)

    def test_gaps_are_filled(self):
        text = "The film was <extra_id_0> than the <extra_id_1> and good."
        (answer,) = self.model.fill([text], max_span=2)
        self.assertRegex(answer, "^<extra_id_0> .* ?<extra_id_1> ")

    @parameterized.parameters("hugging_face", "keras_hub")
    def test_what_goes_out_comes_back_bit_for_bit(self, form):
        path = self.folder / form
        if form == "hugging_face":
            save_hugging_face(path, self.model)
        else:
            save_pretrained(path, self.model.backbone, self.model.vocabulary)
        found = load_pretrained(path)
        expected = tensors_of(self.model.backbone)
        for name, array in tensors_of(found.backbone).items():
            np.testing.assert_array_equal(array, expected[name], strict=True)
        for name in ("sentinel_ids", "special_ids"):
            ours = getattr(self.model.vocabulary, name).tolist()
            self.assertContainsSubset(ours, getattr(found.vocabulary, name))
        for mine, before in zip(
            found.vocabulary.encode(self.texts),
            self.model.vocabulary.encode(self.texts),
            strict=True,
        ):
            np.testing.assert_array_equal(mine, before)

    def test_written_tokenizer_reads_as_sentencepiece_does(self):
        save_hugging_face(self.folder / "out", self.model)
        path = self.folder / "out/tokenizer.json"
        reader = tokenizers.Tokenizer.from_file(str(path))
        found = [reader.encode(text).ids for text in self.texts]
        self.assertEqual(found, without_padding(self.golden["sentencepiece"]))

    def test_too_few_rows_are_refused(self):
        folder = self.folder / "few"
        shutil.copytree(GOLDEN, folder)
        vocabulary = self.model.vocabulary.padded(504)
        vocabulary.save(folder / "spiece.model")
        with self.assertRaisesRegex(InputError, "fewer rows.*got 503"):
            load_pretrained(folder)


if __name__ == "__main__":
    absltest.main()
