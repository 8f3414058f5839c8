"""Tokenized corpora on disk or in object storage.

A store is a folder of shards, each a flat array of token ids (documents joined
by EOS), and an index. Training reads windows of it: the stream is split into
consecutive windows of one length, the last one moved back so that it ends with
the stream; every pass reads every token.

    shard-00000.tokens ...   uint16 or int32, little endian
    shard-00000.json ...     {"tokens", "documents", "read"}
    index.json               written last: {"tokens", "documents", ...}
    fingerprints.json        of published stores; see `published`
"""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np

from runkit import InputError, read_json
from runkit.files import as_path, file_sizes

FINGERPRINTS = "fingerprints.json"
PREPARE_AGAIN = "Delete the folder; it is prepared again"


@dataclasses.dataclass(frozen=True)
class StoreLayout:
    """What the order of a store's windows depends on besides the seed.

    Attributes:
        shard_tokens: tokens after which a shard is closed: 8 MiB of uint16,
            read in one piece.
        mixed_shards: shards whose windows are shuffled together; None mixes
            the whole store, which then has to fit into memory.
    """

    shard_tokens: int = 1 << 22
    mixed_shards: int | None = 8


LAYOUT = StoreLayout()
# Of the runs that were begun before the layout was recorded.
FIRST_LAYOUT = StoreLayout(1 << 24, None)


class TokenStore:
    """A prepared split, opened for reading.

    Attributes:
        path: folder of the split, local or in object storage.
        num_tokens: tokens of the split.
        num_documents: documents of the split.
        shard_tokens: [shards] int64, tokens of each shard.
        dtype: of the stored tokens, "<u2" or "<i4".
        mixed_shards: shards whose windows are shuffled together, at least 1.
        fingerprints: [shards] uint64 that shards are compared with when they
            are read, or None.
        dataset: specification of the text, for messages; "" if unknown.

    Args:
        path: folder of the split; of a URL all sizes are listed at once.
        mixed_shards: see `StoreLayout`.

    Raises:
        InputError: not a store, or one whose shards are incomplete.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        mixed_shards: int | None = StoreLayout.mixed_shards,
    ):
        self.path: pathlib.Path = as_path(path)
        self.fingerprints: np.ndarray | None = None
        self.dataset = ""
        index = read_json(self.path / "index.json")
        try:
            self.dtype = np.dtype(index["dtype"])
            self.num_tokens: int = index["tokens"]
            self.num_documents: int = index["documents"]
            self.shard_tokens = np.array(index["shard_tokens"], np.int64)
        except (KeyError, TypeError, ValueError):
            raise InputError(
                "is not the index of a token store",
                where=str(self.path / "index.json"),
                remedy=PREPARE_AGAIN,
            ) from None
        sizes = file_sizes(self.path)
        for number, tokens in enumerate(self.shard_tokens):
            name = f"shard-{number:05d}.tokens"
            expected = int(tokens) * self.dtype.itemsize
            self._check_shard(name, sizes.get(name), expected)
        shards = len(self.shard_tokens)
        self.mixed_shards = max(1, min(mixed_shards or shards, shards))

    def _check_shard(self, name: str, got: int | None, size: int) -> None:
        if got != size:
            raise InputError(
                "is missing"
                if got is None
                else "has another size than the index says",
                where=str(self.path / name),
                got=got,
                expected=f"{size} bytes",
                remedy=PREPARE_AGAIN,
            )

    def check_window(self, length: int) -> None:
        """Raises InputError if the split is shorter than one window."""
        if self.num_tokens < length:
            raise InputError(
                "the corpus is shorter than one window",
                where=f"--dataset, {self.dataset or self.path.parent}, "
                f"{self.path.name} part",
                got=f"{self.num_tokens} tokens",
                expected=f"at least {length} tokens",
                remedy="Take more text, a smaller corruption.input_length or "
                "another data.holdout_fraction",
            )

    def num_windows(self, length: int) -> int:
        """Returns the windows of that length in one pass over all tokens.

        Raises:
            InputError: the split is shorter than one window.
        """
        self.check_window(length)
        return -(-self.num_tokens // length)
