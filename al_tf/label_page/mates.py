"""What stands beside an example: others of its cluster, and near copies."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
from absl import logging

from al_tf.project.project import Project
from al_tf.project.record.state import State
from runkit import InputError


class Mate(NamedTuple):
    """Another example of the same cluster.

    Attributes:
        place: its position in the pool.
        distance: cosine distance, in [0, 2].
    """

    place: int
    distance: float


class ClusterMates:
    """Finds the members of a cluster.

    Args:
        rows: `[n, d]` float32 embeddings; further rows are not looked at.
        cluster_ids: `[n]` int64, from 0 on.
    """

    def __init__(self, rows: np.ndarray, cluster_ids: np.ndarray):
        self._rows, self._cluster_ids = rows, cluster_ids
        self._order = np.argsort(cluster_ids, kind="stable")
        sizes = np.bincount(cluster_ids)
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes

    def of(self, place: int) -> list[Mate]:
        """All other members of an example's cluster, the nearest first."""
        cluster = self._cluster_ids[place]
        members = self._order[self._starts[cluster] : self._ends[cluster]]
        members = members[members != place]
        rows = self._rows[[place, *members]].astype(np.float64)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        # A row of zeros has no direction: it is far from all but itself.
        rows = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
        silent = ~norms[:, 0].astype(bool)
        distances = np.where(
            silent[1:] & silent[0], 0.0, 1 - rows[1:] @ rows[0]
        )
        distances = distances.clip(0, 2)
        nearest = np.argsort(distances, kind="stable")
        return [
            Mate(int(members[i]), float(distances[i])) for i in nearest.tolist()
        ]


class MatesBeside:
    """The clusters of a project, prepared in a thread of their own.

    Embedding and clustering a pool may take minutes; people need not wait.

    Args:
        project: the project that is looked at.

    Attributes:
        lock: held while the pool is read; whoever may change what is kept of
            it in memory holds it too.
        note: why there are no clusters; "" if there are, or will be.
    """

    def __init__(self, project: Project):
        self.lock = threading.Lock()
        self.note = ""
        self._project = project
        self._thread: threading.Thread | None = None
        self._parts = 0
        self._found: ClusterMates | None = None

    def get(self, state: State) -> ClusterMates | None:
        """The clusters of all parts of the pool; None while there are none."""
        if self._parts == len(state.parts):
            return self._found
        if not self.is_preparing:
            self._thread = threading.Thread(
                target=self._prepare, args=(state,), daemon=True
            )
            self._thread.start()
        return None

    @property
    def is_preparing(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        """Waits until nothing is being prepared."""
        if self._thread is not None:
            self._thread.join()

    def _prepare(self, state: State) -> None:
        found, note = None, ""
        try:
            with self.lock:
                rows, clustering = self._project.clustered(state)
                found = ClusterMates(rows, clustering.cluster_ids)
        except InputError as error:
            note = str(error)
        except Exception:
            logging.exception("the clusters of the project")
            note = "The clusters could not be made; the server's log says why."
        self.note, self._found, self._parts = note, found, len(state.parts)
