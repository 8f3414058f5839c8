"""Pools of fixed embeddings as files, for the experiments with the loop."""

from __future__ import annotations

import pathlib

import numpy as np

from benchmarks.active_learning import data as al_data
from runkit import atomic_write


def digits(test: bool = False) -> pathlib.Path:
    """Scikit-learn's 1,797 handwritten digits: 1,297 to label, 500 to test."""
    path = al_data.cache_file("digits-test" if test else "digits")
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
    path = al_data.cache_file("imdb-svd-test" if test else "imdb-svd")
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
