"""Served T5 in half precision against float32: speed, size, and what changes.

    python -m benchmarks.serving.precision [--rounds=7] [--models=d256]
        [--dtypes=float32,bfloat16,float16] [--signatures=embed,generate]

The same random weights in every arm, one thread each, through the session
loader. `embed` reads 64 texts of about 100 tokens, `generate` writes 64 tokens
for one and for eight texts.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks.harness import ROOT, Arm, compare, in_words, record, row
from benchmarks.serving.generation import (
    MEASURED,
    MODELS,
    ONE_THREAD,
    export,
    input_texts,
    prepare,
    served,
    served_path,
)
from runkit import read_json

GENERATED = 64
EMBEDDED = 64
CASES = {"embed": (EMBEDDED,), "generate": (1, 8)}


def embed(path: str, batch: int) -> Callable[[], dict[str, float]]:
    """Returns the arm that runs `embed` through the session loader."""
    from export.saved_model.session import SessionModel

    model = SessionModel(path)
    texts = [" ".join([text] * 5) for text in input_texts(batch)]

    def run() -> dict[str, float]:
        model.run("embed", {"text": texts})
        return {"units": batch}

    return run


def arm(signature: str, dtype: str, path: pathlib.Path, batch: int) -> Arm:
    """Returns one arm: a signature of the export of one type."""
    module = "benchmarks.serving.precision:embed"
    arguments: dict[str, Any] = {"path": str(path), "batch": batch}
    if signature == "generate":
        module = f"{served.__module__}:served"
        arguments["length"] = GENERATED
    return Arm(dtype, module, arguments, env=ONE_THREAD)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--models", default=",".join(MEASURED))
    parser.add_argument("--dtypes", default="float32,bfloat16,float16")
    parser.add_argument("--signatures", default=",".join(CASES))
    options = parser.parse_args()
    dtypes = options.dtypes.split(",")
    for name in options.models.split(","):
        rows: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            prepare(folder, name)
            paths, facts = {}, {}
            for dtype in dtypes:
                export(folder, dtype, ROOT, GENERATED, dtype=dtype)
                paths[dtype] = served_path(folder, dtype, GENERATED) / "1"
                error = read_json(paths[dtype] / "model_card.json").get("error")
                data = (paths[dtype] / "variables").glob("*.data*")
                facts[dtype] = {
                    "MiB of weights": sum(f.stat().st_size for f in data)
                    / 2**20,
                    "smallest cosine": error
                    and error["embedding"]["smallest_cosine"],
                }
            for signature in options.signatures.split(","):
                for batch in CASES[signature]:
                    timings = compare(
                        [
                            arm(signature, dtype, paths[dtype], batch)
                            for dtype in dtypes
                        ],
                        options.rounds,
                    )
                    for timing in timings.values():
                        line = row(
                            timing,
                            timings[dtypes[0]],
                            signature=signature,
                            batch=batch,
                        )
                        rows.append({**line, **facts[timing.name]})
                    record(
                        f"serving_precision_{name}",
                        rows,
                        timings=timings,
                        notes=[
                            f"Text to text, one thread, random weights, "
                            f"{in_words(MODELS[name])}; units are texts, of "
                            "generate tokens. The cosine is that of the "
                            "embeddings of the stored requests with float32's.",
                        ],
                    )


if __name__ == "__main__":
    main()
