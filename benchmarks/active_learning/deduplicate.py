r"""Near copies of a large pool: what is kept, checked against brute force.

    python -m benchmarks.active_learning.deduplicate --examples=1000000

The pool is that of `scale`: families of near copies in random order. After the
run, `--sample` rows are compared with all kept rows, and those that were
dropped with their kept rows, in float64 and without the package: a kept row
must have no other kept row within the threshold, a dropped one the nearest
kept row that the package named. Run once; CPU seconds count all threads, and
"above" is the peak resident memory above that of an idle process plus the
embeddings (the file is memory-mapped and may be resident as well).
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
_EXACT = flags.DEFINE_bool("exact", True, "exact index, or ScaNN")
_THRESHOLD = flags.DEFINE_float("threshold", 0.03, "cosine distance")
_KEEP = flags.DEFINE_string("keep", "nearest_to_mean", "what is preferred")
_SAMPLE = flags.DEFINE_integer("sample", 20_000, "rows that are checked")
_BLOCK = 500


def main(argv) -> None:
    del argv
    n = _EXAMPLES.value
    path = getattr(al_data, _DATA.value)(n)
    small = np.random.default_rng(0).standard_normal((3000, 64))
    for exact in (True, _EXACT.value):
        al_tf.find_duplicates(
            small.astype(np.float32), 0.5, exact=exact, keep=_KEEP.value
        )
    al_data.reset_peak()
    idle = al_data.peak_mib()
    wall, cpu = time.monotonic(), time.process_time()
    found = al_tf.find_duplicates(
        path,
        _THRESHOLD.value,
        keep=_KEEP.value,
        exact=_EXACT.value,
        verbose=True,
    )
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    peak = al_data.peak_mib()
    began = time.process_time()
    facts = check(np.load(path, mmap_mode="r"), found)
    index = "exact" if found.info["exact"] else "ScaNN"
    harness.record(
        f"al_deduplicate_{_DATA.value}_{n}_{index.lower()}",
        [
            {
                "pool": f"{_DATA.value} {n:,} x 64",
                "index": index,
                "threshold": _THRESHOLD.value,
                "keep": _KEEP.value,
                "kept": len(found.kept),
                "recall": found.info["recall"],
                "compared with all": found.info["rows_compared_with_all"],
                "CPU s": cpu,
                "wall s": wall,
                "peak MiB": peak,
                "above embeddings MiB": peak - idle - n * 64 * 4 / 2**20,
                **facts,
                "CPU s of the check": time.process_time() - began,
            }
        ],
        notes=[
            "One run. Missed pairs: kept rows of the sample within the "
            "threshold of another kept row. Wrong rows: dropped rows of the "
            "sample whose nearest kept row is another, or is farther than the "
            "threshold. Both by float64 products with all kept rows."
        ],
    )


def check(rows: np.ndarray, found: al_tf.duplicates.Duplicates) -> dict:
    """Compares a sample of rows with all kept rows, by the definition."""
    threshold = _THRESHOLD.value
    n, kept = len(rows), found.kept
    size = min(_SAMPLE.value, n)
    sample = np.random.default_rng(1).choice(n, size, replace=False)
    centers = unit(rows[kept])
    place = np.full(n, -1)
    place[kept] = np.arange(len(kept))
    missed = wrong = 0
    for start in range(0, size, _BLOCK):
        block = sample[start : start + _BLOCK]
        distance = 1 - unit(rows[block]) @ centers.T
        own = place[block]
        at = np.flatnonzero(own >= 0)
        distance[at, own[at]] = np.inf
        missed += int((distance[at] <= threshold).sum())
        dropped = np.flatnonzero(own < 0)
        nearest = distance[dropped].min(1)
        named = distance[dropped, place[found.owner[block[dropped]]]]
        wrong += int(((named > nearest + 1e-12) | (named > threshold)).sum())
    return {"checked": size, "missed pairs": missed, "wrong rows": wrong}


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length one, float64."""
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


if __name__ == "__main__":
    app.run(main)
