r"""A pool with string ids in shuffled Parquet shards, from files to tasks.

    python -m benchmarks.active_learning.shards --examples=200000

The pool is [examples, 384] float16 with ids of 36 characters and a text, in 50
shards whose rows are in random order; the margins are a Parquet file in another
random order. It is read, joined, clustered; a batch is selected and written as
tasks of Label Studio. Each step is measured: CPU seconds over all threads, and
the peak resident memory above that before the first step. Run once.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from absl import app, flags
from pyarrow import parquet

import al_tf
from al_tf.inputs import pool_files
from al_tf.inputs.embeddings import Embeddings
from al_tf.label_tools.tasks import Tasks, write_tasks
from al_tf.pools.examples import UNKNOWN, make_examples
from al_tf.selection import round_files
from benchmarks import harness
from benchmarks.active_learning import data as al_data

_EXAMPLES = flags.DEFINE_integer("examples", 200_000, "pool size")
_DIMENSION = flags.DEFINE_integer("dimension", 384, "of the embeddings")
_SHARDS = flags.DEFINE_integer("shards", 50, "files")
_BATCH = flags.DEFINE_integer("batch", 50_000, "batch size")
_CLUSTER = flags.DEFINE_bool("cluster", True, "or only read and join")
_FOLDER = flags.DEFINE_string("folder", "", "where the pool is kept")


def main(argv) -> None:
    del argv
    n, d = _EXAMPLES.value, _DIMENSION.value
    size = n * d * 2 / 2**20
    base = pathlib.Path(_FOLDER.value or tempfile.gettempdir())
    folder = base / f"al_topics_{n}_{d}"
    if not folder.is_dir():
        made = folder.with_suffix(".part")
        shutil.rmtree(made, ignore_errors=True)
        make_pool(made, n, d, _SHARDS.value)
        made.rename(folder)
    if _CLUSTER.value:
        al_data.warm_up()
    rows: list[dict[str, Any]] = []
    idle = al_data.peak_mib()

    def measured(step: str, before: tuple[float, float], **facts: Any) -> None:
        peak = al_data.peak_mib() - idle
        rows.append(
            {
                "pool": f"{n:,} x {d} float16",
                "step": step,
                "CPU s": time.process_time() - before[0],
                "wall s": time.monotonic() - before[1],
                "peak MiB above": peak,
                "times the embeddings": peak / size,
                **facts,
            }
        )
        al_data.reset_peak()

    al_data.reset_peak()
    idle, before = al_data.peak_mib(), now()
    pool = pool_files.read_pool(str(folder / "pool"))
    assert pool.ids is not None and pool.parts[0].dtype == np.float16
    measured("read and put in the order of the ids", before)
    before = now()
    files = pool_files.open_files(folder / "margins.parquet", "margins", None)
    places = pool_files.places_of(files, pool.ids)
    margins = np.empty(n, np.float32)
    margins[places] = pool_files.read_numbers(files, "margin", (), "")
    measured("join the margins", before)
    if _CLUSTER.value:
        picked = cluster_and_select(pool, margins, measured)
        write_batch(pool, picked, folder, measured)
    part = "" if _CLUSTER.value else "_read"
    harness.record(
        f"al_shards_{n}{part}",
        rows,
        notes=[
            "One run. The embeddings themselves take "
            f"{size:,.0f} MiB; 'above' counts them and what was in memory "
            "from the steps before. The clustering works on a float32 copy, "
            "twice as large; while ScaNN makes its codes, it holds another."
        ],
    )


def now() -> tuple[float, float]:
    """CPU seconds of this process, and wall time."""
    return time.process_time(), time.monotonic()


def cluster_and_select(
    pool: Embeddings, margins: np.ndarray, measured: Callable[..., None]
) -> np.ndarray:
    """The steps after reading; returns the rows that were selected."""
    assert pool.ids is not None
    before = now()
    clusters = al_tf.cluster_embeddings(
        pool, target_cluster_size=10, exact=False, verbose=True
    )
    measured(
        "cluster (ScaNN)",
        before,
        recall=clusters.info["recall"],
        clusters=clusters.num_clusters,
    )
    before = now()
    picked = al_tf.select_batch(
        margins,
        clusters.cluster_ids,
        batch_size=min(_BATCH.value, pool.shape[0] // 4),
    )
    ids = pool.ids.take(picked).tolist()
    assert len(set(ids)) == len(picked)
    measured(f"select {len(picked):,} and name them", before)
    return picked


def write_batch(
    pool: Embeddings,
    picked: np.ndarray,
    folder: pathlib.Path,
    measured: Callable[..., None],
) -> None:
    """Reads the texts of the batch and writes its tasks."""
    assert pool.ids is not None
    before = now()
    flag_values = types.SimpleNamespace(
        text_column="text", embeddings=str(folder / "pool"), id_column=None
    )
    texts = round_files.read_texts(flag_values, pool.ids, picked)
    batch = dataclasses.replace(
        make_examples(
            "text",
            np.array(texts, object),
            np.full(len(picked), UNKNOWN),
            ("no", "yes"),
        ),
        ids=np.array(pool.ids.take(picked).tolist(), object),
    )
    with tempfile.TemporaryDirectory() as out:
        path, *_ = write_tasks(
            pathlib.Path(out), "batch", Tasks("batch", batch), "label_studio"
        )
        tasks = json.loads(path.read_text(encoding="utf-8"))
        size = path.stat().st_size / 2**20
    assert [t["data"]["example_id"] for t in tasks] == batch.named.tolist()
    measured("read the texts, write the tasks, read them", before, MiB=size)


def make_pool(folder: pathlib.Path, n: int, d: int, shards: int) -> None:
    """Writes topics of families of near rows, in shuffled shards; margins too.

    As in pools of texts, a row has more near rows than its family of about
    ten: those of its topic, of about a thousand.
    """
    (folder / "pool").mkdir(parents=True)
    random = np.random.default_rng(0)
    families, topics = max(n // 10, 1), max(n // 1000, 1)
    centers = 0.5 * random.standard_normal((families, d), np.float32)
    topic = random.standard_normal((topics, d), np.float32)
    for first in range(0, families, topics):
        centers[first : first + topics] += topic[: families - first]
    family = random.integers(0, families, n)
    for number, at in enumerate(np.array_split(random.permutation(n), shards)):
        noise = 0.3 * random.standard_normal((len(at), d), np.float32)
        rows = (centers[family[at]] + noise).astype(np.float16)
        columns = {
            "id": list(names(at)),
            "text": [f"example {i} " * 20 for i in at],
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(rows.ravel()), d
            ),
        }
        path = folder / "pool" / f"part-{number}.parquet"
        parquet.write_table(pa.table(columns), path, row_group_size=4096)
    at = random.permutation(n)
    margins = {"id": list(names(at)), "margin": random.random(n, np.float32)}
    parquet.write_table(pa.table(margins), folder / "margins.parquet")


def names(examples: np.ndarray) -> Iterator[str]:
    """Ids of 36 characters, as UUIDs have, in no order."""
    for example in examples.tolist():
        mixed = example * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        text = f"{mixed:016x}{example:016x}"
        parts = text[:8], text[8:12], text[12:16], text[16:20], text[20:]
        yield "-".join(parts)


if __name__ == "__main__":
    app.run(main)
