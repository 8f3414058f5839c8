"""From documents to the token stores of a corpus, in one pass.

Shards are written one by one under their final names, so a killed preparation
resumes after the last whole shard.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from runkit import InputError, Progress, atomic_write, read_json, write_json
from runkit.files import remove_leftovers
from spactor_tf.data.tokens.store import LAYOUT, StoreLayout, TokenStore
from spactor_tf.data.vocabulary import Vocabulary

BATCH_CHARACTERS = 4_000_000  # Text that is tokenized in one call.
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


def prepare(
    documents: Iterable[str],
    vocabulary: Vocabulary,
    path: str | os.PathLike,
    *,
    holdout_fraction: float,
    layout: StoreLayout = LAYOUT,
    batch_characters: int = BATCH_CHARACTERS,
) -> dict[str, TokenStore]:
    """Tokenizes a corpus into its train and held-out stores.

    Args:
        documents: in a fixed order; after a kill, the same ones again.
        vocabulary: tokenizes them.
        path: folder of the two stores.
        holdout_fraction: share of documents in the held-out store.
        layout: of the stores.
        batch_characters: text that is tokenized in one call.

    Returns:
        {"train": store, "heldout": store}.

    Raises:
        InputError: there are no documents, or none on one side.
    """
    path = pathlib.Path(path)
    if not all((path / split / "index.json").is_file() for split in SPLITS):
        batches = _batches(documents, batch_characters)
        _write_stores(batches, vocabulary, path, holdout_fraction, layout)
    return {
        split: TokenStore(path / split, layout.mixed_shards) for split in SPLITS
    }


def _write_stores(
    batches: Iterable[list[str]],
    vocabulary: Vocabulary,
    path: pathlib.Path,
    holdout_fraction: float,
    layout: StoreLayout,
) -> None:
    dtype = "<u2" if vocabulary.size <= 1 << 16 else "<i4"
    writers = {s: _Writer(path / s, dtype, layout.shard_tokens) for s in SPLITS}
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
