"""Pools with planted near-copies, to see what redundancy does to a strategy.

Real pools repeat themselves: frames of a video, quoted mails, re-posted
pictures. Here every chosen example becomes a family of near-copies of at
least a given size; the sizes are Zipf-distributed, since in real pools a few
things are repeated very often.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from al_tf.pools.pool import Examples

_ZIPF, _LARGEST = 1.7, 10
# Small beside the distance between two examples, far above rounding.
_NOISE = 0.05
_DROPPED_WORDS = 0.05


def plant(
    pool: Examples, family_size: int, seed: int = 0
) -> tuple[Examples, np.ndarray]:
    """Turns every example into a family of near-copies.

    A family has `family_size` members times a Zipf number, at most ten times
    `family_size`; all have the label of the original. A copy of an embedding
    is the original with noise of a twentieth of the pool's deviation; a copy
    of an image is moved by up to a pixel, mirrored or not, and a little
    brighter or darker; a copy of a text lacks one word in twenty.

    Args:
        pool: the originals.
        family_size: least number of members, at least 1.
        seed: of sizes and copies.

    Returns:
        (the pool of all members in random order, numbered anew; `[n]` int64
        the original of each).
    """
    random = np.random.default_rng(seed)
    times = np.minimum(random.zipf(_ZIPF, len(pool)), _LARGEST)
    origin = np.repeat(np.arange(len(pool)), family_size * times)
    origin = random.permutation(origin)
    copy = {"text": _texts, "image": _images, "embedding": _embeddings}
    copies = dataclasses.replace(
        pool,
        inputs=copy[pool.kind](pool.inputs, origin, random),
        labels=pool.labels[origin],
        rows=np.arange(len(origin)),
        ids=None,  # A copy is another example.
        id_name="example_id",
    )
    return copies, origin


def _embeddings(
    rows: np.ndarray, origin: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    deviation = np.float32(_NOISE * rows.std(0).mean())
    shape = (len(origin), rows.shape[1])
    return rows[origin] + deviation * random.standard_normal(shape, np.float32)


def _images(
    images: np.ndarray, origin: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    out = images[origin]
    shifts = random.integers(-1, 2, (len(origin), 2))
    mirrored = random.random(len(origin)) < 0.5
    light = random.integers(-8, 9, len(origin))
    for i, image in enumerate(out):
        if mirrored[i]:
            image = image[:, ::-1]
        moved = np.roll(image, tuple(shifts[i]), (0, 1)).astype(np.int16)
        out[i] = np.clip(moved + light[i], 0, 255)
    return out


def _texts(
    texts: np.ndarray, origin: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    out = np.empty(len(origin), object)
    for i, text in enumerate(texts[origin]):
        words = text.split(" ")
        kept = random.random(len(words)) >= _DROPPED_WORDS
        # A text of one word stays.
        out[i] = (
            " ".join(
                word for word, keep in zip(words, kept, strict=True) if keep
            )
            or text
        )
    return out
