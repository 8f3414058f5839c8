"""Approximate neighbor search with ScaNN (an optional dependency)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from al_tf.neighbors import row_kernels
from al_tf.neighbors.exact_index import ExactIndex
from al_tf.neighbors.protocol import Neighbors, Probe
from al_tf.neighbors.recall import probe_sample, recall
from al_tf.neighbors.row_order import locality_order
from runkit import InputError

if TYPE_CHECKING:
    from scann.scann_ops.py.scann_ops_pybind import ScannSearcher

_SEARCH_ROWS = 65536
# Queries that visit a leaf together. ScaNN's own default, 256, loads every
# leaf from memory again for a few queries each.
_BATCH_ROWS = 4096
_TRAINING_ROWS = 100_000
_FIRST_LEAVES = 10
# From this dimension on, distances are cheaper from 4-bit codes, with
# re-ordering.
_HASHING_DIMENSION = 256
_REORDER_PER_NEIGHBOR = 12
# Candidates that are held at once.
_CANDIDATES = 1 << 24
# A codebook has 16 entries, and training on fewer rows than that fails.
_DISTINCT_FOR_HASHING, _LOOKED_AT = 256, 4096
# Multiply-adds that one search of all rows may cost for the sake of recall;
# eight times as many take about the same time by brute force.
_MOST_WORK = 1e12
# Weakly clustered pools need nearly every neighbor; where a search is cheap
# anyway, it is made nearly exact.
_CHEAP_WORK = 1e11
_CHEAP_RECALL = 0.999


def is_available() -> bool:
    """Whether the `scann` package is installed."""
    return importlib.util.find_spec("scann") is not None


class ScannIndex:
    """A ScaNN tree whose leaves are searched by brute force or by hashing.

    A database row with offset o is kept as [row, sqrt(o)] and a query is
    [query, 0]: then the plain squared distance is the wanted sum. Where all
    offsets are zero, as among single points, the rows are kept as they are.

    ScaNN would re-order its candidates by a copy of the rows. With a pool of
    millions that copy, beside the caller's, would be the largest thing in
    memory; here they are re-ordered by the rows of the caller.

    Args:
        rows: `[n, d]` float32, which must not change while the index is used;
            with offsets they are copied.
        offsets: `[n]` float64, not negative.
        k: the largest number of neighbors that will be asked for.
        target_recall: `tune` searches more leaves until this is reached.
        seed: random seed of the probe sample.

    Raises:
        InputError: the `scann` package is not installed.
    """

    def __init__(
        self,
        rows: np.ndarray,
        offsets: np.ndarray | None = None,
        *,
        k: int = 16,
        target_recall: float = 0.99,
        seed: int = 0,
    ):
        if not is_available():
            raise InputError(
                "ScaNN is not installed",
                where="exact=False",
                remedy="pip install scann, or use exact=True",
            )
        # Imported here: ScaNN imports TensorFlow.
        from scann.scann_ops.py import scann_ops_pybind

        n, self._dimension = rows.shape
        if offsets is not None and offsets.any():
            rows = _with_column(rows, np.sqrt(offsets))
        self._rows = rows
        self.num_leaves = int(max(1, min(2 * np.sqrt(n), n // 8)))
        self._leaves = min(_FIRST_LEAVES, self.num_leaves)
        self._target, self._seed = target_recall, seed
        self._recall = float("nan")
        builder = scann_ops_pybind.builder(
            rows, min(k + 1, n), "squared_l2"
        ).tree(
            self.num_leaves,
            self._leaves,
            training_sample_size=min(n, _TRAINING_ROWS),
            quantize_centroids=False,
        )
        # Codebooks cannot be trained on rows that seem too alike.
        is_plain = self._dimension < _HASHING_DIMENSION or (
            len(np.unique(rows[:_LOOKED_AT], axis=0)) < _DISTINCT_FOR_HASHING
        )
        if is_plain:
            builder = builder.score_brute_force()
            self._reorder = 0
        else:
            builder = builder.score_ah(
                2, anisotropic_quantization_threshold=0.2
            )
            self._reorder = _REORDER_PER_NEIGHBOR * (k + 1)
        self._searcher: ScannSearcher = builder.build()

    @property
    def probe(self) -> Probe:
        """What the last `tune` reached; before it, the recall is NaN."""
        return Probe(self._recall, self._leaves, self.num_leaves)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: np.ndarray,
        within: np.ndarray | None = None,
    ) -> Neighbors:
        """See `NeighborIndex.search`; ignores `within`."""
        del within
        ids = np.full((len(queries), k), -1, np.int32)
        distances = np.full(ids.shape, np.inf, np.float32)
        wanted = min(max(self._reorder, k + 1), len(self._rows))
        step = min(_SEARCH_ROWS, max(_BATCH_ROWS, _CANDIDATES // wanted))
        for start in range(0, len(queries), step):
            block = slice(start, start + step)
            asked = queries[block]
            if asked.shape[1] < self._rows.shape[1]:
                asked = _with_column(asked, 0.0)
            found, estimates = self._searcher.search_batched_parallel(
                asked,
                final_num_neighbors=wanted,
                leaves_to_search=self._leaves,
                batch_size=_BATCH_ROWS,
            )
            found = found.astype(np.int32)
            found[~np.isfinite(estimates)] = -1
            row_kernels.nearest_candidates(
                asked,
                self._rows,
                found,
                exclude[block],
                ids[block],
                distances[block],
            )
        farthest = np.where(ids >= 0, distances, -np.inf)
        return Neighbors(ids, farthest.max(1, initial=-np.inf).astype(float))

    def search_all(
        self,
        k: int,
        within: np.ndarray | None = None,
        report: Callable[[int], None] | None = None,
    ) -> Neighbors:
        """See `NeighborIndex.search_all`.

        Returns:
            Neighbors with `[n, 2 k]` ids: where there is room, a row is also
            listed by the neighbors that it found.
        """
        del within
        n = len(self._rows)
        ids, bound = np.empty((n, k), np.int32), np.empty(n)
        order = locality_order(self._rows).astype(np.int32)
        for start in range(0, n, _SEARCH_ROWS):
            block = order[start : start + _SEARCH_ROWS]
            answer = self.search(self._queries(block), k, block)
            ids[block], bound[block] = answer.ids, answer.bound
            if report:
                report(start + len(block))
        return Neighbors(row_kernels.mutual_lists(ids, 2 * k), bound)

    def tune(self, k: int, sample_size: int = 500) -> float:
        """Searches more until a sample reaches the target recall.

        Leaves and, with hashing, re-ordered candidates grow together. Stops
        where a search of all rows would cost more than `_MOST_WORK`; up to
        `_CHEAP_WORK` the target is at least `_CHEAP_RECALL`.

        Returns:
            The recall reached, also kept in `probe`.
        """
        sample = probe_sample(len(self._rows), sample_size, self._seed)
        queries, (n, d) = self._queries(sample), self._rows.shape
        true = ExactIndex(self._rows).search(queries, k, sample).ids
        leaf_work = float(n) * n * d / self.num_leaves
        most = min(self.num_leaves, int(_MOST_WORK / leaf_work))
        while True:
            found = self.search(queries, k, sample)
            self._recall = recall(found.ids, true)
            cheap = self._leaves * leaf_work < _CHEAP_WORK
            target = max(self._target, _CHEAP_RECALL if cheap else 0.0)
            if self._recall >= target or self._leaves >= most:
                return self._recall
            self._leaves = min(int(1.5 * self._leaves) + 1, most)
            self._reorder = int(1.5 * self._reorder)

    def _queries(self, rows: np.ndarray) -> np.ndarray:
        """Rows of the database as they are asked: without their offsets."""
        queries = self._rows[rows]
        queries[:, self._dimension :] = 0.0
        return queries


def _with_column(rows: np.ndarray, last: np.ndarray | float) -> np.ndarray:
    out = np.empty((rows.shape[0], rows.shape[1] + 1), np.float32)
    out[:, :-1] = rows
    out[:, -1] = last
    return out
