"""Nearest clusters by reading every cluster, for ties beyond float32."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from al_tf.clustering import hac_kernels as kernels
from al_tf.distributed.stages.parts import Answer, Part, find, named
from al_tf.distributed.stages.search import Queries


class Scanned(NamedTuple):
    """What `hac_kernels.scan_all` finds in a part; see there."""

    ids: np.ndarray
    distances: np.ndarray
    last: np.ndarray


def whole_queries(part: Part, rows: np.ndarray, cut: slice) -> Queries:
    """Some of the clusters, as queries with float64 means."""
    rows = rows[cut]
    return Queries(part.mean[rows], part.variance[rows], part.origin[rows])


def scanned_part(part: Part, k: int, *pieces: Queries) -> tuple[Scanned, ...]:
    """Nearest clusters by float64 linkage, for ties beyond float32.

    Args:
        part: only its open clusters are found.
        k: length of the lists.
        pieces: queries with float64 means.

    Returns:
        For each piece `Scanned` lists.
    """
    scanned = []
    for piece in pieces:
        own = find(part.origin, piece.origin)
        m, q = len(part.mean), len(piece.origin)
        view = kernels.new_clusters(
            np.concatenate([part.mean, piece.rows]),
            np.concatenate([part.origin, piece.origin]),
            np.full((m + q, 1), -1, np.int32),
            variance=np.concatenate([part.variance, piece.variance]),
        )
        is_open = np.concatenate([part.is_open, np.zeros(q, bool)])
        view = view._replace(is_open=is_open)
        rows = np.where(own >= 0, own, m + np.arange(q)).astype(np.int32)
        ids = np.empty((q, k), np.int32)
        distances, last = np.empty((q, k)), np.empty(q)
        kernels.scan_all(rows, view, ids, distances, last)
        scanned.append(Scanned(named(part.origin, ids), distances, last))
    return tuple(scanned)


def scan_answered(queries: Queries, *lists: Scanned) -> Answer:
    """The answer of all parts to some queries."""
    ids, distances = (
        np.concatenate(arrays, axis=1)
        for arrays in ([s.ids for s in lists], [s.distances for s in lists])
    )
    k = lists[0].ids.shape[1]
    order = np.lexsort((ids, distances), axis=1)
    best, dropped = order[:, :k], order[:, k:]
    bound = np.take_along_axis(distances, dropped, 1).min(1, initial=np.inf)
    for found in lists:
        bound = np.minimum(bound, found.last)
    return Answer(queries.origin, np.take_along_axis(ids, best, 1), bound)
