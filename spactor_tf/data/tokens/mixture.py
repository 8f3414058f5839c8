"""Several token stores that take turns in exact shares.

A round has a fixed number of examples, each of which belongs to one store, as
evenly spread as the shares allow. So which window an example is, is known
without any state, and every store keeps its own order and its own passes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from runkit import InputError
from spactor_tf.data.step_pipeline import Share
from spactor_tf.data.tokens.store import TokenStore
from spactor_tf.data.tokens.windows import Turns, windows_in_order

ROUND_LENGTH = 10_000
# Seeds of runs are below 2**32, and orders of shards below 2**33.
_STORE_SEEDS = 1 << 33


class MixedStore:
    """Token stores with the shares that they have in the examples.

    Attributes:
        parts: the stores.
        owners: [round] int64, the store of each example of a round.
        num_tokens: tokens of all stores.
        num_documents: documents of all stores.

    Args:
        parts: the stores.
        weights: of each, positive; in any unit.

    Raises:
        InputError: a weight is too small to have a turn in a round.
    """

    def __init__(self, parts: Sequence[TokenStore], weights: Sequence[float]):
        self.parts = tuple(parts)
        self.owners = turns_in_a_round(weights)
        self.num_tokens = sum(part.num_tokens for part in parts)
        self.num_documents = sum(part.num_documents for part in parts)

    def check_window(self, length: int) -> None:
        """Raises InputError if a store is shorter than one window."""
        for part in self.parts:
            part.check_window(length)


def turns_in_a_round(weights: Sequence[float]) -> np.ndarray:
    """Returns which store has each turn, spread evenly.

    Args:
        weights: positive.

    Returns:
        [round] int64; a store of share p has p times the round's turns, to
        the nearest whole number.

    Raises:
        InputError: a share without a turn.
    """
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    ends = np.rint(np.cumsum(shares) * ROUND_LENGTH).astype(np.int64)
    counts = np.diff(ends, prepend=0)
    if not counts.all():
        raise InputError(
            "is too small a share",
            where="--dataset",
            got=list(weights),
            expected=f"at least 1 of {ROUND_LENGTH} examples",
        )
    # The j-th of n turns is at (j + 1/2) / n of the round.
    places = [(np.arange(n) + 0.5) / n for n in counts.tolist()]
    owners = np.repeat(np.arange(len(counts)), counts)
    return owners[np.argsort(np.concatenate(places), kind="stable")]


def batches_of_windows(
    store: TokenStore | MixedStore, length: int, seed: int, share: Share
) -> tf.data.Dataset:
    """Returns a host's windows, a replica's batch at a time.

    Args:
        store: one store, or several that take turns.
        length: tokens of a window.
        seed: of the order, below 2**32.
        share: the examples that the host makes.

    Returns:
        Dataset of (example [rows] int64, tokens [rows, length] of the store's
        dtype).

    Raises:
        InputError: a store is shorter than one window.
    """
    if isinstance(store, TokenStore):
        windows = windows_in_order(store, length, seed, share)
        return windows.rebatch(share.rows, drop_remainder=True)
    parts = [
        windows_in_order(
            part,
            length,
            seed + number * _STORE_SEEDS,
            share,
            Turns(np.flatnonzero(store.owners == number), len(store.owners)),
        ).unbatch()
        for number, part in enumerate(store.parts)
    ]
    rows = share.end_row - share.first_row

    def owner(place: tf.Tensor) -> tf.Tensor:
        example = share.first + place // rows * share.batch_size
        example += share.first_row + place % rows
        return tf.gather(store.owners, example % len(store.owners))

    steps = (share.end - share.first) // share.batch_size
    turns = tf.data.Dataset.range(steps * rows).map(owner)
    mixed = tf.data.Dataset.choose_from_datasets(
        parts, turns, stop_on_empty_dataset=False
    )
    return mixed.batch(share.rows, drop_remainder=True)
