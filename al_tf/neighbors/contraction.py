"""Fewer dimensions that lengthen no distance, to rule out neighbors early.

In an orthonormal basis, keep the first coordinates of a row and the length of
the rest: y -> (y_1, ..., y_w-1, |(y_w, ..., y_d)|). By Pythagoras and the
triangle inequality no distance grows, so a pair that is too far apart in w
dimensions is too far apart in d. Any orthonormal basis would be correct; with
the principal axes, the first coordinates tell most.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from al_tf.neighbors.row_order import spread_sample

# Costs are in multiply-adds of a tile. A pair costs its dimensions and this,
# for writing and reading the product once;
_PAIR_COST = 20
# a pair that is not ruled out also costs the search in its stretch of the
# tile.
_SURVIVOR_COST = 6000
# A contraction must promise to save this share.
_WORTHWHILE = 0.2
# In a tile in which too many are left, all dimensions are looked at, and in so
# many that follow it.
PATIENCE = 8
_SAMPLE = 4096
_WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


class Contraction(NamedTuple):
    """A database in fewer dimensions.

    Attributes:
        axes: `[d, d]` float64, an orthonormal axis per column.
        rows: `[n, width]` float32, `contract` of the database.
    """

    axes: np.ndarray
    rows: np.ndarray


def choose_contraction(
    rows: np.ndarray,
    bias: np.ndarray,
    queries: np.ndarray,
    exclude: np.ndarray,
    cuts: np.ndarray,
) -> Contraction | None:
    """Contracts a database to the width that is cheapest to look at first.

    Args:
        rows: `[n, d]` the database.
        bias: see `best_width`, like the other arguments.
        queries: a sample of the queries.
        exclude: the row that is the query itself, or -1.
        cuts: the largest value that each of these queries keeps.

    Returns:
        The contraction onto the principal axes, or None where looking at all
        dimensions is cheapest.
    """
    axes = principal_axes(rows)
    width = best_width(rows, bias, axes, queries, exclude, cuts)
    if width is None:
        return None
    return Contraction(axes, contract(rows, axes, width))


def principal_axes(rows: np.ndarray) -> np.ndarray:
    """Orthonormal axes of a sample's second moments, the largest first.

    Args:
        rows: `[n, d]` floating point.

    Returns:
        `[d, d]` float64, an axis per column.
    """
    sample = spread_sample(rows, _SAMPLE).astype(np.float64)
    _, axes = np.linalg.eigh(sample.T @ sample)
    return axes[:, ::-1]


def contract(rows: np.ndarray, axes: np.ndarray, width: int) -> np.ndarray:
    """Maps rows to `width` dimensions without lengthening a distance.

    Args:
        rows: `[n, d]` floating point.
        axes: `[d, d]` orthonormal.
        width: dimensions to keep, the length of the rest included.

    Returns:
        `[n, width]` float32; the length of the rest, a difference of squares,
        is off by up to sqrt(d 2^-53) of the row's length.
    """
    out = np.empty((len(rows), width), np.float32)
    leading = np.ascontiguousarray(axes[:, : width - 1])
    for start in range(0, len(rows), _SAMPLE):
        block = rows[start : start + _SAMPLE].astype(np.float64)
        kept = block @ leading
        rest = _squares(block) - _squares(kept)
        out[start : start + len(block), :-1] = kept
        out[start : start + len(block), -1] = np.sqrt(np.maximum(rest, 0))
    return out


def best_width(
    rows: np.ndarray,
    bias: np.ndarray,
    axes: np.ndarray,
    queries: np.ndarray,
    exclude: np.ndarray,
    cuts: np.ndarray,
) -> int | None:
    """Chooses how many dimensions to look at first.

    Args:
        rows: `[n, d]` the database.
        bias: `[n]` what is added to -2 q.y, as in the search.
        axes: `[d, d]` orthonormal.
        queries: `[q, d]` a sample of the queries.
        exclude: `[q]` the row that is the query itself, or -1.
        cuts: `[q]` the largest value that each of these queries keeps.

    Returns:
        The cheapest width, or None where all dimensions are cheapest.
    """
    dimension = rows.shape[1]
    database, bias = spread_sample(rows, _SAMPLE), spread_sample(bias, _SAMPLE)
    others = spread_sample(np.arange(len(rows)), _SAMPLE) != exclude[:, None]
    full_cost = _PAIR_COST + dimension
    best, best_cost = None, (1 - _WORTHWHILE) * full_cost
    for width in (w for w in _WIDTHS if w < dimension):
        products = (
            contract(queries, axes, width) @ contract(database, axes, width).T
        )
        survivors = np.mean((bias - 2 * products < cuts[:, None]) & others)
        cost = _PAIR_COST + width + survivors * (_SURVIVOR_COST + dimension)
        if cost < best_cost:
            best, best_cost = width, cost
    return best


def most_survivors(pairs: int, dimension: int) -> int:
    """Survivors of a tile that cost as much as all of its dimensions."""
    return pairs * dimension // (_SURVIVOR_COST + dimension)


def _squares(rows: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", rows, rows)
