"""Tokens read from emulated object storage, against a local disk.

The arms make the same windows, and the same corrupted batches, out of one store
of random tokens in shards of 8 MiB: from a local folder, from `gs://` by
TensorFlow's driver, and from `s3://` by `s3fs`. The emulators of the tests
serve them, each in a process of its own.

    python -m benchmarks.pretraining.storage_reading   # s3 with s3fs alone
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.harness import Arm, compare, record, row
from runkit import read_json, write_json
from spactor_tf.data.tokens.store import FINGERPRINTS, LAYOUT, TokenStore

SHARDS = 8
ROWS = 128
VOCABULARY_ROWS = 8192
Run = Callable[[], dict[str, float]]


def write_tokens(folder: pathlib.Path) -> dict[str, TokenStore]:
    """Writes a vocabulary and the two stores of a corpus."""
    from tests.support import testing

    testing.vocabulary().save(folder / "vocabulary.model")
    size = testing.vocabulary().size
    random = np.random.default_rng(0)
    for split, shards in (("train", SHARDS), ("heldout", 1)):
        (folder / split).mkdir()
        for number in range(shards):
            tokens = random.integers(3, size, LAYOUT.shard_tokens, np.uint16)
            tokens.tofile(folder / split / f"shard-{number:05d}.tokens")
        index = {
            "tokens": shards * LAYOUT.shard_tokens,
            "documents": 1,
            "shard_tokens": [LAYOUT.shard_tokens] * shards,
            "dtype": "<u2",
        }
        write_json(folder / split / "index.json", index)
    return {s: TokenStore(folder / s) for s in ("train", "heldout")}


def read(folder: str, url: str, made: str) -> Run:
    """One pass over the store.

    Args:
        folder: local, with the vocabulary and the store.
        url: that the tokens are read from; "" reads the local store.
        made: "batches" of a run, or "windows", which is the reading alone.
    """
    from spactor_tf.config.pretrain import CorruptionConfig
    from spactor_tf.data.corruption import corruption_lengths
    from spactor_tf.data.pretraining import Pipeline
    from spactor_tf.data.step_pipeline import Share
    from spactor_tf.data.tokens.published import published_stores
    from spactor_tf.data.vocabulary import Vocabulary

    path = pathlib.Path(folder)
    store = TokenStore(path / "train")
    if url.startswith("s3:"):
        # They are published already.
        store = published_stores(url, path, dict, LAYOUT.mixed_shards)["train"]
    elif url:
        # The emulator answers for TensorFlow's driver, not for fsspec's.
        store.path = f"{url}/train"
        found = read_json(path / "train" / FINGERPRINTS)
        store.fingerprints = np.array([int(n, 16) for n in found], np.uint64)
    vocabulary = Vocabulary.load(path / "vocabulary.model")
    lengths = corruption_lengths(CorruptionConfig())
    pipeline = Pipeline(store, vocabulary, lengths, ROWS, seed=0)
    steps = store.num_windows(lengths.raw_length) // ROWS
    if made == "batches":
        dataset = pipeline.dataset(0, steps)
    else:
        share = Share(0, steps * ROWS, ROWS, 0, ROWS, ROWS)
        dataset = pipeline.inputs(share)
    mib = 2 * lengths.raw_length * ROWS / 2**20
    return lambda: {"units": mib * sum(1 for _ in dataset)}


@contextlib.contextmanager
def storages(folder: pathlib.Path) -> Iterator[dict[str, str]]:
    """Yields {name: URL of a store}; "" is the local one.

    Processes that are started in the block reach the emulators.
    """
    from spactor_tf.data.tokens.published import (
        published_stores,
        write_fingerprints,
    )
    from tests.support.storage.emulator import Emulator
    from tests.support.storage.google import google

    places = {"local": "", "gs": "gs://bucket/tokens"}
    tokens = folder / "google" / "bucket" / "tokens"
    tokens.mkdir(parents=True)
    stores = write_tokens(tokens)
    write_fingerprints(stores["train"])
    emulator = Emulator(folder / "s3")
    with google(folder / "google") as environment:
        os.environ.update(environment)
        emulator.start()
        try:
            if importlib.util.find_spec("s3fs"):
                url = places["s3"] = "s3://bucket/tokens"
                os.environ.update(emulator.environment)
                mixed = LAYOUT.mixed_shards
                published_stores(url, tokens, lambda: stores, mixed)
            yield places
        finally:
            emulator.kill()


def main() -> None:
    module = __spec__.name
    rows: list[dict[str, Any]] = []
    timings: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        storages(pathlib.Path(folder)) as places,
    ):
        for made in ("windows", "batches"):
            local = f"{folder}/google/bucket/tokens"
            given = {"folder": local, "made": made}
            found = compare(
                [
                    Arm(name, f"{module}:read", given | {"url": url})
                    for name, url in places.items()
                ],
                rounds=7,
            )
            rows += [row(t, found["local"], made=made) for t in found.values()]
            timings |= {f"{made} {name}": t for name, t in found.items()}
    record(
        "storage_reading",
        rows,
        timings=timings,
        notes=[
            f"{SHARDS} shards of 8 MiB, units are MiB. From storage each shard "
            "is read in one request and compared with its fingerprint.",
            "The local files are in the system's cache. The servers, Python "
            "processes on the same cores (that of gs with TLS), are in the "
            "wall time, not in the CPU seconds.",
        ],
    )


if __name__ == "__main__":
    main()
