"""Approximate neighbors over parts: every part has a ScaNN tree of its own.

A query is answered by all parts, and the nearest of their answers are its list.
A tree cannot be sent, so it is built where it is needed, and a task answers
about as many queries as its part has rows.
"""

from __future__ import annotations

import numpy as np

from al_tf.distributed.stages.parts import Answer, Part, find, named
from al_tf.distributed.stages.search import Lists, Queries, merged
from al_tf.neighbors.exact_index import ExactIndex
from al_tf.neighbors.protocol import NeighborIndex
from al_tf.neighbors.scann_index import ScannIndex

# Of fewer rows all are read.
SMALL_PART = 2000
_BLOCK_NUMBERS = 1 << 24


def scann_part(
    part: Part, k: int, seed: int, *pieces: Queries
) -> tuple[np.ndarray | Lists, ...]:
    """Lists of the queries, from the clusters of a part.

    Args:
        part: only its open clusters are found.
        k: length of the lists.
        seed: of the sample by which the tree is tuned.
        pieces: queries.

    Returns:
        (`[3]` recall on the sample, leaves searched, leaves; then `Lists` for
        each piece, whose values are squared distances with the variance).
    """
    is_open = np.flatnonzero(part.is_open)
    rows = part.mean[is_open].astype(np.float32)
    variance, origin = part.variance[is_open], part.origin[is_open]
    told = np.array([1.0, 0.0, 0.0])
    index: NeighborIndex
    if len(rows) < SMALL_PART:
        index = ExactIndex(rows, variance)
    else:
        index = ScannIndex(rows, variance, k=k, seed=seed)
        index.tune(k)
        probe = index.probe
        told[:] = probe.recall, probe.leaves_to_search, probe.num_leaves
    lists: list[np.ndarray | Lists] = [told]
    for piece in pieces:
        ids = np.full((len(piece.rows), k), -1, np.int32)
        if len(rows):
            own = find(origin, piece.origin)
            ids = index.search(piece.rows, k, own).ids
        lists.append(
            Lists(
                named(origin, ids),
                _values(piece.rows, rows, variance, ids),
                np.zeros(ids.shape, np.int32),
            )
        )
    return tuple(lists)


def _values(
    queries: np.ndarray, rows: np.ndarray, variance: np.ndarray, ids: np.ndarray
) -> np.ndarray:
    """`[q, k]` squared distances with variances; infinite without an id."""
    values = np.full(ids.shape, np.inf, np.float32)
    step = max(1, _BLOCK_NUMBERS // max(1, ids.shape[1] * queries.shape[1]))
    for start in range(0, len(ids) if len(rows) else 0, step):
        block = slice(start, start + step)
        apart = rows[ids[block]] - queries[block, None]
        square = np.einsum("qkd,qkd->qk", apart, apart)
        square += variance[ids[block]]
        values[block] = np.where(ids[block] >= 0, square, np.inf)
    return values


def scann_answered(queries: Queries, *lists: Lists) -> Answer:
    """The answer of all parts to some queries.

    The bound is that of an exact search, so it is too large where a neighbor
    was missed: the recall says how often.
    """
    ids, values, _ = merged(*lists)
    farthest = np.where(ids >= 0, values, -np.inf).max(1, initial=-np.inf)
    bound = farthest.astype(np.float64) + queries.variance
    return Answer(queries.origin, ids, bound)


def found_for(origins: np.ndarray, *answers: Answer) -> np.ndarray:
    """`[q, k]` lists of some of those who asked."""
    asked = np.concatenate([answer.origin for answer in answers])
    ids = np.concatenate([answer.ids for answer in answers])
    order = np.argsort(asked)
    return ids[order[find(asked[order], origins)]]
