"""Clustering and baselines against public implementations.

    BENCH_PYTHON=... python -m benchmarks.active_learning.peers

Clustering: average linkage at cosine distance 0.03 on families of
near-duplicates; our side includes the neighbor search, fastcluster and
scikit-learn the full distance matrix. Baselines: k-center greedy and BADGE of
scikit-activeml. One process per arm; the peers run with the Python that
$BENCH_PYTHON names.
"""

from __future__ import annotations

import os
import sys
import zlib

import numpy as np
from absl import app, flags

from benchmarks import harness
from benchmarks.active_learning import data as al_data

_MOST = flags.DEFINE_integer("most", 40_000, "largest pool to cluster")
_CLASSES = 10


def main(argv) -> None:
    del argv
    clustering()
    strategies()


def clustering() -> None:
    rows = []
    for n in (5_000, 10_000, 20_000, 40_000):
        if n > _MOST.value:
            continue
        path = str(al_data.families(n))
        timings = {}
        for name, index in (("exact", True), ("scann", False)):
            timings[name] = once(name, "own_clustering", path, exact=index)
        timings["fastcluster"] = once(
            "fastcluster", "fastcluster_clustering", path, peer=True
        )
        timings["scikit-learn"] = once(
            "scikit-learn", "sklearn_clustering", path, peer=True
        )
        rows += [clustering_row(n, t, timings) for t in timings.values()]
    harness.record(
        "al_peers_clustering",
        rows,
        notes=[
            "`memory` is the peak of the process less its size before the "
            "run, `times` are ratios to the exact index of this package."
        ],
    )


def clustering_row(n, timing, timings) -> dict:
    own = timings["exact"]
    used = memory(timing)
    return {
        "examples": n,
        "arm": timing.name,
        "CPU s": timing.cpu[0],
        "times CPU": timing.cpu[0] / own.cpu[0],
        "memory MiB": used,
        "times memory": used / max(memory(own), 1.0),
        "clusters": timing.facts["clusters"],
    }


def strategies() -> None:
    rows = []
    n = 10_000
    path = str(al_data.families(n))
    for kind, batch in (("coreset", 200), ("badge", 100)):
        own = once("own", f"own_{kind}", path, batch=batch)
        peer = once(
            "scikit-activeml", f"peer_{kind}", path, peer=True, batch=batch
        )
        for timing in (own, peer):
            rows.append(
                {
                    "strategy": kind,
                    "examples": n,
                    "batch": batch,
                    "arm": timing.name,
                    "CPU s": timing.cpu[0],
                    "times CPU": timing.cpu[0] / own.cpu[0],
                    "memory MiB": memory(timing),
                    "picks hash": timing.facts["picks"],
                }
            )
    harness.record(
        "al_peers_strategies",
        rows,
        notes=[
            "CoreSet is deterministic: an equal picks hash means the same "
            "examples in the same order. BADGE draws at random."
        ],
    )


def once(name, function, path, peer=False, **arguments) -> harness.Timing:
    """One warm run of an arm in its own process."""
    arm = harness.Arm(
        name,
        f"benchmarks.active_learning.peers:{function}",
        {"path": path, **arguments},
        peer=peer,
    )
    print(name, path, file=sys.stderr, flush=True)
    return harness.compare([arm], rounds=1, warm_up=1)[name]


def memory(timing: harness.Timing) -> float:
    return timing.peak_mib - timing.built_mib


# Arms. Peers import only what they need: the environments differ.


def own_clustering(path, exact):
    import al_tf

    small = np.random.default_rng(0).standard_normal((3000, 64), np.float32)
    al_tf.cluster_embeddings(small, target_cluster_size=5, exact=exact)

    def run():
        made = al_tf.cluster_embeddings(
            path, distance_threshold=0.03, exact=exact
        )
        return {"clusters": made.num_clusters}

    return run


def fastcluster_clustering(path):
    import fastcluster
    from scipy.cluster import hierarchy

    rows = np.load(path).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)

    def run():
        tree = fastcluster.linkage(rows, "average", "sqeuclidean")
        labels = hierarchy.fcluster(tree, 0.06, "distance")
        return {"clusters": int(labels.max())}

    return run


def sklearn_clustering(path):
    from sklearn.cluster import AgglomerativeClustering

    rows = np.load(path)

    def run():
        made = AgglomerativeClustering(
            None, metric="cosine", linkage="average", distance_threshold=0.03
        ).fit(rows)
        return {"clusters": int(made.labels_.max()) + 1}

    return run


def problem(path):
    """Embeddings, probabilities and labeled ids of a linear classifier."""
    rows = np.load(path)
    generator = np.random.default_rng(0)
    scores = rows @ generator.standard_normal((rows.shape[1], _CLASSES)) * 2
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    labeled = np.sort(generator.choice(len(rows), 500, replace=False))
    return rows, p, labeled


def own_strategy(path, batch, name):
    import al_tf

    rows, p, labeled = problem(path)
    pool = al_tf.Pool(
        len(rows),
        unlabeled=np.setdiff1d(np.arange(len(rows)), labeled),
        probabilities=p,
        embeddings=rows,
    )
    strategy = al_tf.STRATEGIES[name]
    return lambda: {"picks": digest(strategy(pool, batch_size=batch))}


def own_coreset(path, batch):
    return own_strategy(path, batch, "coreset")


def own_badge(path, batch):
    return own_strategy(path, batch, "badge")


def peer_coreset(path, batch):
    from skactiveml.pool import CoreSet

    rows, p, labeled = problem(path)
    y = np.full(len(rows), np.nan)
    y[labeled] = p[labeled].argmax(1)
    return lambda: {
        "picks": digest(
            CoreSet(random_state=0).query(rows, y, batch_size=batch)
        )
    }


def peer_badge(path, batch):
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge

    rows, p, labeled = problem(path)
    y = np.full(len(rows), np.nan)
    y[labeled] = p[labeled].argmax(1)
    lookup = {row.tobytes(): i for i, row in enumerate(rows)}

    class Fixed(SkactivemlClassifier):
        """Returns the given probabilities: the model costs nothing."""

        def fit(self, X, y, sample_weight=None):  # noqa: N803
            self.classes_ = np.arange(_CLASSES)
            return self

        def predict_proba(self, X):  # noqa: N803
            ids = [lookup[np.float32(row).tobytes()] for row in X]
            return p[ids]

    model = Fixed(classes=list(range(_CLASSES))).fit(rows, y)
    return lambda: {
        "picks": digest(
            Badge(random_state=0).query(
                rows, y, model, fit_clf=False, batch_size=batch
            )
        )
    }


def digest(picks) -> float:
    """A number that stands for the picks in their order."""
    return float(zlib.crc32(np.asarray(picks, np.int64).tobytes()))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app.run(main)
