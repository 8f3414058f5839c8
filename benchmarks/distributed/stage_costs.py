r"""Measures the stages at several sizes, and says what larger pools cost.

    python -m benchmarks.distributed.stage_costs \
        --sizes=25000,50000,100000,200000 --left_out=200000

Each size is clustered in a process of its own, from shards, by the stages that
Ray would run (`--engine=ray` lets it). The model of `cost_model` is fitted to
all sizes but the one that is left out, is tested on that, and is then fitted to
all. Measured runs are kept in `--folder`, so that a larger size can be added.
Processor seconds count all threads and are what is fitted.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
from absl import app, flags

from al_tf.clustering.options import ClusteringOptions
from al_tf.distributed.cluster import Layout, cluster_shards
from al_tf.distributed.engine import LocalEngine
from al_tf.distributed.ray_engine import RayEngine
from benchmarks import harness
from benchmarks.active_learning import data as al_data
from benchmarks.distributed import cost_model
from benchmarks.distributed.cost_model import Size
from benchmarks.distributed.shards import write_shards
from runkit import read_json, write_json

_SIZES = flags.DEFINE_list("sizes", ["25000", "50000", "100000"], "rows")
_LEFT_OUT = flags.DEFINE_integer("left_out", 0, "size to test on; 0: largest")
_PREDICT = flags.DEFINE_list("predict", ["100e6", "1e9"], "rows to predict")
_DATA = flags.DEFINE_enum("data", "families", ["families", "gaussian"], "pool")
_DIMENSION = flags.DEFINE_integer("dimension", 64, "of the embeddings")
_NEIGHBORS = flags.DEFINE_integer("neighbors", 16, "list length")
_EXACT = flags.DEFINE_bool("exact", True, "or ScaNN")
_ENGINE = flags.DEFINE_enum("engine", "local", ["local", "ray"], "where")
_ADDRESS = flags.DEFINE_string("ray_address", "local", "with --engine=ray")
_PARTS = flags.DEFINE_integer("parts", 8, "of each measured pool")
_FOLDER = flags.DEFINE_string("folder", "", "where runs are kept")
_RECORD = flags.DEFINE_bool("record", True, "write benchmarks/results")
_MEASURE = flags.DEFINE_integer("measure", 0, "one size, in this process")
# A worker of the prediction.
_CORES, _PART_GIB = 64, 16
# One machine finishes a fixed share, so that sizes can be compared.
_FINISHED_SHARE = 20


def main(argv) -> None:
    del argv
    if _MEASURE.value:
        measure(_MEASURE.value)
        return
    sizes = sorted(int(float(size)) for size in _SIZES.value)
    runs = [load(n) for n in sizes]
    left_out = _LEFT_OUT.value or sizes[-1]
    others = [run for run in runs if run["size"].n != left_out]
    (tested,) = (run for run in runs if run["size"].n == left_out)
    rows = [row_of(run) for run in runs]
    rows.append(test_row(others, tested))
    rows += [predicted_row(runs, float(n)) for n in _PREDICT.value]
    print(json.dumps(rows, indent=1))
    if _RECORD.value:
        kind = "exact" if _EXACT.value else "scann"
        harness.record(
            f"al_stages_{_DATA.value}_{_DIMENSION.value}_{kind}",
            rows,
            notes=[
                f"The model is fitted without {left_out:,} rows for the test, "
                "and to all measured sizes for the larger ones; see "
                "docs/scale.md for what it assumes.",
                "CPU s of stages; the driver, and the finish by one machine "
                "below a twentieth of the rows, are not in it.",
            ],
        )


def place(n: int) -> pathlib.Path:
    """Where a measured run is kept."""
    base = _FOLDER.value or f"{tempfile.gettempdir()}/al_stage_costs"
    kind = "exact" if _EXACT.value else "scann"
    name = (
        f"{_DATA.value}-{_DIMENSION.value}-{n}-{kind}-{_PARTS.value}-"
        f"{_NEIGHBORS.value}-{_ENGINE.value}.json"
    )
    return pathlib.Path(base) / name


def load(n: int) -> dict[str, Any]:
    """A measured run; measured now if it is not kept."""
    path = place(n)
    if not path.is_file():
        harness_flags = [arg for arg in sys.argv[1:] if "--sizes" not in arg]
        subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.distributed.stage_costs"),
                *harness_flags,
                f"--measure={n}",
            ],
            check=True,
            cwd=harness.ROOT,
        )
    run = read_json(path)
    size = Size(
        n, _DIMENSION.value, _NEIGHBORS.value, _PARTS.value, _EXACT.value
    )
    return {**run, "size": size}


def measure(n: int) -> None:
    """Clusters a pool of a size and keeps what its stages cost."""
    path = getattr(al_data, _DATA.value)(n, _DIMENSION.value)
    al_data.warm_up()
    whole = np.load(path, mmap_mode="r")
    with tempfile.TemporaryDirectory() as folder:
        shards = write_shards(whole, folder)
        is_ray = _ENGINE.value == "ray"
        engine = RayEngine(_ADDRESS.value) if is_ray else LocalEngine()
        began, cpu = time.monotonic(), time.process_time()
        found = cluster_shards(
            engine,
            shards,
            ClusteringOptions(
                target_cluster_size=10.0,
                num_neighbors=_NEIGHBORS.value,
                exact=_EXACT.value,
            ),
            Layout(_PARTS.value, n // _FINISHED_SHARE),
        )
        write_json(
            place(n),
            {
                "wall_seconds": time.monotonic() - began,
                "driver_cpu_seconds": time.process_time() - cpu,
                "rounds": found.rounds,
                "recall": found.recall,
                "clusters": n - len(found.merge_distances),
                "worker_peak_bytes": max(
                    w.peak_bytes for w in engine.workers.values()
                ),
                "stages": {
                    name: vars(cost) for name, cost in engine.costs.items()
                },
            },
        )
        engine.close()


def row_of(run: dict[str, Any]) -> dict[str, Any]:
    """A measured run as a row of the table."""
    stages = run["stages"]
    return {
        "rows": f"{run['size'].n:,}",
        "what": "measured",
        "CPU s": sum(s["cpu_seconds"] for s in stages.values()),
        **{
            f"{name} CPU s": stages[name]["cpu_seconds"]
            for name in ("search", "lists", "merge")
            if name in stages
        },
        "sent GiB": sum(s["message_bytes"] for s in stages.values()) / 2**30,
        "largest message MiB": max(
            s["largest_message"] for s in stages.values()
        )
        / 2**20,
        "rounds": run["rounds"],
        "recall": run["recall"],
    }


def test_row(others: list[Any], tested: dict[str, Any]) -> dict[str, Any]:
    """What the model says of the size that it has not seen."""
    model = cost_model.fit(others)
    size = tested["size"]
    found = model.predict(size, cost_model.tasks_of(others, size))
    said, sent = (sum(found[name].values()) for name in ("seconds", "bytes"))
    stages = tested["stages"].values()
    seconds = sum(s["cpu_seconds"] for s in stages)
    moved = sum(s["message_bytes"] for s in stages)
    return {
        "rows": f"{size.n:,}",
        "what": "predicted from the others",
        "CPU s": said,
        "sent GiB": sent / 2**30,
        "error of CPU s": f"{said / seconds - 1:+.0%}",
        "error of bytes": f"{sent / moved - 1:+.0%}",
    }


def predicted_row(runs: list[Any], n: float) -> dict[str, Any]:
    """What the model says of a pool that nobody has clustered."""
    row = Size(n, _DIMENSION.value, _NEIGHBORS.value, 1, _EXACT.value)
    # Parts that fit the memory of a worker and one message.
    parts = max(row.part_bytes() / (_PART_GIB << 30), n / 2.5e6)
    size = Size(n, row.d, row.k, int(np.ceil(parts)), row.exact)
    found = cost_model.fit(runs).predict(size, cost_model.tasks_of(runs, size))
    seconds = sum(found["seconds"].values())
    return {
        "rows": f"{n:,.0f}",
        "what": f"predicted, {size.parts:,} parts",
        "CPU s": seconds,
        f"hours on {_CORES} cores": seconds / 3600 / _CORES,
        f"hours on {16 * _CORES} cores": seconds / 3600 / _CORES / 16,
        "sent GiB": sum(found["bytes"].values()) / 2**30,
        "worker GiB": size.part_bytes() / 2**30,
    }


if __name__ == "__main__":
    app.run(main)
