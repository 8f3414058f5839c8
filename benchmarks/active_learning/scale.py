r"""Neighbors, clustering and a batch, end to end, on a large pool.

    python -m benchmarks.active_learning.scale --examples=1000000 \
        --data=families

Run once, not in rounds: a run takes minutes to hours. CPU seconds count all
threads; "above" is the peak resident memory above that of an idle process
plus the embeddings (the file is memory-mapped and may be resident as well).
"""

from __future__ import annotations

import time

import numpy as np
from absl import app, flags

import al_tf
from benchmarks import harness
from benchmarks.active_learning import data as al_data

_EXAMPLES = flags.DEFINE_integer("examples", 1_000_000, "pool size")
_DATA = flags.DEFINE_enum("data", "families", ["families", "gaussian"], "pool")
_EXACT = flags.DEFINE_bool("exact", False, "exact index instead of ScaNN")
_THRESHOLD = flags.DEFINE_float("threshold", 0.0, "0: mean cluster size 10")
_BATCH = flags.DEFINE_integer("batch", 100_000, "batch size")


def main(argv) -> None:
    del argv
    n = _EXAMPLES.value
    path = getattr(al_data, _DATA.value)(n)
    al_data.warm_up()
    al_data.reset_peak()
    idle = al_data.peak_mib()
    cut = (
        {"distance_threshold": _THRESHOLD.value}
        if _THRESHOLD.value
        else {"target_cluster_size": 10}
    )
    began, cpu = time.monotonic(), time.process_time()
    clusters = al_tf.cluster_embeddings(
        path, exact=_EXACT.value, verbose=True, **cut
    )
    wall, cpu = time.monotonic() - began, time.process_time() - cpu
    peak = al_data.peak_mib()
    margins = np.random.default_rng(1).random(n, np.float32)
    select = time.process_time()
    batch = al_tf.select_batch(
        margins, clusters.cluster_ids, batch_size=_BATCH.value
    )
    select = time.process_time() - select
    assert len(np.unique(batch)) == _BATCH.value
    info, embeddings = clusters.info, n * 64 * 4 / 2**20
    index = "exact" if info["exact"] else "ScaNN"
    harness.record(
        f"al_scale_{_DATA.value}_{n}_{index.lower()}",
        [
            {
                "pool": f"{_DATA.value} {n:,} x 64",
                "index": index,
                "recall@16": info["recall"],
                "queries / point": info["queries_per_point"],
                "rounds": info["rounds"],
                "threshold": clusters.distance_threshold,
                "clusters": clusters.num_clusters,
                "CPU s": cpu,
                "wall s": wall,
                "peak MiB": peak,
                "above embeddings MiB": peak - idle - embeddings,
                f"CPU s to pick {_BATCH.value:,}": select,
            }
        ],
        notes=[
            "One run. The checksum of the embeddings, their normalization and "
            "the moments of the clusters are included."
        ],
    )


if __name__ == "__main__":
    app.run(main)
