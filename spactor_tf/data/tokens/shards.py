"""Shards of a token store, read whole or at their head inside a graph.

TensorFlow's own file systems read local files and `gs://`. Its builds have none
for `s3://` and `az://`: there a Python operation asks the driver of fsspec, so
such a graph runs only in the process that made it.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from runkit.files import read_object, url_scheme
from spactor_tf.data.tokens.store import TokenStore

DAMAGED = "damaged: a shard is not what was published"
_READ_BYTES = 1 << 23


def fingerprint(content: tf.Tensor) -> tf.Tensor:
    """Returns FarmHash64 of bytes: [] string to [] uint64."""
    data = tf.io.decode_raw(content, tf.uint8)
    return tf.bitcast(tf.fingerprint(data[tf.newaxis])[0], tf.uint64)


class ShardFiles:
    """The files of a store's shards.

    Args:
        store: whose fingerprints, if it has them, the shards must have.
    """

    def __init__(self, store: TokenStore):
        self._folder = str(store.path)
        scheme = url_scheme(self._folder)
        schemes = tf.io.gfile.get_registered_schemes()
        self._is_native = not scheme or scheme in schemes
        self._fingerprints = None
        if store.fingerprints is not None:
            self._fingerprints = store.fingerprints.view(np.int64)
        self.dtype = tf.uint16 if store.dtype == "<u2" else tf.int32
        self._width = store.dtype.itemsize

    def whole(self, number: tf.Tensor) -> tf.Tensor:
        """Returns all tokens of a shard.

        Args:
            number: [] int64.

        Returns:
            [tokens] of `dtype`.
        """
        path = self._path(number)
        if self._is_native:
            content = tf.io.read_file(path)
        else:
            content = _by_driver(path, tf.constant(-1, tf.int64))
        if self._fingerprints is not None:
            found = tf.bitcast(fingerprint(content), tf.int64)
            expected = tf.gather(self._fingerprints, number)
            check = tf.debugging.Assert(found == expected, [DAMAGED, path])
            with tf.control_dependencies([check]):
                content = tf.identity(content)
        return tf.io.decode_raw(content, self.dtype)

    def head(
        self, number: tf.Tensor, tokens: tf.Tensor, size: tf.Tensor
    ) -> tf.Tensor:
        """Returns the first tokens of a shard.

        Args:
            number: [] int64.
            tokens: [] int64, how many; at least 1.
            size: [] int64, tokens of the shard.
        """
        path, record = self._path(number), tokens * self._width
        if self._is_native:
            records = tf.data.FixedLengthRecordDataset(
                path,
                record,
                footer_bytes=size * self._width - record,
                buffer_size=tf.minimum(record, _READ_BYTES),
            )
            content = records.get_single_element()
        else:
            content = _by_driver(path, record)
        return tf.io.decode_raw(content, self.dtype)

    def _path(self, number: tf.Tensor) -> tf.Tensor:
        digits = tf.strings.as_string(number, width=5, fill="0")
        return tf.strings.join([self._folder, "/shard-", digits, ".tokens"])


def _by_driver(path: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """The first `count` bytes of an object, all of them for -1."""

    def read(path: bytes, count: np.int64) -> bytes:
        return read_object(path.decode(), None if count < 0 else int(count))

    content = tf.numpy_function(read, [path, count], tf.string, stateful=False)
    return tf.ensure_shape(content, [])
