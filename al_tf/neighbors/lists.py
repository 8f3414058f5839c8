"""Lists of neighbors that a search fills, and what they prove."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from al_tf.neighbors import row_kernels
from al_tf.neighbors.protocol import Neighbors
from al_tf.neighbors.row_order import spread_sample

_UNIT_ROUNDOFF = 2.0**-24
# Smaller numbers are zero for some threads' arithmetic.
_SMALLEST = float(np.finfo(np.float32).tiny)


class Asked(NamedTuple):
    """Queries and the lists that they fill.

    Attributes:
        rows: `[q, d]` float32.
        factor: `[q, w]` float32, what is multiplied first: the same rows or
            their contraction.
        bias: `[q]` float32, see `row_kernels.Side`.
        square: `[q]` float64 squared norms.
        error: `[q]` float64, see `ExactIndex`.
        exclude: `[q]` ids not to be found.
        ids: `[q, k]` int32.
        values: `[q, k]` float32.
    """

    rows: np.ndarray
    factor: np.ndarray
    bias: np.ndarray
    square: np.ndarray
    error: np.ndarray
    exclude: np.ndarray
    ids: np.ndarray
    values: np.ndarray

    def sample(self, size: int) -> Asked:
        """Copies of rows at even steps, with lists of their own."""
        return Asked(*(spread_sample(array, size).copy() for array in self))

    def answer(self) -> Neighbors:
        """The rows on the lists, with a bound for all others."""
        return answer_of(self.ids, self.values, self.square, self.error)


def rounding_error(
    square: np.ndarray, largest: float, dimension: int
) -> np.ndarray:
    """What float32 may add to the values of queries; see `ExactIndex`.

    Args:
        square: `[q]` float64 squared norms of the queries.
        largest: of the rows' squared norms with their offsets.
        dimension: d.

    Returns:
        `[q]` float64.
    """
    return _SMALLEST + _UNIT_ROUNDOFF * (
        2.1 * (dimension + 6) * np.sqrt(square * largest)
        + 4.0 * (largest + square)
    )


def answer_of(
    ids: np.ndarray, values: np.ndarray, square: np.ndarray, error: np.ndarray
) -> Neighbors:
    """The rows on lists, with a bound for all others.

    Args:
        ids: `[q, k]` int32.
        values: `[q, k]` float32, ascending.
        square: `[q]` float64 squared norms of the queries.
        error: `[q]` float64, see `rounding_error`.
    """
    last = values[:, -1]
    all_listed = last >= row_kernels.EMPTY
    return Neighbors(ids, np.where(all_listed, np.inf, square + last - error))
