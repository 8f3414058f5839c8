"""Clusters of a pool that grows: assigned, or made again when it drifts.

    DIR/clusters/parts-001, parts-002, ...   a `Clustering` of the first parts

Each is a function of the parts before it, so that it can be made again.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from al_tf.clustering.build import cluster_embeddings
from al_tf.clustering.result import Clustering, load_clustering
from al_tf.clustering.store import is_clustering
from al_tf.inputs import block_checksum
from al_tf.loop.clusters import directions
from runkit import InputError
from runkit.files import remove_leftovers

# More strangers than this above what was to be expected is drift.
MOST_DRIFT = 0.1
# Assigned examples do not move the clusters' moments; past this they should.
MOST_GROWTH = 2.0


class Drift(NamedTuple):
    """How new examples differ from those that were clustered.

    Attributes:
        fresh: share of them that no cluster takes.
        expected: the share to be expected without drift: the share of
            examples that are alone in their cluster (Good 1953, the
            probability that the next draw is of an unseen kind).
        growth: examples now, as a multiple of those at the last clustering.
    """

    fresh: float
    expected: float
    growth: float

    @property
    def is_large(self) -> bool:
        """Whether the pool should be clustered again."""
        return (
            self.fresh - self.expected > MOST_DRIFT or self.growth > MOST_GROWTH
        )


class GrowingClusters:
    """Clusters of the parts of a pool.

    Args:
        folder: where they are kept.
        target_cluster_size: mean size, where they are made.
    """

    def __init__(self, folder: pathlib.Path, target_cluster_size: float):
        self._folder = folder
        self._target_cluster_size = target_cluster_size

    def of_parts(self, parts: Sequence[np.ndarray]) -> Clustering:
        """Opens the clusters of all parts together, or makes them.

        Args:
            parts: `[n_i, d]` float32 embeddings of each part, in the order in
                which they joined.

        Returns:
            A clustering of all rows. `info` holds `clustered_examples`, the
            number of examples at the last full clustering, and for a grown
            pool the fields of `Drift` and `reclustered`.

        Raises:
            InputError: other rows than those that were clustered.
        """
        path = self._folder / f"parts-{len(parts):03d}"
        size = sum(len(rows) for rows in parts)
        if is_clustering(path):
            found = load_clustering(path)
            if found.pool["shape"][0] == size:
                self._check_rows(found, parts, path)
                return found
        remove_leftovers(self._folder)
        made = self._made(parts) if len(parts) == 1 else self._grown(parts)
        made.save(path)
        return made

    def _check_rows(
        self,
        found: Clustering,
        parts: Sequence[np.ndarray],
        path: pathlib.Path,
    ) -> None:
        """Refuses embeddings that were made anew under the same name."""
        crc = 0
        for rows in parts:
            crc = block_checksum(directions(rows), crc)
        if crc != found.pool["checksum"]:
            raise InputError(
                "holds the clusters of other embeddings: these have changed "
                "since",
                where=str(path),
                got=f"embeddings with checksum {crc}",
                expected=f"checksum {found.pool['checksum']}",
                remedy="Put the old embeddings back; or go on with the new "
                f"ones: remove {self._folder}, and clusters are made of them",
            )

    def _made(self, parts: Sequence[np.ndarray]) -> Clustering:
        rows = directions(np.concatenate(parts))
        target = min(self._target_cluster_size, float(len(rows)))
        made = cluster_embeddings(rows, target_cluster_size=target)
        info = {**made.info, "clustered_examples": len(rows)}
        return dataclasses.replace(made, info=info)

    def _grown(self, parts: Sequence[np.ndarray]) -> Clustering:
        before = self.of_parts(parts[:-1])
        grown = before.grow(directions(parts[-1]))
        drift = measure_drift(before, grown)
        # Drift is a fact of the new part, whichever clusters are kept.
        facts = {**drift._asdict(), "reclustered": drift.is_large}
        kept = self._made(parts) if drift.is_large else grown
        return dataclasses.replace(kept, info={**kept.info, **facts})


def measure_drift(before: Clustering, grown: Clustering) -> Drift:
    """Compares a clustering with what it became; see `Drift`."""
    old = len(before.cluster_ids)
    joined = grown.cluster_ids[old:]
    alone = np.bincount(before.cluster_ids) == 1
    clustered = before.info.get("clustered_examples") or old
    return Drift(
        fresh=float(np.mean(joined >= before.num_clusters)),
        expected=float(alone.sum() / old),
        growth=len(grown.cluster_ids) / float(clustered),
    )
