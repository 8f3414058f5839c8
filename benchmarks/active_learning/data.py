"""Pools for the active-learning benchmarks: synthetic and real.

Those of `FILES` have labels, for the experiments with the loop.
"""

from __future__ import annotations

import os
import pathlib
import tempfile

import numpy as np

import al_tf
from runkit import atomic_write

_BLOCK = 200_000


def cache_file(name: str) -> pathlib.Path:
    """Where a made pool is kept between runs (outside the repository)."""
    folder = pathlib.Path(tempfile.gettempdir()) / "al_benchmark_pools"
    folder.mkdir(exist_ok=True)
    return folder / f"{name}.npy"


def peak_mib() -> float:
    """Largest resident memory of this program so far.

    `resource.getrusage` would do, but a child begins with its parent's peak.
    """
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def reset_peak() -> None:
    """Forgets the peak so far, of a program that made its own pool."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def warm_up() -> None:
    """Compiles and imports what a run needs, so that it is not measured."""
    rows = np.random.default_rng(0).standard_normal((3000, 64))
    for exact in (False, True):
        al_tf.cluster_embeddings(
            rows.astype(np.float32), target_cluster_size=5, exact=exact
        )


def gaussian(n: int, d: int = 64) -> pathlib.Path:
    """Standard normal rows: no clusters at all."""
    path = cache_file(f"gaussian-{n}-{d}")
    if not path.exists():
        generator = np.random.default_rng(0)
        _write(
            path,
            n,
            d,
            lambda rows: generator.standard_normal((rows, d), np.float32),
        )
    return path


def families(n: int, d: int = 64, mean_size: int = 10) -> pathlib.Path:
    """Near-duplicate families of geometric sizes inside 2,000 themes.

    Row norms are one. At cosine distance 0.03 the families are well apart.
    The rows are in random order, as in a pool that was collected: searches
    that find near rows one after another are faster.
    """
    path = cache_file(f"families-{n}-{d}-shuffled")
    if path.exists():
        return path
    generator = np.random.default_rng(0)
    themes = generator.standard_normal((2000, d), np.float32)
    state = {"left": 0, "center": themes[0]}

    def block(rows: int) -> np.ndarray:
        out = np.empty((rows, d), np.float32)
        at = 0
        while at < rows:
            if state["left"] == 0:
                state["left"] = int(generator.geometric(1 / mean_size))
                step = generator.standard_normal(d, np.float32)
                theme = themes[generator.integers(len(themes))]
                state["center"] = theme + np.float32(0.35) * step
            take = min(state["left"], rows - at)
            out[at : at + take] = state["center"]
            state["left"] -= take
            at += take
        out += np.float32(0.12) * generator.standard_normal(
            out.shape, np.float32
        )
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    ordered = cache_file(f"families-{n}-{d}-ordered")
    _write(ordered, n, d, block)
    source, order = np.load(ordered, mmap_mode="r"), generator.permutation(n)
    taken = iter(range(0, n, _BLOCK))
    _write(path, n, d, lambda rows: source[order[next(taken) :][:rows]])
    ordered.unlink()
    return path


def imdb_reviews(n: int = 20_000) -> pathlib.Path:
    """IMDb reviews as TF-IDF reduced to 256 dimensions by a truncated SVD."""
    path = cache_file(f"imdb-{n}")
    if not path.exists():
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        rows = _tfds("imdb_reviews", f"unsupervised[:{n}]")
        texts = [row["text"].numpy().decode() for row in rows]
        counts = TfidfVectorizer(max_features=20_000, sublinear_tf=True)
        reduced = TruncatedSVD(256, random_state=0).fit_transform(
            counts.fit_transform(texts)
        )
        np.save(path, reduced.astype(np.float32))
    return path


def cifar10(n: int = 20_000) -> pathlib.Path:
    """CIFAR-10 pixels reduced to 128 dimensions by PCA."""
    path = cache_file(f"cifar10-{n}")
    if not path.exists():
        from sklearn.decomposition import PCA

        rows = _tfds("cifar10", f"train[:{n}]")
        pixels = np.stack([row["image"].numpy().ravel() for row in rows])
        reduced = PCA(128, random_state=0, svd_solver="randomized")
        rows = reduced.fit_transform(pixels.astype(np.float32) / 255)
        np.save(path, rows.astype(np.float32))
    return path


REAL = {"imdb tf-idf/svd-256": imdb_reviews, "cifar-10 pca-128": cifar10}


def _tfds(name: str, split: str):
    import tensorflow_datasets as tfds

    if "TFDS_DATA_DIR" not in os.environ:
        raise SystemExit("set TFDS_DATA_DIR to a folder of prepared datasets")
    return tfds.load(name, split=split, download=False)


def digits(test: bool = False) -> pathlib.Path:
    """Scikit-learn's 1,797 handwritten digits: 1,297 to label, 500 to test."""
    path = cache_file("digits-test" if test else "digits")
    path = path.with_suffix(".npz")
    if not path.exists():
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(images))
        rows = order[:500] if test else order[500:]
        _save(path, images[rows] / 16, labels[rows])
    return path


def imdb(test: bool = False) -> pathlib.Path:
    """TF-IDF/SVD-128 of reviews: 1,000 to label, 5,000 to test.

    Vocabulary and components are those of all 25,000 training reviews; their
    labels are not looked at.
    """
    path = cache_file("imdb-svd-test" if test else "imdb-svd")
    path = path.with_suffix(".npz")
    if not path.exists():
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        from al_tf.pools.pool import open_pool

        reviews = open_pool("tfds:imdb_reviews:train")
        wanted = open_pool("tfds:imdb_reviews:test[:5000]") if test else reviews
        counts = TfidfVectorizer(max_features=20_000, sublinear_tf=True)
        reduced = TruncatedSVD(128, random_state=0)
        reduced.fit(counts.fit_transform(reviews.inputs))
        if not test:
            wanted = reviews.take(np.arange(1000))
        rows = reduced.transform(counts.transform(wanted.inputs))
        _save(path, rows, wanted.labels)
    return path


def _save(path: pathlib.Path, rows: np.ndarray, labels: np.ndarray) -> None:
    with atomic_write(path, "wb") as handle:
        np.savez(handle, embeddings=rows.astype(np.float32), labels=labels)


# Names in the commands of experiments.
FILES = {
    "digits": digits,
    "digits_test": lambda: digits(test=True),
    "imdb": imdb,
    "imdb_test": lambda: imdb(test=True),
}


def _write(path: pathlib.Path, n: int, d: int, block) -> None:
    temporary = path.with_suffix(".tmp.npy")
    out = np.lib.format.open_memmap(
        temporary, "w+", dtype=np.float32, shape=(n, d)
    )
    for start in range(0, n, _BLOCK):
        rows = min(_BLOCK, n - start)
        out[start : start + rows] = block(rows)
    out.flush()
    temporary.rename(path)
