"""A batch of a million out of ten million candidates; and the paper's loop.

python -m benchmarks.active_learning.selection
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
from absl import app

import al_tf
from benchmarks import harness
from benchmarks.active_learning import data as al_data

_SIZES = ((100_000, 10_000), (1_000_000, 100_000), (10_000_000, 1_000_000))


def main(argv) -> None:
    del argv
    rows = []
    for n, k in _SIZES:
        # One process per size, whose peak memory is that of the size.
        code = (
            "from benchmarks.active_learning import selection; "
            f"selection.measure({n}, {k})"
        )
        answer = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=harness.ROOT,
        ).stdout
        rows.append(json.loads(answer))
    harness.record(
        "al_selection",
        rows,
        notes=[
            "All examples are candidates (k_m = pool), the most expensive "
            "case. Memory above the margins and cluster ids that are given. "
            "Median of three."
        ],
    )


def measure(n: int, k: int) -> None:
    """Prints one row as JSON."""
    generator = np.random.default_rng(0)
    margins = generator.random(n, np.float32)
    clusters = (n * generator.random(n) ** 1.7).astype(np.int64)
    al_tf.select_batch(margins[:1000], clusters[:1000], batch_size=10)
    before = al_data.peak_mib()
    seconds = []
    for seed in range(3):
        began = time.process_time()
        batch = al_tf.select_batch(
            margins, clusters, batch_size=k, margin_batch_size=n, seed=seed
        )
        seconds.append(time.process_time() - began)
    peak = al_data.peak_mib()
    assert len(np.unique(batch)) == k
    print(
        json.dumps(
            {
                "candidates": f"{n:,}",
                "batch": f"{k:,}",
                "CPU s": float(np.median(seconds)),
                "above input MiB": peak - before,
            }
        )
    )


if __name__ == "__main__":
    app.run(main)
