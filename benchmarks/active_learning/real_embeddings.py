r"""Exact clustering against fastcluster, and ScaNN against exact, on real data.

    TFDS_DATA_DIR=... BENCH_PYTHON=... \
        python -m benchmarks.active_learning.real_embeddings

fastcluster runs with the peers' Python in its own process; it writes the tree
to a file, and partitions are compared here. ScaNN is compared with the two
usual ways to approximate average linkage on a neighbor graph: the average over
stored edges (missing pairs ignored), and missing pairs at similarity zero
(distance: the larger of twice the threshold and the median k-th distance).
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags

import al_tf
from al_tf.inputs.embeddings import open_embeddings
from al_tf.inputs.preparation import working_copy
from al_tf.neighbors.exact_index import ExactIndex
from benchmarks import harness
from benchmarks.active_learning import data as al_data
from benchmarks.active_learning import graph_rules as al_graph_rules

_EXAMPLES = flags.DEFINE_integer("examples", 20_000, "pool size")
_SIZES = (2, 10, 50)

_TREE = """
import sys, time, numpy, fastcluster
from benchmarks.active_learning.data import peak_mib
rows = numpy.load(sys.argv[1])
began = time.process_time()
tree = fastcluster.linkage(rows, "average", "sqeuclidean")
numpy.save(sys.argv[2], tree)
print(time.process_time() - began, peak_mib())
"""
_OWN = """
import sys, time, json, numpy, al_tf
from benchmarks.active_learning.data import peak_mib
small = numpy.random.default_rng(0).standard_normal((500, 8))
al_tf.cluster_embeddings(small, target_cluster_size=2)
idle = peak_mib()
rows = numpy.load(sys.argv[1], mmap_mode="r")
began = time.process_time()
made = al_tf.cluster_embeddings(
    rows, distance_threshold=float(sys.argv[2]), exact=sys.argv[4] == "exact")
cpu = time.process_time() - began
numpy.savez(sys.argv[3], ids=made.cluster_ids, heights=made.merge_distances)
print(json.dumps({"cpu": cpu, "peak": peak_mib(), "above": peak_mib() - idle,
                  **{k: made.info[k] for k in
                     ("recall", "queries_per_point", "rounds")}}))
"""


def main(argv) -> None:
    del argv
    exact_rows, scann_rows = [], []
    for name, make in al_data.REAL.items():
        path = make(_EXAMPLES.value)
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            tree, cpu, peak = fastcluster_tree(path, work)
            for size in _SIZES:
                at = threshold_for(tree[:, 2], len(tree) + 1, size)
                expected = cut(tree, at)
                both = [one_run(path, at, work, i) for i in ("exact", "scann")]
                exact_rows.append(
                    exact_row(name, size, at, tree, expected, both[0])
                    | {"fastcluster CPU s": cpu, "fastcluster peak MiB": peak}
                )
                scann_rows.append(
                    scann_row(name, size, at, expected, both[1])
                    | rules_row(path, at, expected)
                )
    harness.record(
        "al_real_exact",
        exact_rows,
        notes=[
            "Cosine distance. Identical: the same partition as fastcluster's "
            "tree cut at the same threshold. CPU seconds of one run each."
        ],
    )
    harness.record(
        "al_real_scann",
        scann_rows,
        notes=[
            "Adjusted Rand index against fastcluster's exact tree cut at the "
            "same threshold; the two rules run on the exact symmetrized "
            "16-neighbor graph."
        ],
    )


def fastcluster_tree(path, work) -> tuple[np.ndarray, float, float]:
    """Tree of the normalized rows, CPU seconds, peak MiB."""
    rows = working_copy(open_embeddings(path), "cosine").rows
    np.save(work / "rows.npy", rows)
    out = run_python(
        os.environ.get(harness.PEER_PYTHON, sys.executable),
        _TREE,
        work / "rows.npy",
        work / "tree.npy",
    )
    cpu, peak = map(float, out.split())
    return np.load(work / "tree.npy"), cpu, peak


def one_run(path, at, work, index) -> dict:
    answer = run_python(sys.executable, _OWN, path, at, work / "own", index)
    made = np.load(work / "own.npz")
    return {**json.loads(answer.splitlines()[-1]), **made}


def run_python(python, code, *arguments) -> str:
    # `-c` puts the current folder, the root, on the path.
    return subprocess.run(
        [python, "-c", code, *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=harness.ROOT,
    ).stdout


def threshold_for(heights, n, mean_size) -> float:
    """Between the last merge that is wanted and the next."""
    heights = np.sort(heights)
    last = n - n // mean_size - 1
    return float((heights[last] + heights[last + 1]) / 2)


def cut(tree, at) -> np.ndarray:
    from scipy.cluster import hierarchy

    return hierarchy.fcluster(tree, at, "distance")


def exact_row(name, size, at, tree, expected, own) -> dict:
    below = np.sort(tree[:, 2][tree[:, 2] <= at])
    same = len(below) == len(own["heights"])
    return {
        "pool": name,
        "mean size": size,
        "threshold": at,
        "identical": "yes" if rand_index(expected, own["ids"]) == 1 else "NO",
        "max height difference": float(np.abs(below - own["heights"]).max())
        if same
        else float("nan"),
        "queries / point": own["queries_per_point"],
        "rounds": own["rounds"],
        "CPU s": own["cpu"],
        "peak MiB": own["peak"],
        "above idle MiB": own["above"],
    }


def scann_row(name, size, at, expected, own) -> dict:
    return {
        "pool": name,
        "mean size": size,
        "recall@16": own["recall"],
        "queries / point": own["queries_per_point"],
        "ARI (ScaNN)": rand_index(expected, own["ids"]),
        "CPU s": own["cpu"],
    }


def rules_row(path, at, expected) -> dict:
    """ARI of the two usual rules on the exact 16-neighbor graph."""
    work = working_copy(open_embeddings(path), "cosine")
    rows = work.rows.astype(np.float32)
    everyone = np.arange(len(rows))
    ids = ExactIndex(rows).search(rows, 16, everyone).ids
    step = rows[:, None].astype(np.float64) - rows[ids]
    distances = np.einsum("nkd,nkd->nk", step, step)
    far = max(2 * at, float(np.median(distances[:, -1])))
    graph = al_graph_rules.symmetrize(ids, distances)
    stored = al_graph_rules.cluster(graph, at, missing=None)
    zero = al_graph_rules.cluster(graph, at, missing=far)
    return {
        "ARI (stored edges)": rand_index(expected, stored),
        "ARI (missing = 0)": rand_index(expected, zero),
    }


def rand_index(a, b) -> float:
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(a, b))


if __name__ == "__main__":
    assert al_tf
    app.run(main)
