"""Clusters of a pool: made once, kept on disk, reused in every round."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any, TypedDict

import numpy as np

from al_tf.clustering import store
from al_tf.clustering.members import cluster_moments, component_ids
from al_tf.inputs.arrays import number
from al_tf.inputs.embeddings import Embeddings, Source, open_embeddings
from al_tf.inputs.ids import ExampleIds
from al_tf.inputs.preparation import (
    block_checksum,
    normalized,
    power_of_two_below,
)
from al_tf.neighbors.exact_index import ExactIndex
from runkit import InputError

# Means of copies round by less than this share of the distance to the origin.
_SAME_ROW = 2.0**-40
# Squares of larger numbers come near the end of float32.
_LARGEST_QUERY = 1e15

Path = str | os.PathLike
# A value of `Clustering.info`.
Fact = str | int | float | bool | None


class PoolKey(TypedDict):
    """What tells one pool of embeddings from another.

    Attributes:
        shape: [n, d].
        checksum: CRC-32 of all rows.
    """

    shape: list[int]
    checksum: int


@dataclasses.dataclass(frozen=True)
class Clustering:
    """Average-linkage clusters of a pool, cut at a distance threshold.

    Attributes:
        cluster_ids: `[n]` int64; the cluster of each example, numbered
            0, 1, ... in the order of their smallest example ids.
        distance_threshold: largest average linkage within a cluster.
        merge_distances: `[m]` float64, ascending; average linkage of the
            merges. n - m clusters are left.
        merges: `[m, 2]` int64; an example of either cluster of each merge.
        metric: "cosine" or "sqeuclidean".
        centers: `[clusters, d]` float64 mean of each cluster's (for cosine:
            scaled) rows, less `origin`.
        variances: `[clusters]` float64 mean squared distance to the mean.
        origin: `[d]` float64 mean of all (scaled) rows.
        pool: the embeddings that were clustered.
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
    pool: PoolKey
    info: dict[str, Fact]

    @property
    def num_clusters(self) -> int:
        """Number of clusters."""
        return len(self.variances)

    def cut(self, distance_threshold: float, embeddings: Source) -> Clustering:
        """Cuts the same tree at a smaller threshold, without clustering.

        Args:
            distance_threshold: at most the present one.
            embeddings: those of the pool, for the new moments; read once.

        Raises:
            InputError: the threshold is larger than the present one, or the
                embeddings are not those of this pool.
        """
        distance_threshold = number(distance_threshold, "distance_threshold")
        if not 0 <= distance_threshold <= self.distance_threshold:
            raise InputError(
                "cannot be cut there",
                where="distance_threshold",
                got=distance_threshold,
                expected=f"0 to {self.distance_threshold:g}",
                remedy="Cluster again for a larger threshold",
            )
        keep = self.merge_distances <= distance_threshold
        merges = self.merges[keep]
        ids = component_ids(len(self.cluster_ids), merges)
        blocks = self._checked_blocks(open_embeddings(embeddings))
        centers, variances = cluster_moments(
            blocks, ids, self.metric, self.origin
        )
        return dataclasses.replace(
            self,
            cluster_ids=ids,
            distance_threshold=float(distance_threshold),
            merge_distances=self.merge_distances[keep],
            merges=merges,
            centers=centers,
            variances=variances,
        )

    def check_pool(self, embeddings: Embeddings) -> None:
        """Refuses embeddings that are not those that were clustered.

        Raises:
            InputError: the shapes or the checksums differ.
        """
        for _ in self._checked_blocks(embeddings):
            pass

    def _checked_blocks(
        self, embeddings: Embeddings
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yields all blocks; then refuses those of another pool."""
        shape = list(embeddings.shape)
        if shape != self.pool["shape"]:
            raise InputError(
                "the clustering is of another pool: the shapes differ",
                where="clustering",
                got=self.pool["shape"],
                expected=str(shape),
            )
        found = 0
        for first, block in embeddings.blocks():
            found = block_checksum(block, found)
            yield first, block
        if found != self.pool["checksum"]:
            raise InputError(
                "the clustering is of another pool: the checksums differ",
                where="clustering",
                got=self.pool["checksum"],
                expected=str(found),
                remedy="Delete the directory or name another",
            )

    def assign(self, new_embeddings: Source) -> np.ndarray:
        """Finds clusters for examples that joined the pool later.

        A new example joins the cluster with the smallest average linkage to
        it, if that is within the threshold; else it becomes a cluster of its
        own. The clusters' moments stay as they are.

        Args:
            new_embeddings: `[m, d]`, anything that `open_embeddings` takes.

        Returns:
            `[m]` int64 cluster ids; new clusters are numbered from
            `num_clusters` on in order; only those of `grow` are remembered.

        Raises:
            InputError: embeddings of another dimension, or bad ones.
        """
        return self._assigned(open_embeddings(new_embeddings))[0]

    def grow(self, new_embeddings: Source) -> Clustering:
        """Returns a clustering that holds the new examples too.

        They get the clusters that `assign` finds, and the ids after those of
        the pool. The moments of the older clusters stay as they are.

        Args:
            new_embeddings: `[m, d]`, of the dtype of the pool's.

        Raises:
            InputError: as `assign`.
        """
        new, n = open_embeddings(new_embeddings), len(self.cluster_ids)
        joined, linkage = self._assigned(new)
        fresh = joined >= self.num_clusters
        added, checksum = [self.centers], self.pool["checksum"]
        for first, block in new.blocks():
            checksum = block_checksum(block, checksum)
            rows = normalized(block, first, self.metric) - self.origin
            added.append(rows[fresh[first : first + len(rows)]])
        all_ids = np.concatenate([self.cluster_ids, joined])
        # Each that joins is a merge with the first member of its cluster.
        _, members = np.unique(self.cluster_ids, return_index=True)
        later = np.flatnonzero(~fresh)
        merges = np.stack([members[joined[later]], n + later], 1)
        distance = np.minimum(linkage[later], self.distance_threshold)
        distance = np.concatenate([self.merge_distances, distance])
        order = np.argsort(distance, kind="stable")
        return dataclasses.replace(
            self,
            cluster_ids=all_ids,
            merge_distances=distance[order],
            merges=np.concatenate([self.merges, merges])[order],
            centers=np.concatenate(added),
            variances=np.append(self.variances, np.zeros(fresh.sum())),
            pool={"shape": [len(all_ids), new.shape[1]], "checksum": checksum},
        )

    def _assigned(self, new: Embeddings) -> tuple[np.ndarray, np.ndarray]:
        """Finds (cluster, average linkage to the nearest) of each row."""
        if new.shape[1] != self.centers.shape[1]:
            raise InputError(
                "not the dimension of the clustering",
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
        distance = np.empty(new.shape[0])
        fresh = self.num_clusters
        for first, block in new.blocks():
            rows = normalized(block, first, self.metric) - self.origin
            nearest, linkage = self._nearest_cluster(rows, index, scale)
            size = np.einsum("nd,nd->n", rows, rows) + self.origin @ self.origin
            rounding = _SAME_ROW**2 * size
            joins = linkage <= np.maximum(self.distance_threshold, rounding)
            distance[first : first + len(rows)] = linkage
            alone = int((~joins).sum())
            nearest[~joins] = np.arange(fresh, fresh + alone)
            fresh += alone
            assigned[first : first + len(rows)] = nearest
        return assigned, distance

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
        # float32 was too coarse where a cluster that is not listed might be the
        # nearest within the threshold.
        unsure = (linkage > bound) & (bound <= self.distance_threshold)
        for query in np.flatnonzero(unsure | huge):
            step = self.centers - rows[query]
            to_all = np.einsum("cd,cd->c", step, step) + self.variances
            nearest[query] = to_all.argmin()
            linkage[query] = to_all[nearest[query]]
        return nearest, linkage

    def save(self, path: Path, ids: ExampleIds | None = None) -> None:
        """Writes a directory, replacing an older clustering there.

        With the examples' ids, `clusters.parquet` tells who is where.

        Raises:
            InputError: the directory holds other files.
        """
        fields = dataclasses.asdict(self)
        arrays = {name: fields.pop(name) for name in store.ARRAYS}
        store.write_clustering(path, fields, arrays, ids)


def load_clustering(path: Path) -> Clustering:
    """Opens what `Clustering.save` wrote.

    Raises:
        InputError: no clustering there, of another version, or damaged.
    """
    fields, arrays = store.read_clustering(path)
    values: dict[str, Any] = fields | arrays
    try:
        found = Clustering(**values)
        _check_whole(found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"is not a whole clustering ({error})"
        raise InputError(what, where=str(path)) from None
    return found


def _check_whole(found: Clustering) -> None:
    """Compares the parts of a clustering from disk with each other.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: they do not fit.
    """
    n, d = found.pool["shape"]
    m = len(found.merge_distances)
    _check_array("merge_distances", found.merge_distances, (m,))
    _check_array("centers", found.centers, (n - m, d))
    _check_array("variances", found.variances, (n - m,))
    _check_array("origin", found.origin, (d,))
    _check_array("cluster_ids", found.cluster_ids, (n,), n - m)
    _check_array("merges", found.merges, (m, 2), n)
    threshold, checksum = found.distance_threshold, found.pool["checksum"]
    if found.metric not in ("cosine", "sqeuclidean"):
        raise ValueError(f"metric {found.metric!r}")
    if type(threshold) not in (int, float) or not 0 <= threshold < np.inf:
        raise ValueError(f"distance_threshold {threshold!r}")
    if type(checksum) is not int or not isinstance(found.info, dict):
        raise ValueError(f"checksum {checksum!r}, info {found.info!r}")


def _check_array(
    name: str, array: np.ndarray, shape: tuple[int, ...], limit: int = 0
) -> None:
    """Checks shape, dtype and values; a `limit` is that of row numbers."""
    if array.shape != shape or array.dtype.kind != ("i" if limit else "f"):
        raise ValueError(f"{name}: {array.dtype} of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} is not finite")
    if limit and array.size and not 0 <= array.min() <= array.max() < limit:
        raise ValueError(f"{name}: numbers outside 0 to {limit - 1}")
