"""Labels that each strategy needs, on pools with and without near-copies.

    python -m benchmarks.al_labels

Handwritten digits (scikit-learn's 1,797 images), once as they are and once
with near-copies in Zipf-distributed numbers; logistic regression; the labels
needed until the test accuracy first reaches the target, over seeds. Small and
easy pools: the direction can be seen here, not the paper's savings.
"""

from __future__ import annotations

import statistics

import numpy as np
from absl import app, flags

import al_tf
from benchmarks import harness

_SEEDS = flags.DEFINE_integer("seeds", 5, "repetitions")
_SETTINGS = (
    # pool, batch size, target accuracy, most labels
    ("digits", 20, 0.95, 420),
    ("digits", 100, 0.95, 620),
    ("digits with near-copies", 20, 0.93, 420),
    ("digits with near-copies", 100, 0.93, 620),
)
_STRATEGIES = (
    "random",
    "margin",
    "entropy",
    "cluster_margin",
    "cluster_random",
    "coreset",
    "badge",
)


def main(argv) -> None:
    del argv
    rows = []
    for pool, batch, target, most in _SETTINGS:
        row = {"pool": pool, "batch": batch, "target": target}
        for name in _STRATEGIES:
            needed = [
                labels_needed(pool, name, batch, target, most, seed)
                for seed in range(_SEEDS.value)
            ]
            row[name] = summary(needed)
        rows.append(row)
    harness.record(
        "al_labels",
        rows,
        notes=[
            "Mean and standard error of the labels needed; in brackets how "
            "many of the repetitions reached the target, where not all did. "
            "Clusters of mean size 10 of the raw pixels; 20 random labels to "
            "begin with; margin batch by default."
        ],
    )


def summary(needed: list[int | None]) -> str:
    reached = [n for n in needed if n is not None]
    if not reached:
        return "never"
    text = f"{statistics.mean(reached):.0f}"
    if len(reached) > 1:
        error = statistics.stdev(reached) / len(reached) ** 0.5
        text += f" +- {error:.0f}"
    if len(reached) < len(needed):
        text += f" ({len(reached)}/{len(needed)})"
    return text


def data(pool: str, seed: int):
    from sklearn.datasets import load_digits

    generator = np.random.default_rng(1000 + seed)
    images, digits = load_digits(return_X_y=True)
    images = images / 16.0
    order = generator.permutation(len(images))
    test, train = order[:500], order[500:]
    rows, labels = images[train], digits[train]
    if pool != "digits":
        copies = np.minimum(generator.zipf(1.7, len(rows)), 60)
        rows, labels = np.repeat(rows, copies, 0), np.repeat(labels, copies)
        rows = rows + 0.02 * generator.standard_normal(rows.shape)
    return rows.astype(np.float32), labels, images[test], digits[test]


def labels_needed(pool, name, batch, target, most, seed) -> int | None:
    from sklearn.linear_model import LogisticRegression

    rows, labels, test_rows, test_labels = data(pool, seed)
    n = len(rows)
    clusters = al_tf.cluster_embeddings(
        rows, target_cluster_size=10
    ).cluster_ids
    known = np.random.default_rng(seed).choice(n, 20, replace=False)
    while len(known) <= most:
        model = LogisticRegression(C=10, max_iter=300)
        model.fit(rows[known], labels[known])
        if model.score(test_rows, test_labels) >= target:
            return len(known)
        p = np.zeros((n, 10))
        p[:, model.classes_] = model.predict_proba(rows)
        state = al_tf.Pool(
            n,
            unlabeled=np.setdiff1d(np.arange(n), known),
            margins=al_tf.margin_scores(p),
            probabilities=p,
            embeddings=rows,
            cluster_ids=clusters,
        )
        picked = al_tf.STRATEGIES[name](
            state, batch_size=batch, seed=seed * 1000 + len(known)
        )
        known = np.concatenate([known, picked])
    return None


if __name__ == "__main__":
    app.run(main)
