"""Ray for tests: a cluster on this machine, and a Python that has Ray."""

import importlib.util
import os
import pathlib
import signal
import subprocess

import numpy as np

from al_tf.clustering.options import ClusteringOptions
from al_tf.distributed.cluster import Layout, cluster_shards
from al_tf.distributed.stages.preparation import Shard

ROOT = pathlib.Path(__file__).absolute().parents[2]
HAS_RAY = importlib.util.find_spec("ray") is not None
OTHER_PYTHON = os.environ.get("RAY_PYTHON", "")
SMALL_NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}
OPTIONS = {"metric": "sqeuclidean", "target_cluster_size": 6.0}


def pool(n):
    generator = np.random.default_rng(3)
    centers = generator.standard_normal((n // 10, 5))
    rows = centers[generator.integers(0, len(centers), n)]
    return rows + 0.1 * generator.standard_normal(rows.shape)


def shards(rows, count=4):
    order = np.random.default_rng(1).permutation(len(rows))
    return [
        Shard(rows[at], f"shard {i}", at)
        for i, at in enumerate(np.array_split(order, count))
    ]


def clustered(engine, rows, state=None):
    return cluster_shards(
        engine,
        shards(rows),
        ClusteringOptions(**OPTIONS),
        Layout(4, finish_rows=0),
        state=state,
        save_seconds=0,
    )


def two_nodes():
    """A cluster of two nodes of one core each, on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={**SMALL_NODE, "include_dashboard": False},
    )
    cluster.add_node(**SMALL_NODE)
    return cluster


def run_elsewhere(test, file):
    """Runs a file of tests in the Python that has Ray."""
    command = [OTHER_PYTHON, "-m", "pytest", "-q", "-n0", "-s", file]
    done = subprocess.run(
        [*command, "-m", "slow or not slow"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_PYTHON": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    test.assertEqual(done.returncode, 0, done.stdout[-3000:])


def kill_a_worker(driver, generator):
    """Kills one process below another that computes a task of Ray's."""
    parents, titles = {}, {}
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            titles[int(path.name)] = (path / "cmdline").read_bytes()
        except OSError:
            continue
        parents[int(path.name)] = int(fields[1])
    workers = []
    for pid, title in titles.items():
        above = pid
        while above in parents and above != driver:
            above = parents[above]
        # A busy worker is called by its task; Ray's own agents must live.
        is_busy = title.startswith(b"ray::") and b", part " in title
        if above == driver and is_busy:
            workers.append(pid)
    if not workers:
        return 0
    os.kill(int(generator.choice(workers)), signal.SIGKILL)
    return 1
