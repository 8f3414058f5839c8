r"""Clusters and batches over parts against those of one machine: the same bits.

    TFDS_DATA_DIR=... python -m benchmarks.distributed.identity \
        --pools=imdb,cifar10 --parts=1,3,7
    python -m benchmarks.distributed.identity \
        --pools=families:50000,gaussian:50000 --parts=8 --finish_share=0.05

Each pool is clustered once on one machine, exactly, and then from shuffled
shards in parts by the stages that Ray would run. Partition, merge heights and a
batch by random margins have to be identical, or the run ends with an error.
Processor seconds count all threads.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from absl import app, flags

import al_tf
from al_tf.clustering.options import ClusteringOptions
from al_tf.distributed.cluster import Layout, cluster_shards
from al_tf.distributed.engine import LocalEngine
from al_tf.distributed.selection import select_from_parts
from al_tf.distributed.stages.choice import ScoredPart
from al_tf.distributed.stages.preparation import Shard
from benchmarks import harness
from benchmarks.active_learning import data as al_data

_POOLS = flags.DEFINE_list("pools", ["imdb", "cifar10"], "NAME or NAME:ROWS")
_PARTS = flags.DEFINE_list("parts", ["1", "3", "7"], "of the pool")
_MEAN_SIZE = flags.DEFINE_float("mean_size", 10.0, "of the clusters")
_FINISHED = flags.DEFINE_float("finish_share", 0.0, "left to one machine")
_RECORD = flags.DEFINE_string("record", "", "name in benchmarks/results")
_MAKERS = {
    "imdb": al_data.imdb_reviews,
    "cifar10": al_data.cifar10,
    "families": al_data.families,
    "gaussian": al_data.gaussian,
}
_BATCH, _MARGIN_BATCH, _SHARDS = 100, 1000, 5


def main(argv) -> None:
    del argv
    table = []
    for pool in _POOLS.value:
        name, _, size = pool.partition(":")
        path = _MAKERS[name](int(size or 20_000))
        al_data.warm_up()
        table += rows_of(name, np.load(path))
    if _RECORD.value:
        harness.record(_RECORD.value, table)


def rows_of(name: str, rows: np.ndarray) -> list[dict[str, Any]]:
    """A row of the table for each number of parts."""
    options = {"target_cluster_size": _MEAN_SIZE.value}
    began = time.process_time()
    one = al_tf.cluster_embeddings(rows, exact=True, **options)
    one_seconds = time.process_time() - began
    table = []
    for parts in map(int, _PARTS.value):
        engine = LocalEngine()
        began = time.process_time()
        found = cluster_shards(
            engine,
            shuffled(rows, parts),
            ClusteringOptions(**options),
            Layout(parts, int(_FINISHED.value * len(rows))),
        )
        seconds = time.process_time() - began
        np.testing.assert_array_equal(found.cluster_ids, one.cluster_ids)
        np.testing.assert_array_equal(
            found.merge_distances, one.merge_distances
        )
        check_batch(engine, one.cluster_ids, parts)
        table.append(
            {
                "pool": f"{name} {len(rows):,} x {rows.shape[1]}",
                "parts": parts,
                "clusters": int(one.cluster_ids.max()) + 1,
                "rounds over parts": found.rounds,
                "identical": "partition, heights, batch",
                "one machine CPU s": one_seconds,
                "parts CPU s": seconds,
                "of these search CPU s": engine.costs["search"].cpu_seconds,
            }
        )
        print(table[-1], flush=True)
    return table


def shuffled(rows: np.ndarray, seed: int) -> list[Shard]:
    """The pool in shards whose rows are in no order."""
    order = np.random.default_rng(seed).permutation(len(rows))
    return [
        Shard(rows[places], f"shard {i}", places)
        for i, places in enumerate(np.array_split(order, _SHARDS))
    ]


def check_batch(engine: LocalEngine, clusters: np.ndarray, parts: int) -> None:
    """A batch from parts, against that of one machine."""
    generator = np.random.default_rng(0)
    n = len(clusters)
    margins = generator.random(n).astype(np.float32)
    expected = al_tf.select_batch(
        margins, clusters, batch_size=_BATCH, margin_batch_size=_MARGIN_BATCH
    )
    pieces = np.array_split(generator.permutation(n), parts)
    picked = select_from_parts(
        engine,
        [ScoredPart(i, margins[i], clusters[i]) for i in pieces],
        num_unlabeled=n,
        batch_size=_BATCH,
        margin_batch_size=_MARGIN_BATCH,
    )
    np.testing.assert_array_equal(picked, expected)


if __name__ == "__main__":
    app.run(main)
