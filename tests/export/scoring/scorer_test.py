"""Scoring of pools: order, batches, resuming, ids."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import pathlib
import shutil
import sys
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from absl.testing import absltest, parameterized
from pyarrow import parquet

from al_tf.inputs.pool_files import read_pool
from export import score_main
from export.scoring import scorer
from export.scoring.texts import pool_ids, pool_texts
from export.transports import RemoteError
from runkit import InputError
from tests.support.faults import killed


def fake_predict(signature, inputs):
    """Margins that tell which text they belong to."""
    numbers = np.array([int(text) for text in inputs["text"]], np.float32)
    return {"embedding": np.stack([numbers, -numbers], 1), "margin": numbers}


class ScorerTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path) / "scores"
        self.texts = [str(10 ** (i % 5) + i) for i in range(23)]

    def score(self, predict=fake_predict, texts=None, **options):
        options = {"model": "m", "shard_size": 5, "batch_size": 2, **options}
        return scorer.score_pool(
            predict, texts or self.texts, self.folder, **options
        )

    def test_order_is_that_of_the_texts(self):
        scores = self.score()
        expected = [float(text) for text in self.texts]
        self.assertEqual(scores.margins.tolist(), expected)
        self.assertEqual(
            scores.embeddings[:, 1].tolist(), [-e for e in expected]
        )
        written = np.load(self.folder / "margins.npy", allow_pickle=False)
        self.assertEqual(written.tolist(), expected)

    def batches(self, lengths, **options):
        """Numbers of bytes of the texts of each call, for such texts."""
        calls = []

        def predict(signature, inputs):
            self.assertEqual(signature, "classify")
            calls.append([len(text) for text in inputs["text"]])
            rows = len(inputs["text"])
            return {
                "embedding": np.zeros((rows, 1), np.float32),
                "margin": np.zeros(rows, np.float32),
                "truncated": np.array(calls[-1]) > 6,
            }

        self.score(
            predict,
            ["x" * length for length in lengths],
            shard_size=len(lengths),
            **options,
        )
        return calls

    def test_similar_lengths_share_calls_of_bounded_size(self):
        found = self.batches([5, 0, 2, 6, 1, 3], batch_size=3, batch_bytes=10)
        self.assertEqual(found, [[0, 1, 2], [3, 5], [6]])

    @parameterized.parameters(
        # Not both of [3, 7] are cut.
        (
            [3, 7, 7, 100, 200, 300, 400],
            [[3, 7], [7], [100], [200], [300], [400]],
        ),
        ([7, 7, 100, 200, 300], [[7, 7], [100, 200], [300]]),
    )
    def test_texts_that_are_cut_cost_no_more(self, lengths, expected):
        found = self.batches(lengths, batch_size=4, batch_bytes=14)
        self.assertEqual(found, expected)

    def test_resumes_after_an_interruption(self):
        calls = []

        def failing(signature, inputs):
            calls.append(len(inputs["text"]))
            if len(calls) == 8:
                raise RemoteError("UNAVAILABLE", "gone")
            return fake_predict(signature, inputs)

        with self.assertRaises(RemoteError):
            self.score(failing)
        self.assertFalse((self.folder / "margins.npy").exists())
        shards = self.folder / "shards"
        self.assertLen(list(shards.iterdir()), 2)
        (shards / "00000.npz").write_bytes(b"damaged")
        calls.clear()

        def counting(signature, inputs):
            calls.append(len(inputs["text"]))
            return fake_predict(signature, inputs)

        scores = self.score(counting)
        self.assertEqual(sum(calls), 23 - 5)  # All but the one whole shard.
        self.assertEqual(
            scores.margins.tolist(), [float(text) for text in self.texts]
        )

    def test_foreign_scores_are_refused(self):
        self.score()
        with self.assertRaisesRegex(InputError, "another model"):
            self.score(model="other")
        with self.assertRaisesRegex(InputError, "another model or shard"):
            self.score(shard_size=6)
        with self.assertRaisesRegex(InputError, "other texts"):
            self.score(texts=[*self.texts[:-1], "7"])
        with self.assertRaisesRegex(InputError, "no texts"):
            scorer.score_pool(fake_predict, [], self.folder / "none", model="m")


class PoolTextsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = pathlib.Path(self.create_tempdir().full_path)
        self.path = folder / "pool.jsonl"

    def test_every_row_counts(self):
        rows = ["one", "", "  ", "\u05e9"]
        self.path.write_text(
            "".join(json.dumps({"t": r, "label": 1}) + "\n" for r in rows)
        )
        found = list(pool_texts(f"jsonl:{self.path}:t:label"))
        self.assertEqual(found, [b"one", b"", b"  ", b"\xd7\xa9"])

    @parameterized.parameters(
        ("jsonl", "Did you mean 'key'"),
        # Of Parquet, only the columns that are asked for are read.
        ("parquet", "row 0: has no field 'keys'"),
    )
    def test_scores_with_ids_are_a_pool(self, kind, message):
        rows = [{"t": t, "key": f"k{t}"} for t in "312"]
        if kind == "jsonl":
            self.path.write_text("".join(json.dumps(r) + "\n" for r in rows))
        else:
            parquet.write_table(pa.Table.from_pylist(rows), self.path)
        spec = f"{kind}:{self.path}:t"
        ids = pool_ids(spec, "key")
        folder = self.path.parent / "scores"
        scores = scorer.score_pool(
            fake_predict, pool_texts(spec), folder, model="m"
        )
        path = scorer.write_table(folder, scores, ids)
        pool = read_pool(path)
        self.assertEqual(pool.ids.tolist(), ["k1", "k2", "k3"])
        np.testing.assert_array_equal(
            pool.parts[0], scores.embeddings[[1, 2, 0]]
        )
        margins = parquet.read_table(path)["margin"].to_numpy()
        np.testing.assert_array_equal(margins, scores.margins)
        with self.assertRaisesRegex(InputError, message):
            pool_ids(spec, "keys")

    @parameterized.parameters(
        ('{"t": "a"}\n{"t": 1}', "line 2"),
        ('{"u": "a"}', "line 1"),
        ("[]", "line 1"),
        ("nonsense", "line 1"),
        ('{"t": "\\ud800"}', "line 1: holds half of a character"),
    )
    def test_bad_rows(self, text, message):
        self.path.write_text(text)
        with self.assertRaisesRegex(InputError, message):
            list(pool_texts(f"jsonl:{self.path}:t"))

    @parameterized.parameters(
        ("jsonl:none.jsonl:t", "no file matches"),
        ("jsonl:x", "no text field"),
        ("json:x:t", "Did you mean 'jsonl'"),
        ("tfds:no_such_set", "TFDS does not know it"),
    )
    def test_bad_specifications(self, spec, message):
        with self.assertRaisesRegex(InputError, message):
            list(pool_texts(spec))

    def test_scores_do_not_go_into_a_folder_of_others(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        (folder / "checkpoints").mkdir()
        with self.assertRaisesRegex(
            InputError, "holds files but no scores; got 'checkpoints'"
        ):
            scorer.score_pool(None, ["a"], folder, model="m")
        self.assertEqual([p.name for p in folder.iterdir()], ["checkpoints"])

    def test_damaged_facts_are_named(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        (folder / "scoring.json").write_text("[1]")
        with self.assertRaisesRegex(InputError, "scoring.json: is damaged"):
            scorer.score_pool(None, ["a"], folder, model="m")

    def test_exactly_one_source_of_scores(self):
        values = mock.Mock(model_dir=None, server=None)
        with self.assertRaisesRegex(InputError, "exactly one"):
            score_main.asked_model(values)


def score_numbers():
    """What is killed; its argument is the folder of the scores."""
    scorer.score_pool(
        fake_predict,
        map(str, range(23)),
        sys.argv[1],
        model="m",
        shard_size=5,
        batch_size=2,
    )


@pytest.mark.slow
class KillTest(absltest.TestCase):
    def test_resumes_at_the_shard_that_was_interrupted(self):
        base = pathlib.Path(self.create_tempdir().full_path)
        folder = base / "scores"
        moments = killed.moments(
            self,
            f"{score_numbers.__module__}:score_numbers",
            folder,
            [folder],
            base / "counts.json",
        )
        next(moments)
        kills = 0
        shutil.rmtree(folder)
        for moment in moments:
            with self.subTest(str(moment)):
                kills += 1
                done = len(list((folder / "shards").glob("*.npz")))
                again = mock.Mock(side_effect=fake_predict)
                scores = scorer.score_pool(
                    again,
                    map(str, range(23)),
                    folder,
                    model="m",
                    shard_size=5,
                    batch_size=2,
                )
                # Three calls for a shard of five texts, two for the last.
                calls = max(0, 14 - 3 * done)
                self.assertEqual(again.call_count, calls)
                self.assertEqual(scores.margins.tolist(), list(range(23)))
            shutil.rmtree(folder, ignore_errors=True)
        self.assertEqual(kills, 20)


if __name__ == "__main__":
    absltest.main()
