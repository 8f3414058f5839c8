"""How close does Cluster-Margin come to the volume-based sampler?

    python -m examples.cluster_margin_v --output_dir=runs/cluster_margin_v

Points are standard normal in the plane, with near-duplicates; the labels come
from a separator through the origin. All strategies start from the same
labels, pick batches, and know the version space (an arc of angles) that their
labels leave. What is plotted is the largest disagreement between two
separators of that arc: the error that cannot be ruled out yet.

Cluster-MarginV cuts the arc as evenly as the points allow, so a batch of b
labels divides the disagreement by b + 1, as good as the theory's bound.
Margin sampling spends a batch on points whose critical angles lie close
together, and for near-duplicates on one and the same angle.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
from absl import app, flags

import al_tf
from al_tf.selection import volume
from runkit.report import Report, new_figure

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", "runs/cluster_margin_v", "where the page and plot go"
)
_POINTS = flags.DEFINE_integer("points", 20_000, "size of the pool")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "labels a round")
_ROUNDS = flags.DEFINE_integer("rounds", 6, "rounds")
_REPEATS = flags.DEFINE_integer("repeats", 20, "random pools")

Select = Callable[..., np.ndarray]


def make_points(generator: np.random.Generator, n: int) -> np.ndarray:
    """Normal points, each with some near-copies (ten on average)."""
    copies = generator.geometric(0.1, n)
    centers = generator.standard_normal((n, 2))
    points = np.repeat(centers, copies, 0)[:n]
    return points + 1e-3 * generator.standard_normal(points.shape)


def margins_of(points: np.ndarray, space: volume.VersionSpace) -> np.ndarray:
    """|w . x| of the middle separator, squashed into [0, 1)."""
    direction = [np.cos(space.middle), np.sin(space.middle)]
    return np.tanh(np.abs(points @ direction))


def by_volume(points, clusters, ids, space, size, seed) -> np.ndarray:
    """The sampler of the theory."""
    del clusters, seed
    picks = volume.cluster_margin_v_batch(points[ids], space, batch_size=size)
    return ids[picks]


def by_cluster_margin(points, clusters, ids, space, size, seed) -> np.ndarray:
    """Cluster-Margin with its default margin batch."""
    return al_tf.select_batch(
        margins_of(points, space),
        clusters,
        batch_size=size,
        unlabeled=ids,
        seed=seed,
    )


def by_baseline(name: str) -> Select:
    """Margin or random sampling."""

    def select(points, clusters, ids, space, size, seed):
        pool = al_tf.Pool(
            len(points),
            unlabeled=ids,
            margins=margins_of(points, space),
            cluster_ids=clusters,
        )
        return al_tf.STRATEGIES[name](pool, batch_size=size, seed=seed)

    return select


SAMPLERS: dict[str, Select] = {
    "Cluster-MarginV": by_volume,
    "Cluster-Margin": by_cluster_margin,
    "margin": by_baseline("margin"),
    "random": by_baseline("random"),
}


def run_once(seed: int) -> dict[str, list[float]]:
    """Disagreement after each round, for every sampler on one pool."""
    generator = np.random.default_rng(seed)
    points = make_points(generator, _POINTS.value)
    truth = generator.uniform(0, np.pi)
    labels = np.sign(points @ [np.cos(truth), np.sin(truth)])
    clusters = al_tf.cluster_embeddings(
        points, target_cluster_size=10, metric="sqeuclidean"
    ).cluster_ids
    start = volume.VersionSpace(
        truth - generator.uniform(0, np.pi / 2), truth + np.pi / 2
    )
    curves = {}
    for name, select in SAMPLERS.items():
        space, left = start, np.arange(len(points))
        curves[name] = [space.disagreement]
        for turn in range(_ROUNDS.value):
            picks = select(
                points, clusters, left, space, _BATCH_SIZE.value, seed + turn
            )
            space = space.shrink(points[picks], labels[picks])
            left = np.setdiff1d(left, picks)
            curves[name].append(space.disagreement)
    return curves


def main(argv) -> None:
    """Runs all pools and writes report.html and disagreement.png."""
    del argv
    runs = [run_once(seed) for seed in range(_REPEATS.value)]
    asked = np.arange(_ROUNDS.value + 1) * _BATCH_SIZE.value
    medians = {
        name: np.median([run[name] for run in runs], 0) for name in SAMPLERS
    }
    report = Report("Cluster-MarginV in the plane", _OUTPUT_DIR.value)
    report.text(
        f"{_POINTS.value:,} points, batches of {_BATCH_SIZE.value}, medians "
        f"over {_REPEATS.value} pools. The largest disagreement between two "
        "separators that agree with all labels: lower is better."
    )
    figure, axes = new_figure()
    for name, curve in medians.items():
        axes.plot(asked, curve, marker="o", label=name)
    axes.set(xlabel="labels", ylabel="largest disagreement", yscale="log")
    axes.legend()
    report.figure(figure, "disagreement", "Version space against labels.")
    report.table(
        ("labels", *medians),
        zip(asked.tolist(), *(c.tolist() for c in medians.values())),  # noqa: B905
    )
    page = report.write()
    print(pathlib.Path(page).resolve())
    for name, curve in medians.items():
        print(f"{name:16s}", " ".join(f"{value:.2g}" for value in curve))


if __name__ == "__main__":
    app.run(main)
