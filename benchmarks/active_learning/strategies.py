"""CPU seconds of every strategy that picks 100,000 from a million.

    python -m benchmarks.active_learning.strategies

Random families in 64 dimensions. Their neighbor lists are not searched but
known: fellow members of the family, then random examples; a search costs once
what `scale.py` measures, for all rounds and strategies. CoreSet and BADGE, in
ten parts as the paper runs them, are timed for two small batches, and their
cost for the whole one is extrapolated: one pass over a part for each pick.
`--only` measures some strategies anew and keeps the other rows.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np
from absl import app, flags

import al_tf
from benchmarks import harness
from benchmarks.active_learning import data as al_data
from runkit import read_json

_EXAMPLES = flags.DEFINE_integer("examples", 1_000_000, "Size of the pool.")
_BATCH = flags.DEFINE_integer("batch", 100_000, "Size of the batch.")
_ONLY = flags.DEFINE_list("only", [], "Strategies to measure anew.")

_NAMES = (
    "random",
    "margin",
    "cluster_margin",
    "margin_turns",
    "cluster_allocation",
    "cluster_margin_mixed",
    "cluster_random",
    "typi_clust",
    "prob_cover",
    "max_herding",
    "u_herding",
    "seals",
)
_PER_PICK = ("partitioned_coreset", "partitioned_badge")
_PICKS = (100, 600)
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


def measure(
    name: str, pool: al_tf.Pool, batch_size: int
) -> dict[str, str | float]:
    """Returns one row of the table.

    Args:
        name: of the strategy.
        pool: to pick from.
        batch_size: examples to pick.
    """
    strategy = al_tf.STRATEGIES[name]
    # Compiles what is compiled.
    strategy(families(2000), batch_size=50)
    al_data.reset_peak()
    before = al_data.peak_mib()

    def seconds(size: int) -> float:
        began = time.process_time()
        assert len(np.unique(strategy(pool, batch_size=size))) == size
        return time.process_time() - began

    if name in _PER_PICK:
        few, many = _PICKS
        slope = (seconds(many) - seconds(few)) / (many - few)
        cost, timed = slope * batch_size, f"{few} and {many}"
    else:
        cost, timed = seconds(batch_size), f"{batch_size:,}"
    return {
        "strategy": name,
        "pool": f"{pool.num_examples:,}",
        "picks timed": timed,
        f"CPU s for {batch_size:,}": cost,
        "above input MiB": al_data.peak_mib() - before,
    }


def main(argv) -> None:
    del argv
    pool = families(_EXAMPLES.value)
    unlabeled = dataclasses.replace(pool, unlabeled=None)
    path = harness.RESULTS / "al_strategies.json"
    kept = read_json(path) if _ONLY.value else {"rows": []}
    found = {
        row["strategy"]: {name: row[name] for name in kept["columns"]}
        for row in kept["rows"]
    }
    for name in _ONLY.value or (*_NAMES, *_PER_PICK):
        source = unlabeled if name in _PER_PICK else pool
        found[name] = measure(name, source, _BATCH.value)
        print(found[name], flush=True)
    rows = list(found.values())
    harness.record(
        "al_strategies",
        rows,
        notes=[
            "Families of ten on average in 64 dimensions, ten classes, one "
            "example in a hundred labeled; neighbor lists and clusters are "
            "given, as in every round after the first. One run each.",
            "The partitioned ones: nothing labeled, the slope between "
            f"{_PICKS[0]} and {_PICKS[1]} picks, in proportion; what they cost "
            "before the first pick is not in it.",
        ],
    )


if __name__ == "__main__":
    app.run(main)
