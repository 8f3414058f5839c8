"""Clusters of a pool: made once, kept on disk, reused in every round."""

from __future__ import annotations

import dataclasses
import os
import zlib
from typing import Any

import numpy as np

from al_tf.inputs.embeddings import Embeddings, normalized, open_embeddings
from al_tf.neighbors import row_kernels
from al_tf.neighbors.exact_index import ExactIndex
from runkit import InputError

# Squares of larger numbers come near the end of float32.
_LARGEST_QUERY = 1e15


@dataclasses.dataclass(frozen=True)
class Clustering:
    """Average-linkage clusters of a pool, cut at a distance threshold.

    Attributes:
        cluster_ids: `[n]` int64; the cluster of each example, numbered
            0, 1, ... in the order of their smallest example ids.
        distance_threshold: largest average linkage within a cluster.
        merge_distances: `[m]` float64, ascending; average linkage of the
            merges, n - m clusters are left.
        merges: `[m, 2]` int64; an example of either cluster of each merge.
        metric: "cosine" or "sqeuclidean".
        centers: `[clusters, d]` float64 mean of each cluster's (for cosine:
            scaled) rows, less `origin`.
        variances: `[clusters]` float64 mean squared distance to the mean.
        origin: `[d]` float64 mean of all (scaled) rows.
        pool: {"shape": [n, d], "checksum": int} of the clustered embeddings.
        info: how it was made: index and why, recall, rounds, queries, seconds.
    """

    cluster_ids: np.ndarray
    distance_threshold: float
    merge_distances: np.ndarray
    merges: np.ndarray
    metric: str
    centers: np.ndarray
    variances: np.ndarray
    origin: np.ndarray
    pool: dict[str, Any]
    info: dict[str, Any]

    @property
    def num_clusters(self) -> int:
        """Number of clusters."""
        return len(self.variances)

    def cut(self, distance_threshold: float, embeddings: Any) -> Clustering:
        """Cuts the same tree at a smaller threshold, without clustering.

        Args:
            distance_threshold: at most the present one.
            embeddings: those of the pool, for the clusters' new moments.

        Raises:
            InputError: the threshold is larger than the present one, or the
                embeddings are not those of this pool.
        """
        if not 0 <= distance_threshold <= self.distance_threshold:
            raise InputError(
                "cannot be cut there",
                where="distance_threshold",
                got=distance_threshold,
                expected=f"0 to {self.distance_threshold:g}",
                remedy="Cluster again for a larger threshold",
            )
        rows = open_embeddings(embeddings)
        self.check_pool(rows)
        keep = self.merge_distances <= distance_threshold
        return assemble(
            rows,
            self.merges[keep],
            self.merge_distances[keep],
            float(distance_threshold),
            self.metric,
            self.pool,
            self.info,
        )

    def check_pool(self, embeddings: Embeddings) -> None:
        """Refuses embeddings that are not those that were clustered."""
        shape = list(embeddings.shape)
        if shape != self.pool["shape"]:
            raise InputError(
                "the clustering is of another pool: the shapes differ",
                where="clustering",
                got=self.pool["shape"],
                expected=str(shape),
            )
        found = checksum(embeddings)
        if found != self.pool["checksum"]:
            raise InputError(
                "the clustering is of another pool: the checksums differ",
                where="clustering",
                got=self.pool["checksum"],
                expected=str(found),
                remedy="Delete the directory or name another",
            )

    def assign(self, new_embeddings: Any) -> np.ndarray:
        """Finds clusters for examples that joined the pool later.

        A new example joins the cluster with the smallest average linkage to
        it, if that is within the threshold; else it becomes a cluster of its
        own. The clusters' moments stay as they are.

        Args:
            new_embeddings: `[m, d]`, anything that `open_embeddings` takes.

        Returns:
            `[m]` int64 cluster ids; new clusters are numbered on from
            `num_clusters` in the order of the examples.
        """
        new = open_embeddings(new_embeddings)
        if new.shape[1] != self.centers.shape[1]:
            raise InputError(
                "another dimension than the clustering",
                where="new_embeddings",
                got=new.shape[1],
                expected=str(self.centers.shape[1]),
            )
        scale = power_of_two_below(self.centers)
        index = ExactIndex(
            (self.centers * scale).astype(np.float32),
            self.variances * scale**2,
        )
        assigned = np.empty(new.shape[0], np.int64)
        fresh = self.num_clusters
        for first, block in new.blocks():
            rows = normalized(block, first, self.metric) - self.origin
            nearest, linkage = self._nearest_cluster(rows, index, scale)
            joins = linkage <= self.distance_threshold
            alone = int((~joins).sum())
            nearest[~joins] = np.arange(fresh, fresh + alone)
            fresh += alone
            assigned[first : first + len(rows)] = nearest
        return assigned

    def _nearest_cluster(
        self, rows: np.ndarray, index: ExactIndex, scale: float
    ) -> tuple[np.ndarray, np.ndarray]:
        # A few candidates in float32, the choice among them in float64.
        k = min(4, self.num_clusters)
        exclude = np.full(len(rows), -1)
        with np.errstate(over="ignore"):
            queries = (rows * scale).astype(np.float32)
        huge = ~(np.abs(queries).max(1) < _LARGEST_QUERY)
        queries[huge] = 0
        answer = index.search(queries, k, exclude)
        found, bound = answer.ids, answer.bound / scale**2
        step = rows[:, None, :] - self.centers[found]
        linkage = np.einsum("qkd,qkd->qk", step, step) + self.variances[found]
        linkage[found < 0] = np.inf
        best = np.lexsort((found, linkage), axis=1)[:, :1]
        nearest = np.take_along_axis(found, best, 1)[:, 0].astype(np.int64)
        linkage = np.take_along_axis(linkage, best, 1)[:, 0]
        # Where a cluster that was not listed might be the nearest within the
        # threshold, float32 was too coarse.
        unsure = (linkage > bound) & (bound <= self.distance_threshold)
        for query in np.flatnonzero(unsure | huge):
            step = self.centers - rows[query]
            to_all = np.einsum("cd,cd->c", step, step) + self.variances
            nearest[query] = to_all.argmin()
            linkage[query] = to_all[nearest[query]]
        return nearest, linkage

    def save(self, path: str | os.PathLike) -> None:
        """Writes a directory, replacing an older clustering there."""
        from al_tf.clustering import store as clustering_store

        clustering_store.save_clustering(self, path)


def power_of_two_below(rows: np.ndarray) -> float:
    """The power of two that scales the longest row to at most one."""
    largest = float(np.abs(rows).max(initial=0.0)) * np.sqrt(rows.shape[1])
    return float(2.0 ** -np.ceil(np.log2(largest))) if largest > 0 else 1.0


def checksum(embeddings: Embeddings) -> int:
    """CRC-32 of all rows, in float32 or float64 as they are stored."""
    value = 0
    for _, block in embeddings.blocks():
        value = zlib.crc32(np.ascontiguousarray(block).data, value)
    return value


def assemble(
    rows: Embeddings,
    merges: np.ndarray,
    distances: np.ndarray,
    threshold: float,
    metric: str,
    pool: dict[str, Any],
    info: dict[str, Any],
) -> Clustering:
    """Cuts the tree and computes the moments of the clusters."""
    n, d = rows.shape
    ids = row_kernels.components(n, merges[:, 0], merges[:, 1])
    count = np.bincount(ids)
    origin = np.zeros(d)
    for first, block in rows.blocks():
        origin += normalized(block, first, metric).sum(0) / n
    total = np.zeros((len(count), d))
    square = np.zeros(len(count))
    for first, block in rows.blocks():
        part = normalized(block, first, metric) - origin
        row_kernels.add_rows(
            part, ids[first : first + len(part)], total, square
        )
    total /= count[:, None]
    # Rounding may leave a tiny negative number where all rows are equal.
    spread = square / count - np.einsum("cd,cd->c", total, total)
    return Clustering(
        cluster_ids=ids,
        distance_threshold=threshold,
        merge_distances=distances,
        merges=merges,
        metric=metric,
        centers=total,
        variances=np.maximum(spread, 0.0),
        origin=origin,
        pool=pool,
        info=info,
    )
