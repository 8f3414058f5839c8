"""Clusters a pool in shards by exact average linkage, on any engine.

Stages: read the shards into parts of the pool, prepare the rows, merge
identical ones, find the first neighbors, merge in rounds. What a stage has made
is kept in a state folder, from which a run that was stopped goes on.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from al_tf.clustering.average_linkage import run_rounds, without_surplus
from al_tf.clustering.members import component_ids
from al_tf.clustering.merges import MergeRecord, Merges
from al_tf.clustering.options import ClusteringOptions
from al_tf.distributed.costs.watch import (
    PREPARE,
    READ,
    ROUNDS,
    SEARCH,
    OnProgress,
    quiet,
)
from al_tf.distributed.engine import Engine
from al_tf.distributed.first_search import (
    first_search,
    first_search_by_scann,
)
from al_tf.distributed.fleet import Fleet, repartition
from al_tf.distributed.rounds import PartitionedRounds
from al_tf.distributed.stages import parts as stages
from al_tf.distributed.stages.parts import Part
from al_tf.distributed.stages.preparation import Shard
from al_tf.distributed.start import RawPool, prepare, read_pool
from al_tf.distributed.state import RunState, check_state
from al_tf.neighbors import scann_index
from runkit import InputError


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a pool is spread.

    Attributes:
        num_parts: parts of the pool, each the work of one worker at a time.
        finish_rows: so few clusters are finished by one machine.
        max_part_bytes: refuse parts that need more memory.
    """

    num_parts: int
    finish_rows: int = 200_000
    max_part_bytes: int = 16 << 30


class DistributedClusters(NamedTuple):
    """Clusters of a pool; as in `al_tf.Clustering`.

    Attributes:
        cluster_ids: `[n]` int64, numbered by smallest member.
        distance_threshold: largest average linkage within a cluster.
        merge_distances: `[m]` float64 ascending.
        merges: `[m, 2]` int64.
        rounds: rounds over parts that it took.
        recall: of the first search, on a sample; 1 if it was exact.
    """

    cluster_ids: np.ndarray
    distance_threshold: float
    merge_distances: np.ndarray
    merges: np.ndarray
    rounds: int
    recall: float = 1.0


def cluster_shards(
    engine: Engine,
    shards: Sequence[Shard],
    options: ClusteringOptions,
    layout: Layout,
    *,
    state: str | os.PathLike | None = None,
    save_seconds: float = 60.0,
    on_progress: OnProgress = quiet,
) -> DistributedClusters:
    """Clusters shards, exactly or with ScaNN's neighbors.

    Unless `options.exact` is False, the partition, the merge heights and hence
    every batch are those of one machine, of `cluster_embeddings(exact=True)`
    for the rows in the order of their places, for every number of parts and
    every order of shards: see `rounds`.

    Args:
        engine: where to compute.
        shards: places 0 to n - 1, each once.
        options: what to cluster by; "auto" is exact here.
        layout: how to spread the pool.
        state: folder from which a run that was stopped goes on.
        save_seconds: waves of the first search are kept so often.
        on_progress: told what is being done; see `Watch`.

    Raises:
        InputError: bad shards or options; the state of another run.
    """
    n = sum(len(shard.places) for shard in shards)
    options = options.checked(n)
    if layout.num_parts < 1:
        raise InputError(
            "must be at least 1", where="num_parts", got=layout.num_parts
        )
    is_exact = options.exact is not False
    if not is_exact and not scann_index.is_available():
        raise InputError(
            "ScaNN is not installed",
            where="exact",
            remedy="pip install 'spactor-al[scann]' on all machines, or ask "
            "for exact neighbors",
        )
    if state is not None:
        check_state(pathlib.Path(state))
    on_progress(READ, 0.0, "")
    k_bytes = 2 * options.num_neighbors * 4 * 3 + 128
    pool = read_pool(
        engine, shards, layout.num_parts, layout.max_part_bytes, k_bytes
    )
    key = {
        "pool": {"shape": [n, pool.dimension], "checksum": pool.checksum},
        "options": {
            name: value
            for name, value in dataclasses.asdict(options).items()
            if name != "seed" and not (name == "exact" and is_exact)
        },
        "parts": layout.num_parts,
    }
    kept = RunState(None if state is None else pathlib.Path(state), key, engine)
    run, recall = _started(
        engine, pool, options, kept, save_seconds, layout, on_progress
    )
    wanted = options.num_clusters(n)
    merges_wanted = None if wanted is None else n - wanted
    run_rounds(run, merges_wanted)
    merges = run.merges()
    if merges_wanted is not None:
        merges = without_surplus(merges, merges_wanted)
    distance = merges.distance * run.unit
    threshold = options.distance_threshold
    if threshold is None:
        threshold = distance[-1] if len(distance) else 0.0
    pairs = np.stack([merges.first, merges.second], 1)
    logging.info("%d merges in %d rounds over parts", len(pairs), run.rounds)
    return DistributedClusters(
        component_ids(n, pairs),
        float(threshold),
        distance,
        pairs,
        run.rounds,
        recall,
    )


def _started(
    engine: Engine,
    pool: RawPool,
    options: ClusteringOptions,
    kept: RunState,
    save_seconds: float,
    layout: Layout,
    on_progress: OnProgress,
) -> tuple[PartitionedRounds, float]:
    """The rounds, from where an earlier run stopped or from the beginning.

    Returns:
        (the rounds, recall of the first search).
    """
    scann = options.seed if options.exact is False else None
    found = kept.latest("parts", Part)
    record = MergeRecord()
    if found is None:
        on_progress(PREPARE, 0.0, "")
        fleet, unit = _prepared(engine, pool, options, record)
        threshold = options.distance_threshold
        threshold = np.inf if threshold is None else threshold / unit
        rounds, is_searched, recall = 0, fleet.num_rows < 2, 1.0
    else:
        fields, arrays, parts = found
        fleet = Fleet(
            parts,
            arrays["starts"],
            arrays["counts"].tolist(),
            pool.dimension,
            fields["width"],
        )
        unit, rounds = fields["unit"], fields["rounds"]
        threshold, is_searched = fields["threshold"], fields["is_searched"]
        recall = fields.get("recall", 1.0)
        record.add(Merges(arrays["first"], arrays["second"], arrays["height"]))
        logging.info("the run goes on after round %d", rounds)

    def save(threshold: float, rounds: int, is_searched: bool) -> None:
        merges = record.all()
        kept.save(
            "parts",
            rounds + is_searched,
            fleet.parts,
            fields={
                "unit": unit,
                "rounds": rounds,
                "threshold": threshold,
                "is_searched": is_searched,
                "width": fleet.width,
                "recall": recall,
            },
            arrays={
                "starts": fleet.starts,
                "counts": np.array(fleet.counts),
                "first": merges.first.astype(np.int64),
                "second": merges.second.astype(np.int64),
                "height": merges.distance,
            },
        )

    if not is_searched:
        if found is None:
            save(threshold, rounds, False)
        if scann is None:
            first_search(
                engine, fleet, threshold, kept, save_seconds, on_progress
            )
        else:
            on_progress(SEARCH, 0.0, "ScaNN in every part")
            recall = first_search_by_scann(engine, fleet, scann)
        save(threshold, rounds, True)
    first_rows = fleet.num_rows

    def after_round(run: PartitionedRounds) -> None:
        save(run.threshold, run.rounds, True)
        left = run.num_open / max(first_rows, 1)
        note = f"round {run.rounds}, {run.num_open:,} clusters open"
        on_progress(ROUNDS, 1 - left, note)

    on_progress(ROUNDS, 0.0, "")
    run = PartitionedRounds(
        engine,
        fleet,
        threshold=threshold,
        record=record,
        unit=unit,
        finish_rows=layout.finish_rows,
        after_round=after_round,
        rounds=rounds,
        scann=scann,
    )
    return run, recall


def _prepared(
    engine: Engine,
    pool: RawPool,
    options: ClusteringOptions,
    record: MergeRecord,
) -> tuple[Fleet, float]:
    """Distinct rows in parts, with empty lists."""
    ready = prepare(engine, pool, options.metric)
    n = pool.edges[-1]
    copies, originals = ready.copies
    record.add(Merges(originals, copies, np.zeros(len(copies))))
    size = np.bincount(originals, minlength=n) + 1.0
    is_distinct = np.ones(n, bool)
    is_distinct[copies] = False
    k = max(1, min(options.num_neighbors, int(is_distinct.sum()) - 1))
    parts = engine.map(
        "prepare",
        stages.new_part,
        [
            (rows, np.arange(a, b), size[a:b], is_distinct[a:b], k)
            for rows, a, b in zip(
                ready.parts, pool.edges[:-1], pool.edges[1:], strict=True
            )
        ],
        keeps=1,
    )
    fleet = Fleet(
        parts,
        np.array(pool.edges),
        np.diff(pool.edges).tolist(),
        pool.dimension,
        2 * k,
    )
    if len(copies):
        left = [
            int(is_distinct[a:b].sum())
            for a, b in zip(pool.edges[:-1], pool.edges[1:], strict=True)
        ]
        repartition(engine, fleet, left, only_open=True)
    return fleet, ready.unit
