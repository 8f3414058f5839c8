"""From embeddings to clusters: checks, choice of index, clustering."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Literal

import numpy as np
from absl import logging

from al_tf.clustering import average_linkage as hac
from al_tf.clustering import store as clustering_store
from al_tf.clustering.members import cluster_moments, component_ids
from al_tf.clustering.options import ClusteringOptions
from al_tf.clustering.result import Clustering, PoolKey
from al_tf.inputs.embeddings import Embeddings, Source, open_embeddings
from al_tf.inputs.preparation import WorkingCopy, working_copy
from al_tf.neighbors.scann_index import ScannIndex


def cluster_embeddings(
    embeddings: Source,
    *,
    distance_threshold: float | None = None,
    target_cluster_size: float | None = None,
    metric: str = "cosine",
    num_neighbors: int = 16,
    exact: bool | Literal["auto"] = "auto",
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
        target_cluster_size: mean size of the clusters, in place of a
            threshold.
        metric: "cosine" or "sqeuclidean".
        num_neighbors: length of the candidate lists.
        exact: True: exact average linkage. False: neighbors by ScaNN.
            "auto": exact if that takes minutes at most; the choice is logged.
        seed: random seed of the recall probe.
        cache: a directory that keeps the neighbors, so that a run that was
            stopped, or one with another threshold, does not search again. The
            exact search then lists neighbors beyond the threshold too.
        verbose: print progress.

    Returns:
        A `Clustering`.

    Raises:
        InputError: bad embeddings or arguments.
    """
    options = ClusteringOptions(
        distance_threshold=distance_threshold,
        target_cluster_size=target_cluster_size,
        metric=metric,
        num_neighbors=num_neighbors,
        exact=exact,
        seed=seed,
    )
    return cluster_pool(
        open_embeddings(embeddings), options, cache=cache, verbose=verbose
    )


def cluster_pool(
    embeddings: Embeddings,
    options: ClusteringOptions,
    *,
    cache: str | os.PathLike | None = None,
    verbose: bool = False,
) -> Clustering:
    """Clusters opened embeddings; see `cluster_embeddings`.

    The embeddings are read twice: into the working copy that is clustered,
    and for the moments of the clusters.
    """
    n = embeddings.shape[0]
    options = options.checked(n)
    if cache is not None:
        clustering_store.check_replaceable(cache)
    choice = options.choose_index(embeddings.shape)
    logging.info("neighbor index: %s", choice.reason)
    began, cpu = time.monotonic(), time.process_time()
    work = working_copy(
        embeddings, options.metric, np.float64 if choice.exact else np.float32
    )
    pool = PoolKey(shape=list(embeddings.shape), checksum=work.checksum)
    found = _linkage(work, pool, options, choice.exact, cache, verbose)
    distance = found.merges.distance * work.unit
    threshold = options.distance_threshold
    if threshold is None:
        threshold = distance[-1] if len(distance) else 0.0
    seconds = time.monotonic() - began
    info = {
        "index": choice.reason,
        "target": options.target_cluster_size,
        "exact": choice.exact,
        "num_neighbors": options.num_neighbors,
        "queries_per_point": found.effort.queries / n,
        **dataclasses.asdict(found.effort),
        **found.probe.facts(),
        "seconds": seconds,
        "cpu_seconds": time.process_time() - cpu,
    }
    origin = work.center
    # Its memory is free before the embeddings are read again.
    del work
    merges = np.stack([found.merges.first, found.merges.second], 1)
    ids = component_ids(n, merges)
    centers, variances = cluster_moments(
        embeddings.blocks(), ids, options.metric, origin
    )
    logging.info(
        "%d examples in %d clusters at threshold %g: %d rounds, %.2f "
        "neighbor queries per point, recall %.4f, %.1f s",
        n,
        len(variances),
        threshold,
        found.effort.rounds,
        found.effort.queries / n,
        found.probe.recall,
        seconds,
    )
    return Clustering(
        cluster_ids=ids,
        distance_threshold=float(threshold),
        merge_distances=distance,
        merges=merges,
        metric=options.metric,
        centers=centers,
        variances=variances,
        origin=origin,
        pool=pool,
        info=info,
    )


def _linkage(
    work: WorkingCopy,
    pool: PoolKey,
    options: ClusteringOptions,
    exact: bool,
    cache: str | os.PathLike | None,
    verbose: bool,
) -> hac.Linkage:
    """Clusters the working copy, from kept neighbors if there are any."""
    store, first_answer = None, None
    if cache is not None:
        key = {
            **pool,
            "metric": options.metric,
            "num_neighbors": options.num_neighbors,
            "exact": exact,
        }
        store = clustering_store.NeighborStore(cache, key)
        first_answer = store.load()
        if first_answer is not None:
            logging.info("neighbors reused from %s", cache)
    threshold = options.distance_threshold
    return hac.average_linkage(
        work.rows,
        distance_threshold=(
            np.inf if threshold is None else threshold / work.unit
        ),
        num_clusters=options.num_clusters(len(work.rows)),
        num_neighbors=options.num_neighbors,
        make_index=None if exact else scann_factory(options.seed),
        first_answer=first_answer,
        on_first_answer=None if store is None else store.save,
        verbose=verbose,
    )


def scann_factory(seed: int) -> hac.IndexFactory:
    """Builds ScaNN indices that search enough leaves for a good recall.

    Args:
        seed: random seed of the recall probe.
    """

    def make(rows: np.ndarray, offsets: np.ndarray, k: int) -> ScannIndex:
        index = ScannIndex(rows, offsets, k=k, seed=seed)
        index.tune(k)
        logging.info(
            "ScaNN: %d of %d leaves searched, recall@%d %.4f on a sample",
            index.probe.leaves_to_search,
            index.probe.num_leaves,
            k,
            index.probe.recall,
        )
        return index

    return make
