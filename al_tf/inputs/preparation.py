"""One pass over a pool: checked, scaled, centered, copied and checksummed.

The clustering works on squared Euclidean distances of small numbers, whatever
metric and magnitude the embeddings have. `working_copy` makes such rows and
learns everything else that the clustering needs to know about the pool while
it reads it.
"""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np

from al_tf.inputs.checks import refuse_rows
from al_tf.inputs.embeddings import Embeddings
from runkit import InputError

METRICS = ("cosine", "sqeuclidean")
# Rows whose sum is taken at once; a divisor of every part of a pool that is
# spread over machines.
SUMMED_ROWS = 512
_SAMPLE = 4096
# Sums of squares below have lost digits, or all of them.
_SMALL_SQUARE = float(np.finfo(np.float64).tiny) * 2.0**60
# The mean of rows without outliers is within their own spread.
_MOVED = 100.0


@dataclasses.dataclass(frozen=True)
class WorkingCopy:
    """Rows whose squared Euclidean distance is the metric's divided by `unit`.

    Attributes:
        rows: `[n, d]` float32 or float64, C-ordered, norm at most 1.
        center: `[d]` float64, which was subtracted: the mean of the
            (normalized) rows, or their median if a few rows own the mean.
        unit: the distance that 1.0 between two rows stands for.
        checksum: `checksum` of the embeddings.
    """

    rows: np.ndarray
    center: np.ndarray
    unit: float
    checksum: int


def working_copy(
    embeddings: Embeddings, metric: str, dtype: type = np.float64
) -> WorkingCopy:
    """Reads the pool once and makes it ready for the clustering.

    The center is known only after the last row, so the result is filled first
    and centered in place: with normalized rows if it is float64, and with the
    rows as they are if it is float32, because they must be rounded only once.
    Float64 embeddings that do not fit a float32 result are read twice.

    Centering and scaling by a power of two change no distance; they keep the
    float32 products of the neighbor search accurate for data far from the
    origin or of extreme magnitude.

    Args:
        embeddings: `[n, d]`.
        metric: "cosine" (1 - cosine similarity) or "sqeuclidean".
        dtype: of the result.

    Raises:
        InputError: NaN or infinite values, or zero rows under cosine; the
            example ids are named. Or values whose squares overflow.
    """
    n, d = embeddings.shape
    rows: np.ndarray = np.empty((n, d), dtype)
    total, crc = RowSum(d), 0
    is_wide, is_kept = dtype == np.float64, True
    for first, block in embeddings.blocks():
        crc = block_checksum(block, crc)
        unit = normalized(block, first, metric)
        total.add(unit)
        is_kept &= is_wide or block.dtype == dtype
        if is_kept:
            rows[first : first + len(block)] = unit if is_wide else block
    center = total.total() / max(n, 1)
    if needs_sample(n, metric):
        with np.errstate(over="ignore"):  # Refused below, if it matters.
            sample = embeddings.take(sample_rows(n))
        center = outlier_proof(center, sample)
    largest = 0.0
    source = Embeddings((rows,), ("working copy",)) if is_kept else embeddings
    for first, block in source.blocks():
        unit = block if is_wide else normalized(block, first, metric)
        centered = unit - center
        square = np.einsum("nd,nd->n", centered, centered)
        largest = max(largest, float(square.max(initial=0.0)))
        rows[first : first + len(block)] = centered
    exponent = unit_exponent(largest)
    rows *= dtype(2.0**-exponent)
    return WorkingCopy(rows, center, 4.0**exponent, crc)


class RowSum:
    """The sum of all rows, by groups of `SUMMED_ROWS` consecutive ones.

    Sums of floating-point numbers depend on their order. This one does not
    depend on how the rows are split into files, blocks or machines.
    """

    def __init__(self, dimension: int):
        self._total = np.zeros(dimension)
        self._rest = np.zeros((0, dimension))

    def add(self, rows: np.ndarray) -> None:
        """Adds `[m, d]` float64 rows that follow those of earlier calls."""
        if len(self._rest):
            rows = np.concatenate([self._rest, rows])
        whole = len(rows) - len(rows) % SUMMED_ROWS
        for part in group_sums(rows[:whole]):
            self._total += part
        self._rest = rows[whole:].copy()

    def total(self) -> np.ndarray:
        """Returns `[d]` float64."""
        return self._total + self._rest.sum(0)


def group_sums(rows: np.ndarray) -> np.ndarray:
    """Sums of `SUMMED_ROWS` consecutive rows, `[groups, d]`."""
    starts = range(0, len(rows), SUMMED_ROWS)
    sums = [rows[s : s + SUMMED_ROWS].sum(0) for s in starts]
    return np.array(sums).reshape(-1, rows.shape[1])


def needs_sample(num_rows: int, metric: str) -> bool:
    """Whether a few rows could own the mean: not those of one length."""
    return metric == "sqeuclidean" and num_rows >= 3


def sample_rows(num_rows: int) -> np.ndarray:
    """Rows at even steps, ascending."""
    return np.unique(np.linspace(0, num_rows - 1, _SAMPLE).astype(np.int64))


def outlier_proof(mean: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """The mean, or the median of a sample where a few rows moved the mean.

    No center changes a distance, but one far from nearly all rows costs them
    the digits that tell them apart.

    Args:
        mean: `[d]` float64, of all rows.
        sample: `[m, d]` those of `sample_rows`.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        sample = sample.astype(np.float64)
        median = np.median(sample, axis=0)
        square = np.square(sample - median).sum(1)
        moved = np.square(mean - median).sum()
        is_owned = moved > _MOVED * np.median(square)
    return median if is_owned and np.isfinite(median).all() else mean


def unit_exponent(largest: float) -> int:
    """The power of two by which rows are scaled down.

    Args:
        largest: squared norm of the longest centered row.

    Raises:
        InputError: it is not finite.
    """
    if not np.isfinite(largest):
        raise InputError(
            "values too large: their squares overflow", where="embeddings"
        )
    # The unit of a squared distance is a power of two then as well.
    return int(np.ceil(np.log2(largest) / 2)) if largest > 0 else 0


def normalized(block: np.ndarray, first: int, metric: str) -> np.ndarray:
    """Checks a block and scales it so that squared distances are the metric's.

    Args:
        block: `[rows, d]` floating-point.
        first: example id of its first row.
        metric: "cosine" or "sqeuclidean".

    Returns:
        `[rows, d]` float64, a copy; for cosine every row has length sqrt(1/2).

    Raises:
        InputError: NaN or infinite values, or zero rows under cosine.
    """
    block = block.astype(np.float64)
    # One pass: a row with NaN or infinity has no finite sum of squares.
    square = np.einsum("nd,nd->n", block, block)
    if metric == "cosine":
        # It does not know lengths: rows whose squares overflow or vanish are
        # scaled.
        at = np.flatnonzero(~((square > _SMALL_SQUARE) & (square < np.inf)))
        _, exponent = np.frexp(np.abs(block[at]).max(1, initial=0.0))
        block[at] = np.ldexp(block[at], -exponent[:, None])
        square[at] = np.einsum("nd,nd->n", block[at], block[at])
    remedy = "Remove or repair these rows"
    bad = ~np.isfinite(square)
    refuse_rows(
        bad,
        "values whose squares overflow"
        if np.isfinite(block[bad]).all()
        else "NaN or infinite values",
        where="embeddings",
        first=first,
        remedy=remedy,
    )
    if metric == "sqeuclidean":
        return block
    refuse_rows(
        square == 0,
        "zero rows have no cosine distance",
        where="embeddings",
        first=first,
        remedy=remedy,
    )
    # Half the squared distance of unit vectors is 1 - cosine.
    block *= np.sqrt(0.5 / square)[:, None]
    return block


def checksum(embeddings: Embeddings) -> int:
    """CRC-32 of all rows, in float32 or float64 as they are stored."""
    crc = 0
    for _, block in embeddings.blocks():
        crc = block_checksum(block, crc)
    return crc


def block_checksum(block: np.ndarray, crc: int) -> int:
    """Continues the checksum `crc` of all blocks before with one more."""
    return zlib.crc32(np.ascontiguousarray(block).data, crc)


def power_of_two_below(rows: np.ndarray) -> float:
    """The power of two that scales the longest row to at most one."""
    largest = float(np.abs(rows).max(initial=0.0)) * np.sqrt(rows.shape[1])
    return float(2.0 ** -np.ceil(np.log2(largest))) if largest > 0 else 1.0
