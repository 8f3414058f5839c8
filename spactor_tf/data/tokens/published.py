"""Token stores in object storage: published whole, checked, read in place.

    URL/tokens-<hash>/{train,heldout}/   as on disk, and fingerprints.json
    URL/tokens-<hash>/files.json         written last; see `runkit.files.mirror`

`fingerprints.json` has FarmHash64 of every shard, which TensorFlow's operations
compute too: a shard is compared each time it is read.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from runkit import InputError, read_json, write_json
from runkit.datasets.inputs import answering, reading
from runkit.errors import InterruptedRun
from runkit.files import as_path
from runkit.files.mirror import Mirror
from spactor_tf.data.tokens.preparation import SPLITS
from spactor_tf.data.tokens.shards import DAMAGED, fingerprint
from spactor_tf.data.tokens.store import FINGERPRINTS, TokenStore

_WHOLE = "all tokens"
_REMEDY = "Delete the folder; it is published again"


def published_stores(
    url: str,
    folder: pathlib.Path,
    prepare: Callable[[], dict[str, TokenStore]],
    mixed_shards: int | None,
) -> dict[str, TokenStore]:
    """Returns the stores at a URL, prepared and published if there are none.

    Args:
        url: of the folder of both splits.
        folder: local, in which `prepare` makes them.
        prepare: returns the stores in `folder`.
        mixed_shards: see `StoreLayout`.

    Returns:
        {"train": store, "heldout": store}, which are read from the URL.

    Raises:
        InputError: the URL cannot be read or written, or what is there is not
            what was published.
        InterruptedRun: the storage does not answer any more.
    """
    mirror = Mirror(url, folder, "--cache_dir")
    mirror.look()
    if mirror.state != _WHOLE:
        mirror.check_writable()  # Before hours of tokenization.
        for store in prepare().values():
            write_fingerprints(store)
        with answering():
            mirror.push(_WHOLE)
    return {split: _opened(f"{url}/{split}", mixed_shards) for split in SPLITS}


def write_fingerprints(store: TokenStore) -> None:
    """Writes the fingerprints of a local store beside its shards."""
    found = []
    for number in range(len(store.shard_tokens)):
        name = store.path / f"shard-{number:05d}.tokens"
        value = fingerprint(tf.io.read_file(str(name)))
        found.append(f"{int(value.numpy()):016x}")
    write_json(store.path / FINGERPRINTS, found)


def _opened(url: str, mixed_shards: int | None) -> TokenStore:
    """A store at a URL, with the fingerprints of its shards."""
    with reading(url):
        path = as_path(url, where="--cache_dir")
        store = TokenStore(path, mixed_shards)
        stated = read_json(path / FINGERPRINTS)
    try:
        found = np.array([int(value, 16) for value in stated], np.uint64)
    except (TypeError, ValueError, OverflowError):
        found = np.zeros(0, np.uint64)
    if len(found) != len(store.shard_tokens):
        raise InputError(
            "are not the fingerprints of the store's shards",
            where=f"{url}/{FINGERPRINTS}",
            remedy=_REMEDY,
        )
    store.fingerprints = found
    return store


@contextlib.contextmanager
def reading_from(url: str) -> Iterator[None]:
    """Ends a run whose tokens cannot be read from `url` in the block.

    Raises:
        InputError: a shard is not what was published.
        InterruptedRun: the storage does not answer.
    """
    try:
        yield
    except tf.errors.OpError as error:
        # Drivers and TensorFlow name the object; errors of a step do not.
        lines = [line for line in error.message.splitlines() if url in line]
        if not lines or not url:
            raise
        line = min(lines, key=len).strip()  # Without a graph's names.
        if DAMAGED in error.message:
            raise InputError(
                DAMAGED,
                where="--cache_dir",
                got=line[line.index(url) :].split()[0].strip("'\""),
                remedy=_REMEDY,
            ) from None
        raise InterruptedRun(
            f"reading tokens: {line[-300:]}. The same command goes on from "
            "the last checkpoint"
        ) from None
