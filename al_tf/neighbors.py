"""Nearest neighbours: one protocol, an exact index, a recall probe.

All distances are squared Euclidean. A database row may carry an `offset`
that is added to its distances; the clustering uses it for the variance of a
cluster, so that the same index finds points and clusters. Cosine distance is
the squared Euclidean distance of rows scaled to length sqrt(1/2)
(`al_tf.embeddings` does that).
"""

from __future__ import annotations

import dataclasses
from concurrent import futures
from typing import Protocol

import numba
import numpy as np
import threadpoolctl

from al_tf import contraction, row_kernels

# Tiles of the distance matrix; the product stays in the cache of a core.
_TILE_ROWS = 512
_UNIT_ROUNDOFF = 2.0**-24
# Searches of fewer queries or multiply-adds are not worth a contraction.
_MANY_QUERIES = 4096
_MUCH_WORK = 2e9
_SAMPLE_QUERIES = 128
# Looking for the libraries takes longer than a small search: done once.
_BLAS = threadpoolctl.ThreadpoolController()


@dataclasses.dataclass(frozen=True)
class Neighbors:
    """What a search returned.

    Attributes:
        ids: `[queries, k]` int32 database rows, -1 where there are fewer.
        bound: `[queries]` float64; every database row that is not in `ids`
            is at least this far away (infinite when all rows are listed).
            Rigorous for an exact index, a good guess for another.
    """

    ids: np.ndarray
    bound: np.ndarray


class NeighborIndex(Protocol):
    """A built index over `[n, d]` rows."""

    is_exact: bool

    def search(
        self, queries: np.ndarray, k: int, exclude: np.ndarray
    ) -> Neighbors:
        """Finds the k nearest rows of each query.

        Args:
            queries: `[q, d]` float32.
            k: neighbours a query.
            exclude: `[q]` the row that a query must not find (itself), or -1.
        """


class BruteForceIndex:
    """Exact search by blocked matrix products on all cores.

    For a query q and rows y with offset o, the value o + |y|^2 - 2 q.y is
    computed. Where many queries are asked, it is first bounded from below in
    fewer dimensions (`al_tf.contraction`) and computed where that does not
    rule the row out.

    The products are float32, and a rounding error must not hide a neighbour.
    With u = 2^-24, standard bounds on a dot product of d terms whose inputs
    were rounded give an error of at most 2 (d + 3) u |q| |y| (1 + small) for
    the product and u (|bias| + |value|) for the rest. `search` subtracts a
    slightly larger number from the k-th value, so that its `bound` is rigorous.
    A lower bound rules a row out where it exceeds the k-th value by that number
    too; what is left is added up in float64.

    Args:
        rows: `[n, d]` float32.
        offsets: `[n]` float64 added to the distances; infinity hides a row.
    """

    is_exact = True

    def __init__(self, rows: np.ndarray, offsets: np.ndarray | None = None):
        self._rows = rows
        square = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
        bias = square if offsets is None else square + offsets
        self._bias = bias.astype(np.float32)
        visible = np.isfinite(bias)
        self._largest = float(bias[visible].max()) if visible.any() else 0.0
        # (axes, contracted rows) once a large search has found them useful.
        self._contraction: tuple[np.ndarray, np.ndarray] | None = None
        self._was_tried = False

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: np.ndarray,
        within: np.ndarray | None = None,
    ) -> Neighbors:
        """See `NeighborIndex.search`.

        Args:
            queries: `[q, d]` float32.
            k: neighbours a query.
            exclude: `[q]` the row that a query must not find, or -1.
            within: `[q]` distances beyond which rows need not be listed;
                `bound` lies above them where nothing nearer was left out.
        """
        square = np.einsum("qd,qd->q", queries, queries, dtype=np.float64)
        error = self._rounding_error(square)
        limit = np.full(len(queries), row_kernels.EMPTY, np.float32)
        if within is not None:
            wanted = (within - square + 3 * error).clip(max=row_kernels.EMPTY)
            # Rounded up: the limit must not cut off what it promises.
            limit = np.nextafter(wanted.astype(np.float32), row_kernels.EMPTY)
        ids = np.full((len(queries), k), -1, np.int32)
        values = np.repeat(limit[:, None], k, 1)
        work = len(queries) * self._rows.size
        if len(queries) >= _MANY_QUERIES and work >= _MUCH_WORK:
            self._try_contraction(queries, k, exclude, limit)
        self._scan(queries, exclude, error, ids, values)
        last = values[:, -1]
        bound = np.where(
            last < row_kernels.EMPTY, square + last - error, np.inf
        )
        return Neighbors(ids, bound)

    def _rounding_error(self, square: np.ndarray) -> np.ndarray:
        """What the values of queries of these squared norms may be off by."""
        return _UNIT_ROUNDOFF * (
            2.1 * (self._rows.shape[1] + 6) * np.sqrt(square * self._largest)
            + 4.0 * self._largest
        )

    def _try_contraction(
        self,
        queries: np.ndarray,
        k: int,
        exclude: np.ndarray,
        limit: np.ndarray,
    ) -> None:
        """Finds the number of dimensions that is cheapest to look at first."""
        if self._was_tried:
            return
        self._was_tried = True
        queries, exclude, limit = (
            contraction.spread_sample(a, _SAMPLE_QUERIES)
            for a in (queries, exclude, limit)
        )
        ids = np.full((len(queries), k), -1, np.int32)
        values = np.repeat(limit[:, None], k, 1)
        no_error = np.zeros(len(queries))
        self._scan(queries, exclude, no_error, ids, values)
        axes = contraction.principal_axes(self._rows)
        width = contraction.best_width(
            self._rows, self._bias, axes, queries, exclude, values[:, -1]
        )
        if width is not None:
            rows = contraction.contract(self._rows, axes, width)
            self._contraction = axes, rows

    def _scan(
        self,
        queries: np.ndarray,
        exclude: np.ndarray,
        error: np.ndarray,
        ids: np.ndarray,
        values: np.ndarray,
    ) -> None:
        """Fills the lists, a thread a block of queries.

        Product and scan alternate in cache; threads inside the product as
        well would fight over the cores.
        """
        starts = range(0, len(queries), _TILE_ROWS)
        workers = min(numba.get_num_threads(), max(len(starts), 1))

        def scan_block(start: int) -> None:
            block = slice(start, start + _TILE_ROWS)
            self._scan_block(
                queries[block], exclude[block], error[block].astype(np.float32),
                ids[block], values[block],
            )  # fmt: skip

        with (
            _BLAS.limit(limits=1, user_api="blas"),
            futures.ThreadPoolExecutor(workers) as pool,
        ):
            for _ in pool.map(scan_block, starts):
                pass

    def _scan_block(
        self,
        queries: np.ndarray,
        exclude: np.ndarray,
        error: np.ndarray,
        ids: np.ndarray,
        values: np.ndarray,
    ) -> None:
        doubled = -2 * queries
        # What is multiplied first, and what confirms a lower bound.
        left, right = doubled, self._rows
        exact, rows = doubled[:, :0], self._rows[:, :0]
        slack = np.zeros_like(error)
        if self._contraction is not None:
            axes, right = self._contraction
            left = -2 * contraction.contract(queries, axes, right.shape[1])
            exact, rows, slack = doubled, self._rows, error
        products = np.empty(len(queries) * _TILE_ROWS, np.float32)
        for first in range(0, len(right), _TILE_ROWS):
            tile = slice(first, min(first + _TILE_ROWS, len(right)))
            out = products[: len(left) * len(right[tile])]
            out = out.reshape(len(left), -1)
            np.matmul(left, right[tile].T, out=out)
            row_kernels.scan_tile(
                out, self._bias[tile], first, exclude, slack, exact,
                rows[tile], ids, values,
            )  # fmt: skip


def symmetrize(
    ids: np.ndarray, distances: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turns neighbour lists into an undirected graph in CSR form.

    Args:
        ids: `[n, k]` int, -1 where there are fewer.
        distances: `[n, k]` float.

    Returns:
        (indptr `[n + 1]`, indices, distances): the neighbours of i are
        `indices[indptr[i]:indptr[i + 1]]`, ascending, without i and without
        repeats; j is a neighbour of i exactly if i is one of j.
    """
    n, k = ids.shape
    source = np.repeat(np.arange(n, dtype=np.int64), k)
    target = ids.astype(np.int64).ravel()
    weight = distances.ravel()
    keep = (target >= 0) & (target != source)
    source, target, weight = source[keep], target[keep], weight[keep]
    key = np.concatenate([source * n + target, target * n + source])
    weight = np.concatenate([weight, weight])
    order = np.lexsort((weight, key))
    key, weight = key[order], weight[order]
    first = np.ones(len(key), bool)
    first[1:] = key[1:] != key[:-1]
    key, weight = key[first], weight[first]
    indptr = np.searchsorted(key, np.arange(n + 1, dtype=np.int64) * n)
    return indptr, (key % n).astype(np.int32), weight


def measure_recall(
    rows: np.ndarray,
    ids: np.ndarray,
    *,
    sample_size: int = 500,
    seed: int = 0,
) -> float:
    """Share of the true nearest neighbours that the lists hold.

    Args:
        rows: `[n, d]` float32.
        ids: `[n, k]` neighbour lists of all rows.
        sample_size: rows whose true neighbours are computed.
        seed: of the sample.

    Returns:
        Mean over the sample of |listed and true| / |true|, in [0, 1]; 1.0
        where there is nothing to find.
    """
    sample = probe_sample(len(rows), sample_size, seed)
    true = true_neighbors(rows, sample, ids.shape[1])
    return recall(ids[sample], true)


def probe_sample(n: int, sample_size: int, seed: int) -> np.ndarray:
    """Ids of a random sample of rows, ascending."""
    generator = np.random.default_rng(seed)
    return np.sort(generator.choice(n, min(sample_size, n), replace=False))


def true_neighbors(
    rows: np.ndarray,
    sample: np.ndarray,
    k: int,
    offsets: np.ndarray | None = None,
) -> np.ndarray:
    """The k nearest rows of each sampled row, by brute force."""
    index = BruteForceIndex(rows, offsets)
    return index.search(rows[sample], k, sample).ids


def recall(found: np.ndarray, true: np.ndarray) -> float:
    """Mean share of `true` ids (`[q, k]`, -1 = none) that `found` holds."""
    hit = (true[:, :, None] == found[:, None, :]).any(2) & (true >= 0)
    total = int((true >= 0).sum())
    return float(hit.sum() / total) if total else 1.0
