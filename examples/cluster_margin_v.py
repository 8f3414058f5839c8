"""How close does Cluster-Margin come to the volume-based sampler?

    python -m examples.cluster_margin_v --output_dir=runs/cluster_margin_v

The points are standard normal in the plane, with near-copies; the labels come
from a separator through the origin. All strategies start from the same labels,
pick batches, and know the version space (an arc of angles) that their labels
leave. The plot shows the largest disagreement between two separators of that
arc: the error that cannot be ruled out yet.

Cluster-MarginV cuts the arc as evenly as the points allow: a batch of b labels
divides the disagreement by b + 1, as the theory promises. Margin sampling
spends a batch on points whose critical angles lie close together, and for
near-copies on a single angle.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from absl import flags

import al_tf
from al_tf.selection import volume
from runkit import run_binary
from runkit.flag_values import Flag, check_table
from runkit.report import Report, new_figure

FLAGS = flags.FLAGS
FLAG_TABLE = (
    Flag(
        "output_dir",
        "Directory of the report and its plot.",
        default="runs/cluster_margin_v",
        required=True,
    ),
    Flag("points", "Number of points in a pool.", int, 20_000, positive=True),
    Flag("batch_size", "Labels per round.", int, 8, positive=True),
    Flag("rounds", "Number of rounds.", int, 6, positive=True),
    Flag("repeats", "Number of random pools.", int, 20, positive=True),
)


class Round(NamedTuple):
    """What a strategy may look at.

    Attributes:
        points: `[n, 2]` float64.
        clusters: `[n]` int64 cluster of each point.
        ids: `[m]` int64 points that may be picked.
        space: separators that agree with the labels so far.
    """

    points: np.ndarray
    clusters: np.ndarray
    ids: np.ndarray
    space: volume.VersionSpace

    def margins(self) -> np.ndarray:
        """`[n]` |w . x| of the middle separator, squashed into [0, 1)."""
        direction = [np.cos(self.space.middle), np.sin(self.space.middle)]
        return np.tanh(np.abs(self.points @ direction))


# (round, batch size, random seed) -> `[batch size]` of the round's ids.
Select = Callable[[Round, int, int], np.ndarray]


def make_points(generator: np.random.Generator, n: int) -> np.ndarray:
    """`[n, 2]` normal points with near-copies, ten of each on average."""
    copies = generator.geometric(0.1, n)
    centers = generator.standard_normal((n, 2))
    points = np.repeat(centers, copies, 0)[:n]
    return points + 1e-3 * generator.standard_normal(points.shape)


def by_volume(state: Round, size: int, seed: int) -> np.ndarray:
    """The sampler of the theory."""
    del seed
    points = state.points[state.ids]
    picks = volume.cluster_margin_v_batch(points, state.space, batch_size=size)
    return state.ids[picks]


def by_cluster_margin(state: Round, size: int, seed: int) -> np.ndarray:
    """Cluster-Margin with its default margin batch."""
    return al_tf.select_batch(
        state.margins(),
        state.clusters,
        batch_size=size,
        unlabeled=state.ids,
        seed=seed,
    )


def by_baseline(name: str) -> Select:
    """Margin or random sampling."""

    def select(state: Round, size: int, seed: int) -> np.ndarray:
        pool = al_tf.Pool(
            len(state.points),
            unlabeled=state.ids,
            margins=state.margins(),
            cluster_ids=state.clusters,
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
    points = make_points(generator, FLAGS.points)
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
        for turn in range(FLAGS.rounds):
            state = Round(points, clusters, left, space)
            picks = select(state, FLAGS.batch_size, seed + turn)
            space = space.shrink(points[picks], labels[picks])
            left = np.setdiff1d(left, picks)
            curves[name].append(space.disagreement)
    return curves


def main(argv: Sequence[str]) -> None:
    """Runs all pools and writes report.html and disagreement.png."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    runs = [run_once(seed) for seed in range(FLAGS.repeats)]
    asked = np.arange(FLAGS.rounds + 1) * FLAGS.batch_size
    medians = {
        name: np.median([run[name] for run in runs], 0) for name in SAMPLERS
    }
    report = Report("Cluster-MarginV in the plane", FLAGS.output_dir)
    report.text(
        f"{FLAGS.points:,} points, batches of {FLAGS.batch_size}, medians "
        f"over {FLAGS.repeats} pools. The largest disagreement between two "
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
    run_binary(main, FLAG_TABLE)
