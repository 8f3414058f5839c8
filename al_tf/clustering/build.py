"""From embeddings to clusters: checks, choice of index, cache, clustering."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from typing import Any

import numpy as np
from absl import logging

from al_tf.clustering import average_linkage as hac
from al_tf.clustering import store as clustering_store
from al_tf.clustering.result import Clustering, assemble, checksum
from al_tf.inputs.embeddings import METRICS, open_embeddings, working_copy
from al_tf.neighbors import scann_index
from al_tf.neighbors.protocol import Neighbors
from runkit import InputError, closest

# Multiply-adds of one pass over all pairs that `exact="auto"` spends: a few
# minutes on two cores. A constant and not a measured speed, so that the same
# pool gets the same clusters on every machine.
EXACT_WORK = 1e13
# Below this, an approximate index costs more than it saves.
_SMALL_POOL = 2000


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
            folder or list of shards; see `al_tf.inputs.embeddings`.
        distance_threshold: clusters farther apart than this are not merged
            (average cosine distance in [0, 2], or squared distance).
        target_cluster_size: instead of it, the mean size of the clusters.
        metric: "cosine" or "sqeuclidean".
        num_neighbors: length of the candidate lists.
        exact: True: exact average linkage. False: neighbors by ScaNN.
            "auto": exact where that costs minutes; the choice is logged.
        seed: of the recall probe.
        cache: a directory where the neighbors are kept, so that a run that
            was stopped, or one with another threshold, does not search again;
            the exact search then lists neighbors beyond the threshold too.
        verbose: print progress.

    Returns:
        A `Clustering`.

    Raises:
        InputError: bad embeddings or arguments.
    """
    rows = open_embeddings(embeddings)
    n = rows.shape[0]
    _check_arguments(
        n, distance_threshold, target_cluster_size, metric, num_neighbors
    )
    num_neighbors = int(num_neighbors)
    if target_cluster_size is not None:
        target_cluster_size = float(target_cluster_size)
    if cache is not None:
        clustering_store.check_replaceable(cache)
    use_exact, reason = _choose_index(rows.shape, exact)
    logging.info("neighbor index: %s", reason)
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
        on_first_answer=None if cache is None else store.save,
        verbose=verbose,
    )
    distance = merges.distance * work.unit
    if distance_threshold is None:
        threshold = float(distance[-1]) if len(distance) else 0.0
    info = {
        "index": reason,
        "target": target_cluster_size,
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
    made = assemble(rows, pairs, distance, float(threshold), metric, pool, info)
    logging.info(
        "%d examples in %d clusters at threshold %g: %d rounds, %.2f "
        "neighbor queries a point, recall %.4f, %.1f s",
        n,
        made.num_clusters,
        threshold,
        effort.rounds,
        info["queries_per_point"],
        probe["recall"],
        info["seconds"],
    )
    return made


def _check_arguments(
    n: int,
    distance_threshold: float | None,
    target_cluster_size: float | None,
    metric: str,
    num_neighbors: int,
) -> None:
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
    if num_neighbors < 1:
        raise InputError(
            "must be at least 1", where="num_neighbors", got=num_neighbors
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
    """The neighbors of the points, kept in a directory if there is one."""

    def __init__(
        self,
        folder: str | os.PathLike | None,
        pool: dict[str, Any],
        metric: str,
        num_neighbors: int,
        exact: bool,
        probe: dict[str, Any],
    ):
        self._path = None if folder is None else pathlib.Path(folder)
        self._key = {
            **pool,
            "metric": metric,
            "num_neighbors": num_neighbors,
            "exact": exact,
        }
        self._probe = probe

    def load(self) -> Neighbors | None:
        if self._path is None:
            return None
        found = clustering_store.load_neighbors(self._path, self._key)
        if found is None:
            return None
        answer, probe = found
        self._probe.update(probe)
        logging.info("neighbors reused from %s", self._path)
        return answer

    def save(self, answer: Neighbors) -> None:
        if self._path is not None:
            clustering_store.save_neighbors(
                self._path, self._key, answer, self._probe
            )
