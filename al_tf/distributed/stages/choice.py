"""Stages of a selection: who is uncertain enough, by thresholds.

The k_m smallest of all margins are found by their bits, 16 at a time: each part
counts how many of its values begin with what is known of the k_m-th smallest,
by their next 16 bits. Four rounds of counts, 512 KiB each, give that value; the
same search among the keys of the examples that have exactly this margin gives
the last key that is taken.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from al_tf.selection.candidates import random_keys

DIGIT_BITS = 16
DIGITS = 64 // DIGIT_BITS


class ScoredPart(NamedTuple):
    """Examples that may be picked.

    Attributes:
        ids: `[m]` int64 example ids.
        margins: `[m]` floating point in [0, 1].
        clusters: `[m]` int cluster of each.
    """

    ids: np.ndarray
    margins: np.ndarray
    clusters: np.ndarray


def ordered_bits(margins: np.ndarray) -> np.ndarray:
    """`[m]` uint64 in the order of margins that are not negative."""
    # The sum turns minus zero, whose bits are large, into zero.
    return (margins.astype(np.float64) + 0.0).view(np.uint64)


def digit_counts(
    part: ScoredPart, seed: int, border: int | None, prefix: int, digit: int
) -> np.ndarray:
    """Counts the values that begin with some digits, by the next digit.

    Args:
        part: examples.
        seed: of the keys.
        border: None: the values are margins. Otherwise they are the keys of
            the examples whose margin has these bits.
        prefix: the first `digit` digits, as a number.
        digit: 0 to 3, which digit to count.

    Returns:
        `[65536]` int64.
    """
    values = ordered_bits(part.margins)
    if border is not None:
        at = values == np.uint64(border)
        values = random_keys(part.ids[at], seed)
    shift = np.uint64(64 - DIGIT_BITS * (digit + 1))
    begun = values >> shift
    if digit:
        known = begun >> np.uint64(DIGIT_BITS)
        begun = begun[known == np.uint64(prefix)]
    last = begun & np.uint64(2**DIGIT_BITS - 1)
    return np.bincount(last.astype(np.int64), minlength=2**DIGIT_BITS)


def uncertain(
    part: ScoredPart, seed: int, border: int, last_key: int
) -> ScoredPart:
    """The examples below the border, and those on it up to a key."""
    bits = ordered_bits(part.margins)
    chosen = bits < np.uint64(border)
    tied = np.flatnonzero(bits == np.uint64(border))
    keys = random_keys(part.ids[tied], seed)
    chosen[tied[keys <= np.uint64(last_key)]] = True
    return ScoredPart(*(array[chosen] for array in part))
