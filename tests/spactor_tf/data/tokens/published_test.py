"""Tokens in object storage: published whole, checked, read without a copy."""

import os
import pathlib
import shutil
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import absltest, parameterized

from runkit import InputError
from runkit.errors import InterruptedRun
from spactor_tf.data import corpus as corpus_lib
from spactor_tf.data.corruption import CorruptionLengths
from spactor_tf.data.pretraining import Pipeline
from spactor_tf.data.tokens.published import published_stores, reading_from
from spactor_tf.training.pretrain_run import pretrain
from tests.support import testing
from tests.support.bucket import bucket
from tests.support.storage.google import google, needs_openssl

URL = "s3://bucket/cache"
LENGTHS = CorruptionLengths(24, 4, 2, 23, 7, 3)
SHARDS = np.split(np.arange(9000) % 500, [1100, 3500, 3510, 5000, 7000])
SHARD_2 = "/bucket/cache/tokens/train/shard-00002.tokens"


def batches(store, first=0, end=60):
    pipeline = Pipeline(store, testing.vocabulary(), LENGTHS, 8, 3)
    return [
        {name: value.numpy() for name, value in batch.items()}
        for batch in pipeline.dataset(first, end)
    ]


class PublishedTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.bucket = self.enter_context(bucket())
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.prepared = 0

    def prepare(self, dtype="<u2"):
        self.prepared += 1
        return {
            split: testing.write_store(
                self.folder / split, SHARDS, dtype, mixed_shards=2
            )
            for split in ("train", "heldout")
        }

    def publish(self, **options):
        return published_stores(
            f"{URL}/tokens",
            self.folder,
            lambda: self.prepare(**options),
            mixed_shards=2,
        )

    def change(self, name, content):
        file = self.bucket.store[name]
        file.seek(0)
        file.truncate()
        file.write(content)

    def assert_same(self, found, expected):
        self.assertLen(found, len(expected))
        for ours, theirs in zip(found, expected, strict=True):
            self.assertEqual(ours.keys(), theirs.keys())
            for name, value in theirs.items():
                np.testing.assert_array_equal(ours[name], value, name)

    @parameterized.parameters("<u2", "<i4")
    def test_batches_are_those_of_the_local_store(self, dtype):
        remote = self.publish(dtype=dtype)
        expected = batches(self.prepare(dtype)["train"])
        for path in self.folder.rglob("*.tokens"):
            path.unlink()  # Nothing is read from here.
        self.assert_same(batches(remote["train"]), expected)
        self.assert_same(batches(remote["train"], 47, 52), expected[47:52])

    def test_it_is_prepared_once(self):
        self.publish()
        again = self.publish()
        self.assertEqual(self.prepared, 1)
        self.assertEqual(again["heldout"].num_tokens, 9000)

    def test_tensorflow_reads_without_python_where_it_can(self):
        store = self.publish()["train"]
        for path in (self.folder / "train").iterdir():
            with tf.io.gfile.GFile(f"ram://store/{path.name}", "wb") as file:
                file.write(path.read_bytes())
        store.path = "ram://store"
        expected = batches(self.prepare()["train"])
        self.assert_same(batches(store), expected)
        pipeline = Pipeline(store, testing.vocabulary(), LENGTHS, 8, 3)
        found = testing.graph_operations(pipeline.dataset(0, 5))
        self.assertIn("ReadFile", found)
        self.assertEmpty({name for name in found if "Py" in name})

    @needs_openssl
    def test_tensorflow_reads_from_google_in_whole_shards(self):
        store = self.publish()["train"]
        buckets = self.folder / "buckets"
        shutil.copytree(self.folder / "train", buckets / "bucket" / "train")
        store.path = "gs://bucket/train"
        expected = batches(self.prepare()["train"])
        log = self.folder / "log"
        with (
            log.open("wb") as reads,
            google(buckets, reads) as environment,
            mock.patch.dict(os.environ, environment),
        ):
            self.assert_same(batches(store), expected)
            (buckets / "bucket/train/shard-00001.tokens").unlink()
            with (
                self.assertRaisesRegex(InterruptedRun, "gs://.*00001"),
                reading_from("gs://bucket"),
            ):
                batches(store)
        self.assertIn("shard-00001.tokens 0 4800", log.read_text().split("\n"))

    def test_a_kill_while_it_is_published(self):
        self.bucket.failures_after = 5
        with self.assertRaisesRegex(InterruptedRun, "the bucket is gone"):
            self.publish()
        self.bucket.failures_after = None
        store = self.publish()["train"]
        self.assertEqual(self.prepared, 2)
        self.assert_same(batches(store), batches(self.prepare()["train"]))

    def test_a_bucket_that_cannot_be_written_costs_no_tokens(self):
        self.bucket.failures_after = 0
        with self.assertRaisesRegex(InputError, "--cache_dir: may not be"):
            self.publish()
        self.assertEqual(self.prepared, 0)

    def test_a_shard_with_another_byte(self):
        store = self.publish()["train"]
        content = bytearray(self.bucket.store[SHARD_2].getvalue())
        content[3] ^= 1
        self.change(SHARD_2, bytes(content))
        with (
            self.assertRaisesRegex(
                InputError, "damaged: .*cache/tokens/train/shard-00002.tokens"
            ),
            reading_from(URL),
        ):
            batches(store)

    @parameterized.parameters(
        ("shard-00002.tokens", b"12", "another size"),
        ("index.json", b"{", "is not JSON"),
        ("fingerprints.json", b"[1, 2]", "fingerprints"),
        ("fingerprints.json", b'["zz"]', "fingerprints"),
    )
    def test_what_is_wrong_is_told_at_the_door(self, name, content, message):
        self.publish()
        self.change(f"/bucket/cache/tokens/train/{name}", content)
        with self.assertRaisesRegex(InputError, f"{name}.*{message}"):
            self.publish()

    def test_a_shard_that_is_gone(self):
        self.publish()
        del self.bucket.store[SHARD_2]
        with self.assertRaisesRegex(InputError, "shard-00002.* is missing"):
            self.publish()

    def test_storage_that_fails_now_and_then(self):
        store = self.publish()["train"]
        self.bucket.failures = 2
        found = batches(store)
        self.assert_same(found, batches(self.prepare()["train"]))

    def test_storage_that_does_not_answer(self):
        store = self.publish()["train"]
        self.bucket.gone = True
        with (
            self.assertRaisesRegex(InterruptedRun, "reading s3://.*gone"),
            reading_from(URL),
        ):
            batches(store)

    def test_errors_of_a_step_pass(self):
        with self.assertRaises(tf.errors.OpError), reading_from(URL):
            tf.debugging.Assert(False, ["of a step"])


class CorpusTest(absltest.TestCase):
    """A cache at a URL, over machines."""

    def setUp(self):
        super().setUp()
        self.bucket = self.enter_context(bucket())
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        vocabulary = self.folder / "v.model"
        testing.vocabulary().save(vocabulary)
        self.fields = {
            "data.dataset": testing.write_corpus(self.folder),
            "data.vocabulary": str(vocabulary),
            "train_steps": 6,
            "runtime.checkpoint_every": 2,
        }

    def on_machine(self, name):
        """Makes the user's cache folder that of another machine."""
        cache = self.folder / name
        self.enter_context(
            mock.patch.dict(os.environ, XDG_CACHE_HOME=str(cache))
        )
        return cache

    def test_a_second_machine_prepares_nothing(self):
        config = testing.tiny_config(**self.fields)
        first = self.on_machine("one")
        corpus = corpus_lib.prepare_corpus(config, URL)
        self.assertNotEmpty([*first.rglob("*.tokens")])
        second = self.on_machine("two")
        again = corpus_lib.prepare_corpus(config, URL)
        self.assertEmpty([*second.rglob("*.tokens")])
        self.assertEqual(again.reading, corpus.reading)
        self.assertEqual(str(again.train.path)[: len(URL)], URL)

    @pytest.mark.slow  # Three runs.
    def test_a_run_that_reads_from_a_bucket_has_the_same_bits(self):
        config = testing.tiny_config(**self.fields)
        expected = pretrain(config, self.folder / "a", self.folder / "cache")
        self.on_machine("one")
        output = self.folder / "b"

        def gone(*_):  # All that is asked at the door was answered.
            self.bucket.gone = True

        with (
            mock.patch.object(corpus_lib.Corpus, "record", gone),
            self.assertRaisesRegex(InterruptedRun, "reading .*same command"),
        ):
            pretrain(config, output, URL)
        self.bucket.gone = False
        pretrain(config, output, URL)
        wanted, found = (
            testing.final_arrays(run) for run in (expected, output)
        )
        self.assertEqual(found.keys(), wanted.keys())
        for name, value in wanted.items():
            np.testing.assert_array_equal(found[name], value, name)


if __name__ == "__main__":
    absltest.main()
