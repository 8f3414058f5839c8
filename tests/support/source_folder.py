"""Datasets of tests: a folder of files, and TFDS datasets in memory."""

import gzip
import os
import pathlib
from typing import Any
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl.testing import parameterized

from runkit import InputError
from spactor_tf.data.sources import Source


class FolderTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode("utf-8")
        if name.endswith(".gz"):
            content = gzip.compress(content)
        path.write_bytes(content)
        return path

    def read(self, rest, **options):
        return list(Source(f"text:{self.folder}/{rest}", **options))

    def refused(self, rest, pattern, **options):
        with self.assertRaisesRegex(InputError, pattern) as raised:
            self.read(rest, **options)
        return str(raised.exception)


class FakeBuilder:
    """A TFDS builder of given examples.

    Args:
        features: {name: feature of TFDS}.
        examples: {name: value} each, as a dataset's author writes them.
        splits: names; every split has all the examples.
    """

    def __init__(
        self,
        features: dict[str, Any],
        examples: list[dict[str, Any]],
        splits: tuple[str, ...] = ("train",),
    ):
        import tensorflow_datasets as tfds

        self._features = tfds.features.FeaturesDict(features)
        self._examples = examples
        self.info = mock.Mock(
            features=self._features,
            splits=dict.fromkeys(splits, mock.Mock(filepaths=[])),
            full_name="toy/1.0.0",
        )

    def as_dataset(self, split: str, **_: Any) -> Any:
        import tensorflow as tf

        written = [
            self._features.serialize_example(
                self._features.encode_example(example)
            )
            for example in self._examples
        ]
        return tf.data.Dataset.from_tensor_slices(
            tf.constant(written, tf.string)
        ).map(self._features.deserialize_example)


def patched(builder: FakeBuilder) -> Any:
    """Returns a context in which every TFDS name is that of `builder`."""
    return mock.patch(
        "runkit.datasets.prepared_data.prepared_builder",
        lambda name, *_, **__: builder,
    )
