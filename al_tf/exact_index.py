"""The exact index: blocked matrix products, after ruling out what is far."""

from __future__ import annotations

from concurrent import futures

import numba
import numpy as np
import threadpoolctl

from al_tf import contraction, row_kernels
from al_tf.neighbors import Neighbors

# Tiles of the distance matrix; the product stays in the cache of a core.
_TILE_ROWS = 512
_UNIT_ROUNDOFF = 2.0**-24
# Smaller numbers are zero for some threads' arithmetic.
_SMALLEST = float(np.finfo(np.float32).tiny)
# A smaller search is not worth the preparation of fewer dimensions.
_MANY_QUERIES = 4096
_MUCH_WORK = 2e9
_SAMPLE_QUERIES = 128
# Looking for the libraries takes longer than a small search: done once.
_BLAS = threadpoolctl.ThreadpoolController()


class ExactIndex:
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
            # fmin: a distance that is not a number limits nothing.
            wanted = np.fmin(within - square + 3 * error, row_kernels.EMPTY)
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
        return _SMALLEST + _UNIT_ROUNDOFF * (
            2.1 * (self._rows.shape[1] + 6) * np.sqrt(square * self._largest)
            + 4.0 * (self._largest + square)
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
