"""Documents of TensorFlow Datasets, with stand-ins and with real data."""

import hashlib
import os
import pathlib
import shutil
import unittest
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl.testing import absltest, parameterized

from runkit import InputError
from runkit.files import changes
from spactor_tf.data.sources import Source


class TfdsSpecTest(parameterized.TestCase):
    def test_name_that_is_not_prepared_says_how_to_prepare_it(self):
        empty = self.create_tempdir().full_path
        # TFDS reads its variable when it is imported, so that is too late.
        import tensorflow_datasets as tfds

        builder = tfds.builder("imdb_reviews/plain_text", data_dir=empty)
        self.enter_context(
            mock.patch.object(tfds, "builder", lambda name, **_: builder)
        )
        with self.assertRaisesRegex(
            InputError, "'imdb_reviews/plain_text'.*TFDS_DATA_DIR.*tfds build"
        ):
            Source("tfds:imdb_reviews/plain_text")

    @parameterized.parameters("imdb_review", "glue/colla", "x/../y")
    def test_unknown_name(self, name):
        with self.assertRaisesRegex(InputError, "--dataset: TFDS does not"):
            Source(f"tfds:{name}")


class TfdsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        if not os.environ.get("TFDS_DATA_DIR"):
            raise unittest.SkipTest("TFDS_DATA_DIR is not set: no real data")

    def test_texts_of_a_split(self):
        spec = "tfds:imdb_reviews/plain_text:unsupervised"
        texts = list(Source(spec, max_documents=5))
        self.assertLen(texts, 5)
        self.assertEqual(texts, list(Source(spec, max_documents=5)))
        self.assertGreater(min(map(len, texts)), 30)

    def test_version_part_of_a_split_and_feature(self):
        self.assertLen(
            list(Source("tfds:glue/wnli:2.0.0:test[:10]:sentence1")), 10
        )
        first = list(Source("tfds:glue/wnli:train[:1%]:sentence1"))
        second = list(Source("tfds:glue/wnli:train[:1%]:sentence2"))
        self.assertLen(first, 6)
        self.assertNotEqual(first, second)

    def test_a_data_set_that_was_prepared_anew_is_another_one(self):
        import tensorflow_datasets as tfds

        folder = self.create_tempdir().full_path
        here = pathlib.Path(os.environ["TFDS_DATA_DIR"], "glue", "wnli")
        shutil.copytree(here, pathlib.Path(folder, "glue", "wnli"))
        builder = tfds.builder("glue/wnli", data_dir=folder)
        self.enter_context(
            mock.patch.object(tfds, "builder", lambda name, **_: builder)
        )
        spec = "tfds:glue/wnli:train[:9]:sentence1"
        source = Source(spec)
        before = source.content()
        (name,) = before
        self.assertStartsWith(name, "glue/wnli/2.0.0/")  # Not where it lies.
        self.assertLen(list(source), 9)
        self.assertEqual(source.reading()["files"], 1)
        (counts,) = source.reading()["by_file"].values()
        self.assertEqual(counts["documents"], 9)
        source.check_unchanged()
        (path,) = builder.info.splits["train"].filepaths
        path.write_bytes(path.read_bytes()[:-9])
        now = Source(spec)
        self.assertNotEqual(now.fingerprint, source.fingerprint)
        self.assertLen(changes(before, now.content(before)), 1)
        with self.assertRaisesRegex(InputError, "while it was read.*wnli"):
            source.check_unchanged()
        with self.assertRaisesRegex(InputError, "wnli/2.0.0.*truncated rec"):
            list(Source("tfds:glue/wnli:train:sentence1"))
        # The record of a run that an earlier version began stays.
        digest = hashlib.sha256(b'"glue/wnli/2.0.0"').hexdigest()
        for key in ("dataset", spec):
            old = now.content({key: {"sha256": digest}})
            self.assertEqual(old, {"dataset": {"sha256": digest}})

    @parameterized.parameters(
        ("tfds:glue/cola:trian", "no such split.*'trian'.*'train'"),
        ("tfds:glue/cola:train[:x]", "no such split"),
        ("tfds:glue/cola:train:sentense", "text feature.*Did.*'sentence'"),
        ("tfds:glue/cola:train:label", "no such text feature.*'label'"),
        ("tfds:cifar10:train:image", "no such text feature.*'image'"),
        ("tfds:glue/cola:train:sentence:label:x", "too many parts"),
        ("tfds:glue/wnli:train", "several text features.*sentence1"),
    )
    def test_bad_parts(self, spec, pattern):
        with self.assertRaisesRegex(InputError, pattern):
            Source(spec)

    def test_images_have_one_text_that_is_no_prose_but_no_error(self):
        self.assertLen(list(Source("tfds:cifar10:test[:2]")), 2)  # Their ids.


if __name__ == "__main__":
    absltest.main()
