"""Clusters of a pool: made once, kept on disk, reused in every round."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
import zlib
from typing import Any

import numpy as np
from absl import logging

from al_tf import hac, hac_kernels, scann_index
from al_tf.embeddings import (
    METRICS,
    Embeddings,
    normalized,
    open_embeddings,
    working_copy,
)
from al_tf.neighbors import BruteForceIndex, Neighbors
from runkit import InputError, closest

# Multiply-adds of one pass over all pairs that `exact="auto"` spends: a few
# minutes on two cores. A constant and not a measured speed, so that the same
# pool gets the same clusters on every machine.
EXACT_WORK = 1e13
# Below this, an approximate index costs more than it saves.
_SMALL_POOL = 2000


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
        centers: `[clusters, d]` float32 mean of each cluster's (for cosine:
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
        return _assemble(
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
        index = BruteForceIndex(self.centers, self.variances)
        assigned = np.empty(new.shape[0], np.int64)
        fresh = self.num_clusters
        for first, block in new.blocks():
            rows = normalized(block, first, self.metric) - self.origin
            nearest, linkage = self._nearest_cluster(rows, index)
            joins = linkage <= self.distance_threshold
            alone = int((~joins).sum())
            nearest[~joins] = np.arange(fresh, fresh + alone)
            fresh += alone
            assigned[first : first + len(rows)] = nearest
        return assigned

    def _nearest_cluster(self, rows, index) -> tuple[np.ndarray, np.ndarray]:
        # A few candidates in float32, the choice among them in float64.
        k = min(4, self.num_clusters)
        exclude = np.full(len(rows), -1)
        found = index.search(rows.astype(np.float32), k, exclude).ids
        step = rows[:, None, :] - self.centers[found]
        linkage = np.einsum("qkd,qkd->qk", step, step) + self.variances[found]
        best = np.lexsort((found, linkage), axis=1)[:, :1]
        take = lambda values: np.take_along_axis(values, best, 1)[:, 0]  # noqa: E731
        return take(found).astype(np.int64), take(linkage)

    def save(self, path: str | os.PathLike) -> None:
        """Writes a directory, replacing an older clustering there."""
        from al_tf import clustering_store

        clustering_store.save_clustering(self, path)


def cluster_embeddings(
    embeddings: Any,
    *,
    distance_threshold: float | None = None,
    target_cluster_size: float | None = None,
    metric: str = "cosine",
    num_neighbors: int = 16,
    exact: bool | str = "auto",
    seed: int = 0,
    cache: str | os.PathLike | None = None,
    verbose: bool = False,
) -> Clustering:
    """Clusters a pool by average linkage (Cluster-Margin, section 3).

    Args:
        embeddings: `[n, d]` floating-point array, `.npy` or Parquet path,
            folder or list of shards; see `al_tf.embeddings`.
        distance_threshold: clusters farther apart than this are not merged
            (average cosine distance in [0, 2], or squared distance).
        target_cluster_size: instead of it, the mean size of the clusters.
        metric: "cosine" or "sqeuclidean".
        num_neighbors: length of the candidate lists.
        exact: True: exact average linkage. False: neighbours by ScaNN.
            "auto": exact where that costs minutes; the choice is logged.
        seed: of the recall probe.
        cache: a directory where the neighbours are kept, so that a run that
            was stopped, or one with another threshold, does not search again.
        verbose: print progress.

    Returns:
        A `Clustering`.

    Raises:
        InputError: bad embeddings or arguments.
    """
    rows = open_embeddings(embeddings)
    n = rows.shape[0]
    _check_arguments(n, distance_threshold, target_cluster_size, metric)
    use_exact, reason = _choose_index(rows.shape, exact)
    logging.info("neighbour index: %s", reason)
    began, cpu = time.monotonic(), time.process_time()
    work = working_copy(rows, metric, np.float64 if use_exact else np.float32)
    pool = {"shape": list(rows.shape), "checksum": checksum(rows)}
    probe: dict[str, Any] = {"recall": 1.0}
    store = _NeighborCache(cache, pool, metric, num_neighbors, use_exact, probe)
    threshold = np.inf if distance_threshold is None else distance_threshold
    merges, effort = hac.average_linkage(
        work.rows,
        distance_threshold=threshold / work.unit,
        num_clusters=None
        if target_cluster_size is None
        else max(1, round(n / target_cluster_size)),
        num_neighbors=num_neighbors,
        make_index=None if use_exact else _scann_factory(seed, probe),
        first_answer=store.load(),
        on_first_answer=store.save,
        verbose=verbose,
    )
    distance = merges.distance * work.unit
    if distance_threshold is None:
        threshold = float(distance[-1]) if len(distance) else 0.0
    info = {
        "index": reason,
        "exact": use_exact,
        "num_neighbors": num_neighbors,
        "queries_per_point": effort.queries / n,
        **dataclasses.asdict(effort),
        **probe,
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
    }
    # The moments are read from the embeddings again, in blocks.
    del work
    pairs = np.stack([merges.first, merges.second], 1)
    made = _assemble(
        rows, pairs, distance, float(threshold), metric, pool, info
    )
    logging.info(
        "%d examples in %d clusters at threshold %g: %d rounds, %.2f "
        "neighbour queries a point, recall %.4f, %.1f s",
        n,
        made.num_clusters,
        threshold,
        effort.rounds,
        info["queries_per_point"],
        probe["recall"],
        info["seconds"],
    )
    return made


def load_clustering(path: str | os.PathLike) -> Clustering:
    """Opens what `Clustering.save` wrote.

    Raises:
        InputError: no clustering there, of another version, or damaged.
    """
    from al_tf import clustering_store

    return clustering_store.load_clustering(path)


def checksum(embeddings: Embeddings) -> int:
    """CRC-32 of all rows, in float32 or float64 as they are stored."""
    value = 0
    for _, block in embeddings.blocks():
        value = zlib.crc32(np.ascontiguousarray(block), value)
    return value


def _check_arguments(n, distance_threshold, target_cluster_size, metric):
    if metric not in METRICS:
        raise InputError(
            "unknown metric",
            where="metric",
            got=metric,
            remedy=closest(metric, METRICS),
        )
    if n == 0:
        raise InputError("an empty pool has no clusters", where="embeddings")
    if (distance_threshold is None) == (target_cluster_size is None):
        raise InputError(
            "give exactly one of distance_threshold and target_cluster_size",
            where="cluster_embeddings",
        )
    if distance_threshold is not None and not distance_threshold >= 0:
        raise InputError(
            "must not be negative",
            where="distance_threshold",
            got=distance_threshold,
        )
    if target_cluster_size is not None and not 1 <= target_cluster_size <= n:
        raise InputError(
            "impossible mean cluster size",
            where="target_cluster_size",
            got=target_cluster_size,
            expected=f"1 to {n}, the number of examples",
        )


def _choose_index(
    shape: tuple[int, int], exact: bool | str
) -> tuple[bool, str]:
    """Returns (exact?, the reason in words)."""
    n, d = shape
    work = float(n) * n * d
    cost = f"{work:.1e} multiply-adds a pass over all pairs"
    if exact is True:
        return True, f"exact, as asked ({cost})"
    if exact is False:
        if n < _SMALL_POOL:
            return True, f"exact: {n} examples are too few for ScaNN"
        return False, f"ScaNN, as asked ({cost} were exact)"
    if exact != "auto":
        raise InputError(
            "unknown choice",
            where="exact",
            got=exact,
            expected="auto, True, False",
        )
    if work <= EXACT_WORK or n < _SMALL_POOL:
        return True, f"exact: {cost} take minutes at most"
    if not scann_index.is_available():
        return True, f"exact, though {cost} take long: ScaNN is not installed"
    return False, f"ScaNN: {cost} are more than {EXACT_WORK:.0e}"


def _scann_factory(seed: int, probe: dict[str, Any]) -> hac.IndexFactory:
    def make(rows, offsets, k):
        index = scann_index.ScannIndex(rows, offsets, k=k, seed=seed)
        reached = index.tune(k)
        logging.info(
            "ScaNN: %d of %d leaves searched, recall@%d %.4f on a sample",
            index.leaves_to_search,
            index.num_leaves,
            k,
            reached,
        )
        # The first index, over single points, is the one that is reported.
        if "leaves_to_search" not in probe:
            probe["recall"] = reached
            probe["leaves_to_search"] = index.leaves_to_search
            probe["num_leaves"] = index.num_leaves
        return index

    return make


class _NeighborCache:
    """The neighbours of the points, kept in a directory if there is one."""

    def __init__(self, folder, pool, metric, num_neighbors, exact, probe):
        self._path = None if folder is None else pathlib.Path(folder)
        self._key = {
            **pool,
            "metric": metric,
            "num_neighbors": num_neighbors,
            "exact": exact,
        }
        self._probe = probe

    def load(self) -> Neighbors | None:
        from al_tf import clustering_store

        if self._path is None:
            return None
        found = clustering_store.load_neighbors(self._path, self._key)
        if found is None:
            return None
        answer, probe = found
        self._probe.update(probe)
        logging.info("neighbours reused from %s", self._path)
        return answer

    def save(self, answer: Neighbors) -> None:
        from al_tf import clustering_store

        if self._path is not None:
            clustering_store.save_neighbors(
                self._path, self._key, answer, self._probe
            )


def _assemble(
    rows, merges, distances, threshold, metric, pool, info
) -> Clustering:
    """Cuts the tree and computes the moments of the clusters."""
    n, d = rows.shape
    ids = hac_kernels.components(n, merges[:, 0], merges[:, 1])
    count = np.bincount(ids)
    origin = np.zeros(d)
    for first, block in rows.blocks():
        origin += normalized(block, first, metric).sum(0) / n
    total = np.zeros((len(count), d))
    square = np.zeros(len(count))
    for first, block in rows.blocks():
        part = normalized(block, first, metric) - origin
        hac_kernels.add_rows(
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
        centers=total.astype(np.float32),
        variances=np.maximum(spread, 0.0),
        origin=origin,
        pool=pool,
        info=info,
    )
