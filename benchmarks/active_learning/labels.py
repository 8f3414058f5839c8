"""Labels that each strategy needs, on pools with and without near-copies.

    python -m benchmarks.active_learning.labels

Handwritten digits (scikit-learn's 1,797 images), once as they are and once
with near-copies in Zipf-distributed numbers; logistic regression; the labels
needed until the test accuracy first reaches the target, over seeds. The pools
are small and easy: they show the direction, not the paper's savings.
"""

from __future__ import annotations

import pathlib

from absl import app

from al_tf.loop import curves
from benchmarks import harness
from benchmarks.active_learning import loop as al_loop

_SETTINGS = (
    # pool, least family, batch size, target accuracy, most labels
    ("digits", 0, 20, 0.95, 420),
    ("digits", 0, 100, 0.95, 620),
    ("digits with near-copies", 1, 20, 0.93, 420),
    ("digits with near-copies", 1, 100, 0.93, 620),
)
_OPTIONS = {
    "dataset": "npz:{digits}",
    "test": "npz:{digits_test}",
    "learner": "linear",
    "strategies": f"{al_loop.SIX},entropy",
    "seeds": "0,1,2,3,4",
    "seed_size": 20,
    "missing_classes": "allow",
}


def main(argv) -> None:
    del argv
    lines = []
    for pool, copies, batch, target, most in _SETTINGS:
        options = {
            **_OPTIONS,
            "near_copies": copies,
            "batch_size": batch,
            "rounds": (most - 20) // batch,
        }
        root = pathlib.Path(al_loop.OUTPUT_ROOT.value)
        rows, _ = al_loop.run(root / f"labels-{copies}-{batch}", options)
        needed = curves.labels_needed(rows, "accuracy", target)
        line = {"pool": pool, "batch": batch, "target": target}
        line |= {name: curves.summary(n) for name, n in needed.items()}
        lines.append(line)
    harness.record(
        "al_labels",
        lines,
        notes=[
            "Mean and standard error of the labels needed; in brackets how "
            "many of the repetitions reached the target, where not all did. "
            "Clusters of mean size 10 of the raw pixels; 20 random labels to "
            "begin with; margin batch by default.",
            f"`{al_loop.shown(_OPTIONS)}` with the batch size and rounds of "
            "the line; near-copies by --near_copies=1.",
        ],
    )


if __name__ == "__main__":
    app.run(main)
