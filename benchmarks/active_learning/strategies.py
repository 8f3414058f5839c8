"""CPU seconds of every strategy that picks 100,000 from a million.

    python -m benchmarks.active_learning.strategies

Random families in 64 dimensions. Their neighbor lists are not searched but
known: fellow members of the family, then random examples; a search costs once
what `scale.py` measures, for all rounds and strategies. CoreSet and BADGE, in
ten parts as the paper runs them, are timed for a small batch, and their cost
for the whole one is proportional: one pass over a part for each pick.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
from absl import app, flags

import al_tf
from benchmarks import harness
from benchmarks.active_learning import data as al_data

_EXAMPLES = flags.DEFINE_integer("examples", 1_000_000, "Size of the pool.")
_BATCH = flags.DEFINE_integer("batch", 100_000, "Size of the batch.")

_NAMES = (
    "random",
    "margin",
    "cluster_margin",
    "margin_turns",
    "cluster_margin_mixed",
    "cluster_random",
    "typi_clust",
    "prob_cover",
    "max_herding",
    "u_herding",
    "seals",
)
_PER_PICK = ("partitioned_coreset", "partitioned_badge")
_PICKS = 500
_LABELED = 0.01
_NEIGHBORS, _DIMENSIONS, _CLASSES = 16, 64, 10


def families(n: int, seed: int = 0) -> al_tf.Pool:
    """A pool of families of geometric sizes, ten members on average.

    Args:
        n: number of examples.
        seed: of everything.

    Returns:
        The pool; one example in a hundred is labeled.
    """
    random = np.random.default_rng(seed)
    sizes = random.geometric(0.1, n)
    owner = np.repeat(np.arange(n), sizes)[:n]
    rows = random.standard_normal((owner[-1] + 1, _DIMENSIONS), np.float32)
    rows = rows[owner]
    rows += np.float32(0.1) * random.standard_normal(rows.shape, np.float32)
    start = np.searchsorted(owner, owner)
    size = np.searchsorted(owner, owner, side="right") - start
    step = 1 + np.arange(_NEIGHBORS)[None]
    lists = start[:, None] + (np.arange(n) - start)[:, None] + step
    lists = start[:, None] + (lists - start[:, None]) % size[:, None]
    beyond = step >= size[:, None]
    lists[beyond] = random.integers(0, n, int(beyond.sum()))
    # In random order, as in a pool that was collected.
    order = random.permutation(n)
    place = np.argsort(order)
    p = random.dirichlet(np.ones(_CLASSES, np.float32), n).astype(np.float32)
    return al_tf.Pool(
        num_examples=n,
        unlabeled=np.sort(random.permutation(n)[int(_LABELED * n) :]),
        margins=al_tf.margin_scores(p),
        probabilities=p,
        embeddings=rows[order],
        cluster_ids=owner[order],
        neighbors=place[lists[order]].astype(np.int32),
    )


def measure(name: str, n: int, batch_size: int) -> None:
    """Prints one row as JSON."""
    strategy = al_tf.STRATEGIES[name]
    # Compiles what is compiled.
    strategy(families(2000), batch_size=50)
    pool = families(n)
    before = al_data.peak_mib()
    picks = min(_PICKS, batch_size) if name in _PER_PICK else batch_size
    began = time.process_time()
    batch = strategy(pool, batch_size=picks)
    seconds = time.process_time() - began
    assert len(np.unique(batch)) == picks
    row = {
        "strategy": name,
        "pool": f"{n:,}",
        "picks timed": f"{picks:,}",
        "CPU s": seconds,
        f"CPU s for {batch_size:,}": seconds * batch_size / picks,
        "above input MiB": al_data.peak_mib() - before,
    }
    print(json.dumps(row))


def main(argv) -> None:
    del argv
    rows = []
    for name in (*_NAMES, *_PER_PICK):
        # One process each, whose peak memory is that of the strategy.
        code = (
            "from benchmarks.active_learning import strategies; "
            f"strategies.measure({name!r}, {_EXAMPLES.value}, {_BATCH.value})"
        )
        answer = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=harness.ROOT,
        ).stdout
        print(answer, end="", flush=True)
        rows.append(json.loads(answer))
    harness.record(
        "al_strategies",
        rows,
        notes=[
            "Families of ten on average in 64 dimensions, ten classes, one "
            "example in a hundred labeled; neighbor lists and clusters are "
            "given, as in every round after the first. One run each.",
            f"The last two rows are timed for {_PICKS} picks and their cost "
            "for the batch is extrapolated in proportion.",
        ],
    )


if __name__ == "__main__":
    app.run(main)
