"""Which examples may be picked, and the checks that every strategy shares."""

from __future__ import annotations

import numpy as np

from al_tf.inputs.arrays import plain_array
from runkit import InputError
from runkit.hashing import splitmix64


class PoolExhausted(InputError):
    """The batch is larger than what is left of the pool.

    Attributes:
        available: number of unlabeled examples.
        requested: batch size.
    """

    def __init__(self, available: int, requested: int):
        self.available, self.requested = available, requested
        super().__init__(
            f"only {available} unlabeled examples are left",
            where="batch_size",
            got=requested,
            expected=f"at most {available}",
        )


def unlabeled_ids(
    unlabeled: np.ndarray | None, num_examples: int, batch_size: int
) -> np.ndarray:
    """Returns the ids that may be picked, ascending.

    Args:
        unlabeled: `[m]` int example ids, or a bool mask `[num_examples]`;
            None: the whole pool.
        num_examples: size of the full pool.
        batch_size: how many will be picked.

    Raises:
        PoolExhausted: fewer than `batch_size` are left.
        InputError: ids repeated or out of range, a mask of another length, or
            a batch size that is not positive.
    """
    if unlabeled is None:
        ids = np.arange(num_examples, dtype=np.int64)
    else:
        ids = check_ids(unlabeled, num_examples, where="unlabeled")
    is_whole = isinstance(batch_size, int | np.integer)
    if not is_whole or isinstance(batch_size, bool) or batch_size < 1:
        raise InputError(
            "must be a positive whole number",
            where="batch_size",
            got=batch_size,
        )
    if batch_size > len(ids):
        raise PoolExhausted(len(ids), int(batch_size))
    return ids


def check_ids(ids: np.ndarray, num_examples: int, *, where: str) -> np.ndarray:
    """Returns ids as ascending int64, from ids or from a mask.

    Args:
        ids: `[m]` int example ids, or a bool mask `[num_examples]`.
        num_examples: size of the full pool.
        where: name of the argument, for messages.

    Raises:
        InputError: repeated, out of range, or not ids at all.
    """
    ids = plain_array(ids, where)
    if ids.dtype == bool:
        if ids.shape != (num_examples,):
            raise InputError(
                "a mask must cover the whole pool",
                where=where,
                got=ids.shape,
                expected=str((num_examples,)),
            )
        return np.flatnonzero(ids)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise InputError(
            "example ids must be a list of whole numbers",
            where=where,
            got=f"{ids.dtype} of shape {ids.shape}",
        )
    ids = np.sort(ids.astype(np.int64))
    if len(ids) and (ids[0] < 0 or ids[-1] >= num_examples):
        bad = ids[0] if ids[0] < 0 else ids[-1]
        raise InputError(
            "example id out of range",
            where=where,
            got=int(bad),
            expected=f"0 to {num_examples - 1}",
        )
    repeated = ids[1:][ids[1:] == ids[:-1]]
    if len(repeated):
        raise InputError(
            "example id given twice", where=where, got=int(repeated[0])
        )
    return ids


def labeled_to_unlabeled(labeled: np.ndarray, num_examples: int) -> np.ndarray:
    """Returns the ids that are not labeled, ascending."""
    labeled = check_ids(labeled, num_examples, where="labeled")
    return np.delete(np.arange(num_examples), labeled)


def random_keys(ids: np.ndarray, seed: int) -> np.ndarray:
    """A random number for each example id, the same wherever it is computed.

    A counter-based hash (SplitMix64) of seed and id has no state and no order
    of evaluation, so that any machine, number of threads or distribution of
    the pool gives the same batch.

    Args:
        ids: `[m]` int64.
        seed: any int, taken modulo 2^64.

    Returns:
        `[m]` uint64, distinct for distinct ids under one seed.
    """
    if not isinstance(seed, int | np.integer):
        raise InputError("must be a whole number", where="seed", got=seed)
    start = splitmix64(np.array([int(seed) % 2**64], np.uint64))
    return splitmix64(ids.astype(np.uint64) + start)
