"""Weighted corpora: exact shares, every store in its own order."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.data.corpus import prepare_corpus
from spactor_tf.data.pretraining import train_pipeline
from spactor_tf.data.sources import weighted_parts
from spactor_tf.data.step_pipeline import Share
from spactor_tf.data.tokens.mixture import (
    MixedStore,
    batches_of_windows,
    turns_in_a_round,
)
from tests.support import testing


class PartsTest(parameterized.TestCase):
    @parameterized.parameters(
        ("docstrings", [("docstrings", 1.0)]),
        ("text:a,b.txt", [("text:a,b.txt", 1.0)]),
        ("text:me@home.txt", [("text:me@home.txt", 1.0)]),
        (
            "text:a@b.txt@0.7,jsonl:c:d@.3",
            [("text:a@b.txt", 0.7), ("jsonl:c:d", 0.3)],
        ),
        ("text:a@3,text:b@1", [("text:a", 3.0), ("text:b", 1.0)]),
        ("text:a@0.5,text:b", "has no weight; got 'text:b'"),
        ("text:a@1e-1, text:b@2.", [("text:a", 0.1), ("text:b", 2.0)]),
        ("text:a,text:b", "has no weight; got 'text:a'"),
        ("text:a@50%,text:b@50%", "has no weight; got 'text:a@50%'"),
        ("text:a@0,text:b@1", "a weight is not positive"),
        ("text:a@-1,text:b@-2", "a weight is not positive"),
        ("text:a@-1", "a weight is not positive"),
        (f"text:a@1{'0' * 400},text:b@1", "a weight is not positive"),
        ("text:a@1e308,text:b@1e308", "their sum not finite"),
    )
    def test_parts(self, spec, expected):
        if isinstance(expected, str):
            with self.assertRaisesRegex(InputError, expected):
                weighted_parts(spec)
        else:
            self.assertEqual(weighted_parts(spec), expected)


class TurnsTest(parameterized.TestCase):
    @parameterized.parameters(
        ([1.0], [10_000]),
        ([0.7, 0.3], [7000, 3000]),
        ([2, 1, 1], [5000, 2500, 2500]),
        ([1, 1, 1], [3333, 3334, 3333]),
    )
    def test_shares_are_exact_and_spread(self, weights, counts):
        owners = turns_in_a_round(weights)
        self.assertEqual(np.bincount(owners).tolist(), counts)
        # Any 100 turns hold as many of a store as its share says, or one off.
        for number, count in enumerate(counts):
            mine = np.cumsum(owners == number)
            window = mine[100:] - mine[:-100]
            expected = 100 * count / len(owners)
            self.assertLessEqual(np.abs(window - expected).max(), 2)

    def test_a_share_without_a_turn(self):
        with self.assertRaisesRegex(InputError, "too small a share"):
            turns_in_a_round([1, 1e-6])
        # Before anything is read, which may take hours.
        config = testing.tiny_config(**{"data.dataset": "text:a@1,text:b@1e-6"})
        with self.assertRaisesRegex(InputError, "too small a share"):
            prepare_corpus(config, self.create_tempdir().full_path)


class StoresTest(absltest.TestCase):
    def test_batches_are_a_function_of_the_step(self):
        folder = self.create_tempdir().full_path
        # Windows of one token; the stores' tokens are even and odd.
        store = MixedStore(
            [
                testing.write_store(f"{folder}/a", [range(0, 60, 2)]),
                testing.write_store(
                    f"{folder}/b", [range(1, 9, 2), range(9, 15, 2)]
                ),
            ],
            [0.75, 0.25],
        )

        def read(first, end, low=0, high=8, rows=4):
            share = Share(first, end, 8, low, high, rows)
            return [
                (example.numpy().tolist(), window[:, 0].numpy().tolist())
                for example, window in batches_of_windows(store, 1, 5, share)
            ]

        whole = read(0, 160)
        tokens = np.concatenate([tokens for _, tokens in whole])
        examples = np.concatenate([numbers for numbers, _ in whole])
        self.assertEqual(examples.tolist(), list(range(160)))
        odd = tokens[tokens % 2 == 1]
        self.assertLen(odd, 40)
        # Every pass of each store has each of its windows once.
        for one in (odd[:7], odd[7:14]):
            self.assertEqual(sorted(one), list(range(1, 15, 2)))
        even = tokens[tokens % 2 == 0]
        self.assertEqual(sorted(even[:30]), list(range(0, 60, 2)))
        # Two hosts of two replicas, from step 9 on.
        parts = [read(72, 160, 4 * h, 4 * h + 4, 2) for h in (0, 1)]
        found = [
            batch[1]
            for a, b, c, d in zip(
                parts[0][::2],
                parts[0][1::2],
                parts[1][::2],
                parts[1][1::2],
                strict=True,
            )
            for batch in (a, b, c, d)
        ]
        self.assertEqual(np.concatenate(found).tolist(), tokens[72:].tolist())

    def test_a_run_reads_two_corpora(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        (folder / "b").mkdir()
        texts = [text.upper() for text in testing.documents(60)]
        (folder / "b.txt").write_text("\n\n".join(texts), encoding="utf-8")
        one = testing.write_corpus(folder)
        spec = f"{one}@0.6,text:{folder}/b.txt:blank_lines@0.4"
        config = testing.tiny_config(**{"data.dataset": spec})
        corpus = prepare_corpus(config, folder / "cache")
        parts = corpus.train.parts
        self.assertLen(parts, 2)
        self.assertEqual(
            corpus.reading["documents"], len(testing.documents()) + 60
        )
        self.assertLen(corpus.content, 2)
        # Alone, with this vocabulary, they are the same stores.
        again = prepare_corpus(
            testing.tiny_config(**{"data.dataset": one}),
            folder / "cache",
            corpus.vocabulary,
        )
        self.assertEqual(again.train.path, parts[0].path)
        pipeline = train_pipeline(config, corpus.train, corpus.vocabulary, True)
        (batch,) = pipeline.dataset(3, 4)
        self.assertLen(batch["encoder_tokens"], config.batch_size)


if __name__ == "__main__":
    absltest.main()
