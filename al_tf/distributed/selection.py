"""Cluster-Margin over parts of a pool: the batch of `select_batch`.

The uncertain examples are found by thresholds (`stages.choice`); what is left,
k_m examples, takes its turns on one machine: 24 bytes each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from al_tf.distributed.engine import Engine, Handle
from al_tf.distributed.stages import choice
from al_tf.selection.candidates import PoolExhausted, random_keys
from al_tf.selection.cluster_margin import (
    check_margin_batch_size,
    round_robin,
)


def select_from_parts(
    engine: Engine,
    parts: Sequence[Handle],
    *,
    num_unlabeled: int,
    batch_size: int,
    margin_batch_size: int,
    seed: int = 0,
) -> np.ndarray:
    """Picks the examples to label next, as `al_tf.select_batch` does.

    Args:
        engine: where the parts are.
        parts: handles of `ScoredPart`, in any order: the examples that may be
            picked, each once, with margins that `check_margins` has passed.
        num_unlabeled: examples in all parts.
        batch_size: examples to pick [k_t].
        margin_batch_size: uncertain examples to pick from [k_m].
        seed: random seed, see `al_tf.select_batch`.

    Returns:
        `[batch_size]` int64 example ids in pick order.

    Raises:
        PoolExhausted: fewer than `batch_size` examples are there.
        InputError: an impossible `margin_batch_size`.
    """
    if batch_size > num_unlabeled:
        raise PoolExhausted(num_unlabeled, batch_size)
    check_margin_batch_size(margin_batch_size, batch_size, num_unlabeled)
    border, rest = nth_smallest(engine, parts, margin_batch_size, seed, None)
    last_key, _ = nth_smallest(engine, parts, rest, seed, border)
    found = engine.get(
        engine.map(
            "select",
            choice.uncertain,
            [(part, seed, border, last_key) for part in parts],
        )
    )
    ids, _, clusters = map(np.concatenate, zip(*found, strict=True))
    order = np.argsort(ids)
    ids, clusters = ids[order], clusters[order]
    picked = round_robin(clusters, random_keys(ids, seed), batch_size)
    return ids[picked]


def nth_smallest(
    engine: Engine,
    parts: Sequence[Handle],
    count: int,
    seed: int,
    border: int | None,
) -> tuple[int, int]:
    """Finds the `count`-th smallest value of all parts, digit by digit.

    Args:
        engine: where the parts are.
        parts: handles of `ScoredPart`.
        count: from 1 on.
        seed: see `choice.digit_counts`.
        border: see `choice.digit_counts`.

    Returns:
        (its bits; how many of `count` have exactly this value).
    """
    prefix = 0
    for digit in range(choice.DIGITS):
        counts = sum(
            engine.get(
                engine.map(
                    "select",
                    choice.digit_counts,
                    [(part, seed, border, prefix, digit) for part in parts],
                )
            )
        )
        below = np.cumsum(counts)
        found = int(np.searchsorted(below, count))
        count -= int(below[found] - counts[found])
        prefix = prefix << choice.DIGIT_BITS | found
    return prefix, count
