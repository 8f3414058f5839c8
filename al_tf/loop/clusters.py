"""The clusters of each seed: made once, from the embeddings of its seed model.

clusters/seed-S/        a `Clustering`, see `al_tf.clustering.store`
neighbors/seed-S.npy    `[n, k]` int32 neighbor lists, if a strategy needs them
"""

from __future__ import annotations

import pathlib

import numpy as np

from al_tf.clustering.build import cluster_embeddings
from al_tf.clustering.result import Clustering, load_clustering
from al_tf.clustering.store import is_clustering
from al_tf.inputs import checksum, open_embeddings
from al_tf.inputs.embeddings import open_npy
from al_tf.selection.spreading.lists import neighbor_lists
from runkit import InputError
from runkit.files import remove_leftovers, write_npy


class SeedClusters:
    """Makes the clusters of a seed, or opens them.

    Args:
        folder: where the clusterings of all seeds are.
        target_cluster_size: mean size of the clusters; a smaller pool becomes
            one cluster.
    """

    def __init__(self, folder: pathlib.Path, target_cluster_size: float):
        self._folder = folder
        self._target_cluster_size = target_cluster_size
        self._known: dict[int, Clustering] = {}
        self._neighbors: dict[int, np.ndarray] = {}

    def of_seed(self, seed: int, embeddings: np.ndarray | None) -> Clustering:
        """Returns the clusters of a seed.

        Args:
            seed: of the run.
            embeddings: `[n, d]` of the pool by the seed model; None in later
                rounds, when the clusters exist already.

        Raises:
            InputError: the clusters do not exist any more.
        """
        if seed not in self._known:
            path = self._folder / f"seed-{seed}"
            if is_clustering(path):
                self._known[seed] = load_clustering(path)
            elif embeddings is None:
                raise InputError(
                    "the clusters of a run that has begun are gone",
                    where=str(path),
                    remedy="Name another --output_dir",
                )
            else:
                found = self._make(directions(embeddings))
                remove_leftovers(self._folder)
                found.save(path)
                self._known[seed] = found
        return self._known[seed]

    def neighbors_of_seed(
        self, seed: int, embeddings: np.ndarray | None
    ) -> np.ndarray:
        """Returns `[n, k]` int32 neighbor lists of a seed.

        Args:
            seed: of the run.
            embeddings: as `of_seed`.

        Raises:
            InputError: the lists do not exist any more.
        """
        if seed not in self._neighbors:
            path = self._folder.parent / "neighbors" / f"seed-{seed}.npy"
            if not path.is_file():
                if embeddings is None:
                    raise InputError(
                        "the neighbor lists of a run that has begun are gone",
                        where=str(path),
                        remedy="Name another --output_dir",
                    )
                path.parent.mkdir(parents=True, exist_ok=True)
                write_npy(path, neighbor_lists(directions(embeddings)))
            self._neighbors[seed] = np.array(open_npy(path))
        return self._neighbors[seed]

    def _make(self, rows: np.ndarray) -> Clustering:
        # Fixed embeddings are the same for every seed.
        found = checksum(open_embeddings(rows))
        for other in self._known.values():
            if other.pool["checksum"] == found:
                return other
        size = min(self._target_cluster_size, float(len(rows)))
        return cluster_embeddings(rows, target_cluster_size=size)


def directions(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings that all have a direction, as cosine distance needs.

    A network whose last layer is silent for an example embeds it at zero.
    Such examples are alike: they get one direction, close to the origin.
    """
    silent = ~embeddings.any(1)
    if not silent.any():
        return embeddings
    embeddings = embeddings.copy()
    embeddings[silent] = -1e-6
    return embeddings
