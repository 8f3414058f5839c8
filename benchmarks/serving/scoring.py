"""Rows of a pool scored per CPU second, against the earlier paths.

    python -m benchmarks.serving.scoring [--rounds=5] [--models=d256]
        [--dataset=tfds:imdb_reviews/plain_text:train] [--texts=1024]
        [--before=CHECKOUT] [--batch_bytes=16384]

Texts are taken from the whole pool, evenly. The same random weights in every
arm, one thread each, texts in and files of scores out:

1. "input order": 64 rows a call, as they come.
2. "sorted": 64 rows of similar length a call, from a checkout's export where
   `--before` names one, as the scoring of that checkout did.
3. "bounded": of similar length, at most `--batch_bytes` a call; today's.
4. "bounded, bfloat16": the same with an export of that type.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks.harness import (
    ROOT,
    Arm,
    compare,
    in_words,
    record,
    row,
    speed,
)
from benchmarks.serving.generation import (
    MODELS,
    ONE_THREAD,
    export,
    prepare,
    served_path,
)

LENGTH = 512
ROWS = 64
UNBOUNDED = 1 << 40


def write_texts(path: pathlib.Path, dataset: str, count: int) -> list[str]:
    """Writes texts of a pool, evenly taken, and returns all of its texts."""
    from export.scoring.texts import pool_texts

    pool = [text.decode() for text in pool_texts(dataset)]
    chosen = [pool[i * len(pool) // count] for i in range(count)]
    path.write_text(json.dumps(chosen), encoding="utf-8")
    return pool


def scored(
    path: str, texts: str, shard_size: int, batch_bytes: int
) -> Callable[[], dict[str, float]]:
    """Returns the arm that scores the texts into a new folder."""
    from export.saved_model.session import SessionModel
    from export.scoring.scorer import score_pool

    model = SessionModel(path)
    rows = json.loads(pathlib.Path(texts).read_text(encoding="utf-8"))

    def run() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            scores = score_pool(
                model.run,
                rows,
                pathlib.Path(folder) / "scores",
                model="benchmark",
                shard_size=shard_size,
                batch_size=ROWS,
                batch_bytes=batch_bytes,
            )
            return {
                "units": len(rows),
                "mean margin": float(scores.margins.mean()),
            }

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", default="d256")
    parser.add_argument(
        "--dataset", default="tfds:imdb_reviews/plain_text:train"
    )
    parser.add_argument("--texts", type=int, default=1024)
    parser.add_argument("--before", type=pathlib.Path)
    parser.add_argument("--batch_bytes", type=int, default=1 << 14)
    options = parser.parse_args()
    before = ROOT if options.before is None else options.before.resolve()
    for name in options.models.split(","):
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            texts = folder / "texts.json"
            pool = write_texts(texts, options.dataset, options.texts)
            prepare(folder, name, pool[:: max(1, len(pool) // 3000)])

            def arm(
                name: str,
                model: str,
                shard_size: int,
                batch_bytes: int,
                folder: pathlib.Path = folder,
                texts: pathlib.Path = texts,
            ) -> Arm:
                arguments: dict[str, Any] = {
                    "path": str(served_path(folder, model, 1) / "1"),
                    "texts": str(texts),
                    "shard_size": shard_size,
                    "batch_bytes": batch_bytes,
                }
                function = "benchmarks.serving.scoring:scored"
                return Arm(name, function, arguments, env=ONE_THREAD)

            for model, checkout, dtype in (
                ("before", before, "float32"),
                ("float32", ROOT, "float32"),
                ("bfloat16", ROOT, "bfloat16"),
            ):
                export(
                    folder,
                    model,
                    checkout,
                    1,
                    dtype=dtype,
                    input_length=LENGTH,
                )
            whole = options.texts
            arms = [
                arm("input order", "before", ROWS, UNBOUNDED),
                arm("sorted", "before", whole, UNBOUNDED),
                arm("bounded", "float32", whole, options.batch_bytes),
                arm(
                    "bounded, bfloat16", "bfloat16", whole, options.batch_bytes
                ),
            ]
            timings = compare(arms, options.rounds, warm_up=1)
            record(
                f"serving_scoring_{name}",
                [
                    row(
                        timing,
                        timings["sorted"],
                        **{
                            "speed / input order (CPU)": speed(
                                timing, timings["input order"]
                            )[0],
                            "mean margin": timing.facts["mean margin"],
                        },
                    )
                    for timing in timings.values()
                ],
                timings=timings,
                notes=[
                    f"Random weights, {in_words(MODELS[name])}, at most "
                    f"{LENGTH} tokens, two label words; units are rows. "
                    "The first two arms run "
                    + (
                        "the export of this checkout."
                        if options.before is None
                        else "the export of the earlier checkout."
                    ),
                ],
            )


if __name__ == "__main__":
    main()
