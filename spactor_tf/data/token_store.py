"""Tokenized corpora on disk, read at random positions with little memory.

A store is a folder of shards, each a flat array of token ids (documents joined
by EOS), and an index. Training reads windows of it: the stream is split into
consecutive windows of one length, the last one moved back so that it ends with
the stream; every pass reads every token.

    shard-00000.tokens ...   uint16 or int32, little endian
    shard-00000.json ...     {"tokens", "documents", "read"}
    index.json               written last: {"tokens", "documents", ...}

Shards are written one by one under their final names, so a killed preparation
resumes after the last whole shard.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from runkit import InputError, Progress, atomic_write, read_json, write_json
from runkit.files import remove_leftovers
from spactor_tf.data.vocabulary import Vocabulary

BATCH_CHARACTERS = 4_000_000  # Text that is tokenized in one call.
SHARD_TOKENS = 1 << 24
MAX_OPEN_SHARDS = 256
_PREPARE_AGAIN = "Delete the folder; it is prepared again"
SPLITS = ("train", "heldout")


def is_held_out(text: str, fraction: float) -> bool:
    """Whether a document is kept for evaluation: a hash of its text.

    The same text is always on the same side, in any order and any number of
    copies; surrounding white space does not matter.
    """
    data = text.strip().encode("utf-8")
    digest = hashlib.blake2b(data, digest_size=8).digest()
    return int.from_bytes(digest, "little") < fraction * 2**64


class EmptySplit(InputError):
    """No document fell into one of the two parts of a corpus."""


class _Shard:
    """An open file that closes with its last reference."""

    def __init__(self, path: pathlib.Path):
        # A file object closes itself, also when the interpreter exits.
        self._file = path.open("rb", buffering=0)

    def read(self, count: int, offset: int) -> bytes:
        return os.pread(self._file.fileno(), count, offset)


class TokenStore:
    """A prepared split, opened for reading.

    Attributes:
        num_tokens: tokens of the split.
        num_documents: documents of the split.

    Args:
        path: folder of the split.
        max_open_shards: shard files kept open at a time.

    Raises:
        InputError: not a store, or one whose shards are incomplete.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        max_open_shards: int = MAX_OPEN_SHARDS,
    ):
        self.path = pathlib.Path(path)
        index = read_json(self.path / "index.json")
        try:
            self._dtype = np.dtype(index["dtype"])
            self.num_tokens: int = index["tokens"]
            self.num_documents: int = index["documents"]
            sizes = np.array(index["shard_tokens"], np.int64)
        except (KeyError, TypeError, ValueError):
            raise InputError(
                "is not the index of a token store",
                where=str(self.path / "index.json"),
                remedy=_PREPARE_AGAIN,
            ) from None
        self._ends = np.cumsum(sizes)
        for number, size in enumerate(sizes):
            self._check_shard(number, int(size) * self._dtype.itemsize)
        # A large corpus has more shards than a process may have files open.
        self._open = functools.lru_cache(max_open_shards)(_Shard)

    def _shard_path(self, number: int) -> pathlib.Path:
        return self.path / f"shard-{number:05d}.tokens"

    def _check_shard(self, number: int, size: int) -> None:
        name = self._shard_path(number)
        got = name.stat().st_size if name.is_file() else None
        if got != size:
            raise InputError(
                "is missing"
                if got is None
                else "has another size than the index says",
                where=str(name),
                got=got,
                expected=f"{size} bytes",
                remedy=_PREPARE_AGAIN,
            )

    def check_window(self, length: int) -> None:
        """Raises InputError if the split is shorter than one window."""
        if self.num_tokens < length:
            raise InputError(
                "the corpus is shorter than one window",
                where=str(self.path.name),
                got=f"{self.num_tokens} tokens",
                expected=f"at least {length} tokens",
                remedy="Take more text or a smaller corruption.input_length",
            )

    def num_windows(self, length: int) -> int:
        """Returns the windows of that length in one pass over all tokens.

        Raises:
            InputError: the split is shorter than one window.
        """
        self.check_window(length)
        return -(-self.num_tokens // length)

    def windows(self, numbers: np.ndarray, length: int) -> np.ndarray:
        """Reads windows.

        Args:
            numbers: [n] int64, each below `num_windows(length)`.
            length: tokens of a window.

        Returns:
            [n, length] int32.
        """
        starts = np.minimum(numbers * length, self.num_tokens - length)
        out = np.empty((len(starts), length), np.int32)
        for row, start in zip(out, starts, strict=True):
            self._read(int(start), row)
        return out

    def _read(self, start: int, row: np.ndarray) -> None:
        """Fills `row` from the stream; a window may cross shards.

        `pread` instead of a memory map: mapped pages would count as memory of
        this process, up to the size of the corpus.
        """
        done = 0
        shard = int(np.searchsorted(self._ends, start, side="right"))
        while done < len(row):
            begin = self._ends[shard - 1] if shard else 0
            count = min(len(row) - done, int(self._ends[shard] - start))
            width = self._dtype.itemsize
            data = self._open(self._shard_path(shard)).read(
                count * width, int(start - begin) * width
            )
            row[done : done + count] = np.frombuffer(data, self._dtype)
            done, start, shard = done + count, start + count, shard + 1


def prepare(
    documents: Iterable[str],
    vocabulary: Vocabulary,
    path: str | os.PathLike,
    *,
    holdout_fraction: float,
    shard_tokens: int = SHARD_TOKENS,
    batch_characters: int = BATCH_CHARACTERS,
) -> dict[str, TokenStore]:
    """Tokenizes a corpus into its train and held-out stores.

    Args:
        documents: in a fixed order; after a kill, the same ones again.
        vocabulary: tokenizes them.
        path: folder of the two stores.
        holdout_fraction: share of documents in the held-out store.
        shard_tokens: tokens after which a shard is closed.
        batch_characters: text that is tokenized in one call.

    Returns:
        {"train": store, "heldout": store}.

    Raises:
        InputError: there are no documents, or none on one side.
    """
    path = pathlib.Path(path)
    if not all((path / split / "index.json").is_file() for split in SPLITS):
        batches = _batches(documents, batch_characters)
        _write_stores(batches, vocabulary, path, holdout_fraction, shard_tokens)
    return {split: TokenStore(path / split) for split in SPLITS}


def _write_stores(
    batches: Iterable[list[str]],
    vocabulary: Vocabulary,
    path: pathlib.Path,
    holdout_fraction: float,
    shard_tokens: int,
) -> None:
    dtype = "<u2" if vocabulary.size <= 1 << 16 else "<i4"
    writers = {s: _Writer(path / s, dtype, shard_tokens) for s in SPLITS}
    progress = Progress(None, "documents", "tokenizing")
    read = 0
    for batch in batches:
        held = np.array([is_held_out(t, holdout_fraction) for t in batch])
        numbers = np.arange(read, read + len(batch))
        for split, mine in (("train", ~held), ("heldout", held)):
            writer = writers[split]
            # After a kill, documents in whole shards are skipped.
            mine &= numbers >= writer.resume_at
            texts = [batch[i] for i in np.flatnonzero(mine)]
            if texts:
                writer.add(vocabulary.encode_corpus(texts), read + len(batch))
        read += len(batch)
        progress.update(read)
    for split, writer in writers.items():
        writer.finish(read, split)


class _Writer:
    """Collects tokens of one split and closes a shard when it is full."""

    def __init__(self, path: pathlib.Path, dtype: str, shard_tokens: int):
        self._path, self._dtype, self._shard_tokens = path, dtype, shard_tokens
        path.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        self._shards: list[dict[str, int]] = []
        while self._name("json").is_file() and self._name("tokens").is_file():
            self._shards.append(read_json(self._name("json")))
        self.resume_at = self._shards[-1]["read"] if self._shards else 0
        self._parts: list[np.ndarray] = []
        self._documents = self._tokens = 0

    def _name(self, kind: str) -> pathlib.Path:
        return self._path / f"shard-{len(self._shards):05d}.{kind}"

    def add(self, encoded: tuple[np.ndarray, np.ndarray], read: int) -> None:
        """Adds tokenized documents; `read` counts all documents so far."""
        tokens, lengths = encoded
        self._parts.append(tokens.astype(self._dtype))
        self._documents += len(lengths)
        self._tokens += len(tokens)
        if self._tokens >= self._shard_tokens:
            self._close(read)

    def _close(self, read: int) -> None:
        with atomic_write(self._name("tokens"), "wb") as handle:
            for part in self._parts:
                handle.write(part.tobytes())
        shard = {
            "tokens": self._tokens,
            "documents": self._documents,
            "read": read,
        }
        write_json(self._name("json"), shard)
        self._shards.append(shard)
        self._parts, self._documents, self._tokens = [], 0, 0

    def finish(self, read: int, split: str) -> None:
        """Closes the last shard and writes the index."""
        if self._tokens:
            self._close(read)
        total = sum(shard["tokens"] for shard in self._shards)
        if not total:
            what = (
                "the corpus holds no document"
                if not read
                else f"no document fell into the {split} part"
            )
            raise EmptySplit(
                what,
                where="--dataset",
                got=f"{read} documents",
                expected="documents in the train and the held-out part",
                remedy="Take more documents or another data.holdout_fraction",
            )
        index: dict[str, Any] = {
            "tokens": total,
            "documents": sum(shard["documents"] for shard in self._shards),
            "shard_tokens": [shard["tokens"] for shard in self._shards],
            "dtype": self._dtype,
        }
        write_json(self._path / "index.json", index)


def _batches(
    documents: Iterable[str], batch_characters: int
) -> Iterator[list[str]]:
    """Groups documents into lists of about that many characters."""
    batch: list[str] = []
    size = 0
    for text in documents:
        batch.append(text)
        size += len(text)
        if size >= batch_characters:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
