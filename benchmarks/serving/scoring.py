"""Scoring a pool: IMDb's reviews, sorted or not, in float32 and bfloat16.

    python -m benchmarks.serving.scoring [--rounds=5] [--rows=512]
        [--models=d256] [--length=256] [--before=CHECKOUT]

Every arm scores the first rows of IMDb's unlabeled split anew, through
`score_pool` and one thread; "in the order of the pool" hands the same rows to
the model in batches as they come. `--before` names another checkout, whose
`score_pool` and export run as a further arm. The data set is read where
`TFDS_DATA_DIR` names it.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import ROOT, Arm, compare, record, row
from benchmarks.serving.generation import (
    MODELS,
    ONE_THREAD,
    export,
    prepare,
    served_path,
)

POOL = "tfds:imdb_reviews/plain_text:unsupervised"
BATCH = 64


def pool(rows: int) -> list[bytes]:
    """The first rows of the pool."""
    import itertools

    from export.scoring.texts import pool_texts

    return list(itertools.islice(pool_texts(POOL), rows))


def sorted_by_length(
    path: str, rows: int, checkout: str = ""
) -> Callable[[], dict[str, float]]:
    """Returns the arm of `score_pool`, perhaps of another checkout."""
    if checkout:
        sys.path.insert(0, checkout)
    from export.saved_model.session import SessionModel
    from export.scoring.scorer import score_pool

    texts, model = pool(rows), SessionModel(path)

    def run() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            scores = score_pool(model.run, texts, folder, model="benchmark")
            total = float(np.sum(scores.margins))
        return {"units": rows, "margins": total}

    return run


def in_order(path: str, rows: int) -> Callable[[], dict[str, float]]:
    """Returns the arm that does not sort."""
    from export.saved_model.session import SessionModel

    texts, model = pool(rows), SessionModel(path)

    def run() -> dict[str, float]:
        total = 0.0
        for start in range(0, rows, BATCH):
            batch = {"text": texts[start : start + BATCH]}
            total += float(np.sum(model.run("classify", batch)["margin"]))
        return {"units": rows, "margins": total}

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--models", default="d256")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--before", type=pathlib.Path)
    options = parser.parse_args()
    module = "benchmarks.serving.scoring"
    for name in options.models.split(","):
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            prepare(folder, name)
            more: dict[str, Any] = {"input_length": options.length}
            for dtype in ("float32", "bfloat16"):
                export(folder, dtype, ROOT, 64, **more, dtype=dtype)
            paths = {
                dtype: str(served_path(folder, dtype, 64) / "1")
                for dtype in ("float32", "bfloat16")
            }
            case = {"path": paths["float32"], "rows": options.rows}
            half = {**case, "path": paths["bfloat16"]}
            arms = [
                Arm("float32", f"{module}:sorted_by_length", case),
                Arm("bfloat16", f"{module}:sorted_by_length", half),
                Arm("float32, in the pool's order", f"{module}:in_order", case),
                Arm(
                    "bfloat16, in the pool's order", f"{module}:in_order", half
                ),
            ]
            if options.before is not None:
                checkout = options.before.resolve()
                export(folder, "before", checkout, 64, **more)
                path = served_path(folder, "before", 64) / "1"
                before = {
                    "path": str(path),
                    "rows": options.rows,
                    "checkout": str(checkout),
                }
                arms.append(Arm("before", f"{module}:sorted_by_length", before))
            arms = [
                Arm(a.name, a.factory, a.arguments, env=ONE_THREAD)
                for a in arms
            ]
            timings = compare(arms, options.rounds, warm_up=1)
            peer = timings[arms[-1].name if options.before else "float32"]
            record(
                f"serving_scoring_{name}",
                [
                    {**row(timing, peer), "sum of margins": margin(timing)}
                    for timing in timings.values()
                ],
                timings=timings,
                notes=[
                    f"{options.rows} reviews of IMDb, cut at "
                    f"{options.length} tokens, one thread, random weights, "
                    f"{MODELS[name]}; units are texts.",
                ],
            )


def margin(timing: Any) -> float:
    """The sum of all margins of an arm's last run."""
    return timing.facts["margins"]


if __name__ == "__main__":
    main()
