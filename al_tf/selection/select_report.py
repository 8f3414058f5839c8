"""The page that shows what a selection picked, and from which pool."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from al_tf.clustering.result import Clustering, Fact
from al_tf.inputs.embeddings import Embeddings
from al_tf.selection.strategies import Pool, margin_batch
from runkit import InputError
from runkit.report import Report, is_own, new_figure

_SHOWN_POINTS = 5000
_FIGURES = ("cluster_sizes", "margins", "projection")


@dataclasses.dataclass(frozen=True)
class Round:
    """One selection, for the report.

    Attributes:
        ids: `[batch_size]` int64 in pick order.
        margins: `[n]`.
        unlabeled: `[m]` int64 ids that could be picked.
        clustering: of the pool.
        settings: flags, with the defaults that were chosen.
        seconds: wall-clock time of each step.
    """

    ids: np.ndarray
    margins: np.ndarray
    unlabeled: np.ndarray
    clustering: Clustering
    settings: dict[str, Fact]
    seconds: dict[str, float]


def side_files(
    output: pathlib.Path, figures: Sequence[str] = _FIGURES
) -> list[pathlib.Path]:
    """Files named after the output: `ids.csv` has `ids.report.html`."""
    names = ["report.html", *(f"{name}.png" for name in figures)]
    return [output.parent / f"{output.stem}.{name}" for name in names]


def check_side_files(
    output: pathlib.Path, figures: Sequence[str] = _FIGURES
) -> None:
    """Refuses to overwrite what no selection wrote.

    Raises:
        InputError: a file of another origin has the name of one of ours.
    """
    for path in side_files(output, figures):
        if path.exists() and not (path.is_file() and is_own(path)):
            raise InputError(
                f"{path} is there, and no selection wrote it",
                where="--output",
                got=str(output),
                remedy="Name another file, or give --overwrite",
            )


def write_report(
    picked: Round, embeddings: Embeddings, output: pathlib.Path
) -> pathlib.Path:
    """Writes the page and its PNGs; see `side_files`."""
    report = Report("Cluster-Margin batch", output.parent, f"{output.stem}.")
    _coverage(report, picked)
    _cluster_sizes(report, picked)
    _margins(report, picked)
    _projection(report, picked, embeddings)
    report.heading("Clustering")
    report.table(("what", "value"), _facts(picked.clustering))
    report.heading("Settings")
    report.table(("setting", "value"), picked.settings.items())
    report.heading("Time")
    report.table(("step", "seconds"), picked.seconds.items())
    return report.write()


def _facts(clustering: Clustering) -> list[tuple[str, Fact]]:
    """What is known about the clusters, in words; nothing that is None."""
    info = dict(clustering.info)
    facts: dict[str, Fact] = {
        "examples": len(clustering.cluster_ids),
        "clusters": clustering.num_clusters,
        "distance threshold": clustering.distance_threshold,
        "mean cluster size asked for": info.pop("target", None),
        "metric": clustering.metric,
        "exact neighbors": "yes" if info.pop("exact", False) else "no",
        **{name.replace("_", " "): value for name, value in info.items()},
    }
    return [(name, value) for name, value in facts.items() if value is not None]


def _coverage(report: Report, picked: Round) -> None:
    size = len(picked.ids)
    pool = Pool(
        len(picked.margins), unlabeled=picked.unlabeled, margins=picked.margins
    )
    plain = margin_batch(pool, batch_size=size)
    clusters = picked.clustering.cluster_ids
    report.heading("What the batch covers")
    report.table(
        ("strategy", "examples", "clusters covered", "mean margin"),
        [
            (
                name,
                size,
                len(np.unique(clusters[ids])),
                float(picked.margins[ids].mean()),
            )
            for name, ids in (
                ("Cluster-Margin", picked.ids),
                ("margin sampling", plain),
            )
        ],
    )


def _cluster_sizes(report: Report, picked: Round) -> None:
    clusters = picked.clustering.cluster_ids
    sizes = np.bincount(clusters)
    figure, axes = new_figure()
    edges = np.geomspace(1, sizes.max() + 1, 30)
    axes.hist(sizes, edges, label="all clusters")
    touched = sizes[np.unique(clusters[picked.ids])]
    axes.hist(touched, edges, label="clusters in the batch")
    axes.set(xscale="log", yscale="log")
    axes.set(xlabel="examples in the cluster", ylabel="clusters")
    axes.legend()
    report.heading("Cluster sizes")
    report.figure(
        figure,
        "cluster_sizes",
        f"{len(sizes):,} clusters; median size {int(np.median(sizes))}, "
        f"largest {sizes.max():,}.",
    )


def _margins(report: Report, picked: Round) -> None:
    figure, axes = new_figure()
    edges = np.linspace(0, 1, 51)
    axes.hist(picked.margins[picked.unlabeled], edges, label="unlabeled")
    axes.hist(picked.margins[picked.ids], edges, label="picked")
    axes.set(xlabel="margin (small = uncertain)", ylabel="examples")
    axes.set(yscale="log")
    axes.legend()
    report.heading("Margins")
    report.figure(figure, "margins", "Unlabeled examples and the batch.")


def _projection(report: Report, picked: Round, embeddings: Embeddings) -> None:
    """Two principal components of a sample of the pool, with the batch."""
    n = embeddings.shape[0]
    generator = np.random.default_rng(0)
    shown = min(n, _SHOWN_POINTS)
    sample = embeddings.take(generator.choice(n, shown, replace=False))
    batch = embeddings.take(picked.ids[:_SHOWN_POINTS])
    center = sample.mean(0)
    axes_2d = np.linalg.svd(sample - center, full_matrices=False)[2][:2]
    figure, axes = new_figure(6.0, 5.0)
    for rows, style in (
        (sample, {"s": 3, "color": "0.75", "label": "pool (sample)"}),
        (batch, {"s": 6, "color": "C1", "label": "batch"}),
    ):
        # A pool of one dimension or one example has a single component.
        place = np.zeros((len(rows), 2))
        place[:, : len(axes_2d)] = (rows - center) @ axes_2d.T
        axes.scatter(place[:, 0], place[:, 1], **style)
    axes.legend()
    report.heading("Where the batch lies")
    report.figure(
        figure, "projection", "First two principal components of the pool."
    )
