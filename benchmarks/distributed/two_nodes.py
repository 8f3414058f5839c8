r"""A large pool on two Ray nodes of one core each, against one machine.

    python -m benchmarks.distributed.two_nodes --examples=1000000
    python -m benchmarks.distributed.two_nodes --examples=10000000 \
        --exact=false --noone_machine
    python -m benchmarks.distributed.two_nodes --examples=4000000 \
        --threshold=0.03 --noone_machine --resumable --folder=PATH

The last one goes on where it was stopped. Both nodes are processes of this
machine, so their network is its memory. One machine computes with two threads.
Each arm has a process of its own. With exact neighbors partition and merge
heights have to be identical, or the run ends with an error; with ScaNN the
adjusted Rand index of the two partitions is measured. Ray has to be installed
in the Python that runs this.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
from absl import app, flags

from benchmarks import harness
from benchmarks.active_learning import data as al_data
from runkit import read_json, write_json

_EXAMPLES = flags.DEFINE_integer("examples", 1_000_000, "rows of the pool")
_DATA = flags.DEFINE_enum("data", "families", ["families", "gaussian"], "pool")
_DIMENSION = flags.DEFINE_integer("dimension", 64, "of the embeddings")
_EXACT = flags.DEFINE_bool("exact", True, "or ScaNN")
_PARTS = flags.DEFINE_integer("parts", 4, "of the pool")
_MEAN_SIZE = flags.DEFINE_float("mean_size", 10.0, "of the clusters")
_THRESHOLD = flags.DEFINE_float(
    "threshold", None, "of the clusters, in place of their mean size"
)
_STORE_GIB = flags.DEFINE_integer("store_gib", 3, "object store of a node")
_ONE_MACHINE = flags.DEFINE_bool("one_machine", True, "run that arm too")
_FOLDER = flags.DEFINE_string("folder", "", "keeps finished arms")
_RECORD = flags.DEFINE_bool("record", True, "write benchmarks/results")
_RESUMABLE = flags.DEFINE_bool(
    "resumable", False, "keep the state of two nodes, and what they have cost"
)
_ARM = flags.DEFINE_string("arm", "", "one arm, in this process")
_TICKS = os.sysconf("SC_CLK_TCK")


def main(argv) -> None:
    del argv
    if _ARM.value:
        {"one machine": one_machine, "two nodes": two_nodes}[_ARM.value](
            pathlib.Path(_FOLDER.value)
        )
        return
    arms = ["one machine"] * _ONE_MACHINE.value + ["two nodes"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(_FOLDER.value or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [run(arm, folder) for arm in arms]
        if _ONE_MACHINE.value:
            rows[1].update(against(rows, folder))
    print(json.dumps(rows, indent=1))
    if _RECORD.value:
        kind = "exact" if _EXACT.value else "scann"
        harness.record(
            f"al_two_nodes_{_DATA.value}_{_EXAMPLES.value}_{kind}",
            rows,
            notes=[
                "One run of each. The CPU seconds of two nodes are those of "
                "the stages, of the driver and of Ray's own processes; both "
                "nodes and the driver share two cores.",
            ],
        )


def run(arm: str, folder: pathlib.Path) -> dict[str, Any]:
    """Runs an arm in its own process, or reads what it left."""
    path = folder / f"{arm}.json"
    if not path.is_file():
        given = [a for a in sys.argv[1:] if not a.startswith("--folder")]
        module = "benchmarks.distributed.two_nodes"
        subprocess.run(
            [
                *(sys.executable, "-m", module, *given),
                *(f"--arm={arm}", f"--folder={folder}"),
            ],
            check=True,
            cwd=harness.ROOT,
        )
    return read_json(path)


def against(rows: list[dict[str, Any]], folder: pathlib.Path) -> dict[str, Any]:
    """Compares the two nodes with one machine.

    Raises:
        AssertionError: exact, and not the same.
    """
    with (
        np.load(folder / "one machine.npz") as one,
        np.load(folder / "two nodes.npz") as two,
    ):
        ratios: dict[str, Any] = {
            f"{clock} ratio": rows[1][f"{clock} s"] / rows[0][f"{clock} s"]
            for clock in ("CPU", "wall")
        }
        if not _EXACT.value:
            from sklearn.metrics import adjusted_rand_score

            index = adjusted_rand_score(one["clusters"], two["clusters"])
            return {**ratios, "adjusted Rand index": index}
        for name in ("clusters", "heights"):
            np.testing.assert_array_equal(two[name], one[name])
        return {**ratios, "identical": "partition, heights"}


def pool() -> pathlib.Path:
    """The file of the pool."""
    path = getattr(al_data, _DATA.value)(_EXAMPLES.value, _DIMENSION.value)
    al_data.warm_up()
    return path


def clusters_asked_for() -> dict[str, float]:
    """The option that says how large clusters are."""
    if _THRESHOLD.value is None:
        return {"target_cluster_size": _MEAN_SIZE.value}
    return {"distance_threshold": _THRESHOLD.value}


def keep(
    folder: pathlib.Path, arm: str, found: Any, facts: dict[str, Any]
) -> None:
    """Writes what an arm found, and its row."""
    ids, heights = found.cluster_ids, found.merge_distances
    np.savez(folder / f"{arm}.npz", clusters=ids, heights=heights)
    name = f"{_DATA.value} {len(ids):,} x {_DIMENSION.value}"
    row = {"pool": name, "arm": arm, "clusters": int(ids.max()) + 1, **facts}
    write_json(folder / f"{arm}.json", row)


def one_machine(folder: pathlib.Path) -> None:
    """`cluster_embeddings`, two threads."""
    import al_tf

    embeddings = np.load(pool(), mmap_mode="r")
    al_data.reset_peak()
    wall, cpu = time.monotonic(), time.process_time()
    found = al_tf.cluster_embeddings(
        embeddings, exact=_EXACT.value, **clusters_asked_for()
    )
    facts = {
        "CPU s": time.process_time() - cpu,
        "wall s": time.monotonic() - wall,
        "largest process GiB": al_data.peak_mib() / 1024,
    }
    keep(folder, "one machine", found, facts)


def two_nodes(folder: pathlib.Path) -> None:
    """The stages on two nodes of one core each."""
    import ray
    from ray.cluster_utils import Cluster

    from al_tf.clustering.options import ClusteringOptions
    from al_tf.distributed.cluster import Layout, cluster_shards
    from al_tf.distributed.ray_engine import RayEngine
    from benchmarks.distributed.shards import write_shards

    whole = np.load(pool(), mmap_mode="r")
    node = {"num_cpus": 1, "object_store_memory": _STORE_GIB.value << 30}
    cluster = Cluster(
        initialize_head=True, head_node_args={**node, "include_dashboard": 0}
    )
    cluster.add_node(**node)
    ray.init(
        address=cluster.address,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(harness.ROOT)}},
    )
    engine = RayEngine()
    with tempfile.TemporaryDirectory(dir=folder) as shards_folder:
        shards = write_shards(whole, shards_folder)
        al_data.reset_peak()
        spent = Spent(folder / "spent.json", engine)
        found = cluster_shards(
            engine,
            shards,
            ClusteringOptions(exact=_EXACT.value, **clusters_asked_for()),
            Layout(_PARTS.value),
            state=folder / "state" if _RESUMABLE.value else None,
            on_progress=spent.tell,
        )
    facts = {"rounds": found.rounds, "recall": found.recall, **spent.facts()}
    keep(folder, "two nodes", found, facts)
    ray.shutdown()
    cluster.shutdown()


class Spent:
    """What the two nodes cost, runs that were stopped included.

    Args:
        path: file that keeps it.
        engine: whose stages are counted.
    """

    def __init__(self, path: pathlib.Path, engine: Any):
        self._path, self._engine = path, engine
        is_kept = _RESUMABLE.value and path.is_file()
        self._before = read_json(path) if is_kept else {}
        self._own = ray_cpu_seconds()
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def tell(self, phase: str, share: float, note: str) -> None:
        """Prints how far it is, and keeps what was spent."""
        clock = time.strftime("%H:%M:%S")
        print(f"{clock} {phase} {share:.1%} {note}", flush=True)
        if _RESUMABLE.value:
            write_json(self._path, self.facts())

    def facts(self) -> dict[str, float]:
        """Seconds and bytes; sums, or the largest."""
        costs = self._engine.costs
        workers = self._engine.workers.values()
        messages = [cost.message_bytes for cost in costs.values()]
        largest = [cost.largest_message for cost in costs.values()]
        driver = time.process_time() - self._cpu
        own = ray_cpu_seconds() - self._own
        stages = {f"{n} CPU s": cost.cpu_seconds for n, cost in costs.items()}
        sums = {
            "CPU s": sum(stages.values()) + driver + own,
            "wall s": time.monotonic() - self._wall,
            "sent GiB": sum(messages) / 2**30,
            "driver CPU s": driver,
            "Ray's CPU s": own,
            **{
                name: stages.get(name, 0.0)
                for name in ("search CPU s", "lists CPU s", "merge CPU s")
            },
        }
        peaks = {
            "largest process GiB": al_data.peak_mib() / 1024,
            "largest worker GiB": max(
                (worker.peak_bytes for worker in workers), default=0
            )
            / 2**30,
            "largest message MiB": max(largest, default=0) / 2**20,
        }
        before = self._before.get
        return {
            **{name: x + before(name, 0.0) for name, x in sums.items()},
            **{name: max(x, before(name, 0.0)) for name, x in peaks.items()},
            "starts": 1 + before("starts", 0),
        }


def ray_cpu_seconds() -> float:
    """CPU seconds of the processes below this one that are not workers."""
    parents, seconds = {}, {}
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            title = (path / "cmdline").read_bytes()
            stat = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.name)
        parents[pid] = int(stat[1])
        if not title.startswith(b"ray::"):
            seconds[pid] = (int(stat[11]) + int(stat[12])) / _TICKS
    below = 0.0
    for pid, spent in seconds.items():
        above = parents[pid]
        while above in parents and above != os.getpid():
            above = parents[above]
        below += spent if above == os.getpid() else 0
    return below


if __name__ == "__main__":
    app.run(main)
