"""A million photographs: CIFAR-10's training set, twenty views of each.

Cluster-Margin's paper selects from millions. CIFAR-10 has 50,000 photographs to
learn from, so that a pool of that size shows each of them as a shifted crop,
mirrored or not, under another light. The image learner, trained on the first
10,000 photographs with their labels, turns every view into 64 numbers.
"""

from __future__ import annotations

import pathlib
import tempfile
from typing import Any

import numpy as np

from al_tf.learners.image_learner import ImageLearner, ImageOptions
from al_tf.pools.pool import open_pool

VIEWS = 20
_LEARNED_FROM = 10_000
_SHIFT = 4
_OPTIONS = ImageOptions(train_epochs=20)


def view_of(images: np.ndarray, seed: int) -> np.ndarray:
    """Shows each image once more, at random.

    Args:
        images: `[n, height, width, 3]` uint8.
        seed: of shifts of up to four pixels (the border is mirrored), of
            mirroring, and of the light: each channel times 0.8 to 1.2, plus
            -20 to 20.

    Returns:
        `[n, height, width, 3]` uint8.
    """
    random = np.random.default_rng(seed)
    n, height, width, _ = images.shape
    pad = (0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)
    padded = np.pad(images, pad, "reflect")
    starts = random.integers(0, 2 * _SHIFT + 1, (2, n, 1))
    rows = starts[0] + np.arange(height)
    columns = starts[1] + np.arange(width)
    mirrored = random.random((n, 1)) < 0.5
    columns = np.where(mirrored, columns[:, ::-1], columns)
    moved = padded[
        np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]
    ]
    factor = random.uniform(0.8, 1.2, (n, 1, 1, 3)).astype(np.float32)
    light = random.uniform(-20, 20, (n, 1, 1, 3)).astype(np.float32)
    return np.clip(np.rint(moved * factor + light), 0, 255).astype(np.uint8)


def cifar10_views() -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
    """Embeddings and labels of all views, then of CIFAR-10's test set.

    Returns:
        `[20 n, 64]` float32, `[20 n]` labels, view by view, the photographs
        themselves first; the same of the test set.
    """
    pool = open_pool("tfds:cifar10:train")
    test = open_pool("tfds:cifar10:test")
    n, labels = len(pool.inputs), np.asarray(pool.labels)
    with tempfile.TemporaryDirectory() as folder:
        # On disk: the views are 3 GB.
        images = np.lib.format.open_memmap(
            pathlib.Path(folder) / "images.npy",
            mode="w+",
            dtype=np.uint8,
            shape=(VIEWS * n + len(test.inputs), *pool.inputs.shape[1:]),
        )
        images[:n] = pool.inputs
        for view in range(1, VIEWS):
            images[view * n : (view + 1) * n] = view_of(pool.inputs, view)
        images[VIEWS * n :] = test.inputs
        learner = ImageLearner(images, 10, options=_OPTIONS)
        known = np.arange(_LEARNED_FROM)
        learner.fit(known, labels[known], seed=0)
        _, rows = learner.score(np.arange(len(images)))
    count = VIEWS * n
    return rows[:count], np.tile(labels, VIEWS), rows[count:], test.labels
