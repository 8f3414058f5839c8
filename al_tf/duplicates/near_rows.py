"""All pairs of rows within a distance of each other, in bounded memory.

The number of such pairs may be the square of the pool (all rows alike), so they
are never all in memory. Each row has a list of at most `LIST` near rows, from
one search of the pool, and a mark if there may be more. The few rows with a
mark whose near rows are needed are compared with the whole pool once more.

With the exact index nothing is missed. In a pool that falls into groups most
pairs are ruled out before (`group_join`). The index works on float32 and
proposes: it is asked for a little more than the limit, by what rounding to
float32 can change, and its bound is rigorous. Whether a pair is near is decided
by a float64 sum of squared differences.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from al_tf.clustering.build import scann_factory
from al_tf.duplicates.distances import drop_far
from al_tf.duplicates.group_join import near_lists
from al_tf.neighbors.exact_index import ExactIndex
from al_tf.neighbors.protocol import Probe
from al_tf.neighbors.recall import probe_sample, recall
from runkit.progress import Progress

LIST = 32
# Of the few rows that need a longer one.
LONG_LIST = 256
# Rounding two rows of length 1 to float32 adds less than half of this to their
# distance.
_ROUNDED = 2.0**-22
_UNIT_ROUNDOFF = 2.0**-53
_TILE_ROWS = 65536
# Rows that the answers to one batch of queries may name.
_MOST_FOUND = 1 << 26
_SAMPLE = 500


@dataclasses.dataclass(frozen=True)
class NearRows:
    """Rows of a pool and, for each, the rows near it.

    Attributes:
        rows: `[n, d]` float64 or float32, of length at most 1.
        limit: largest squared Euclidean distance of near rows.
        lists: `[n, k]` int32 near rows of each row, -1 in the other places.
        is_whole: `[n]` bool: the index knows of no other near row.
        probe: how well the index answered; its recall is that of near pairs.
        index: the index that searched, if it is exact.
    """

    rows: np.ndarray
    limit: float
    lists: np.ndarray
    is_whole: np.ndarray
    probe: Probe
    index: ExactIndex | None = None

    @property
    def within(self) -> float:
        """The limit for an exact index, which works on float32."""
        return (np.sqrt(self.limit) + _ROUNDED) ** 2

    @property
    def most_queries(self) -> int:
        """Queries of `all_near` whose answers may be in memory together."""
        return int(np.clip(_MOST_FOUND // len(self.rows), 1, 64))

    def all_near(self, queries: np.ndarray) -> list[np.ndarray]:
        """Compares some rows with the whole pool.

        The exact index is asked for longer lists first.

        Args:
            queries: `[q]` int64 row numbers.

        Returns:
            For each query, the int32 numbers of all other rows near it.
        """
        k = min(LONG_LIST, len(self.rows) - 1)
        if self.index is None or k < 1:
            return self._compare(queries)
        rows = self.rows[queries].astype(np.float32)
        within = np.full(len(rows), self.within)
        found = self.index.search(rows, k, queries, within)
        drop_far(self.rows, queries, found.ids, self.limit)
        near = [ids[ids >= 0] for ids in found.ids]
        more = np.flatnonzero(found.bound <= self.within)
        for at, ids in zip(more, self._compare(queries[more]), strict=True):
            near[at] = ids
        return near

    def _compare(self, queries: np.ndarray) -> list[np.ndarray]:
        """The same by float64 products with all rows."""
        if not len(queries):
            return []
        asked = self.rows[queries].astype(np.float64)
        square = np.einsum("qd,qd->q", asked, asked)
        # What rounding can add to a product of d terms, twice over.
        slack = (4.0 * asked.shape[1] + 32) * _UNIT_ROUNDOFF
        parts: list[list[np.ndarray]] = [[] for _ in queries]
        for start in range(0, len(self.rows), _TILE_ROWS):
            tile = self.rows[start : start + _TILE_ROWS]
            tile = tile.astype(np.float64, copy=False)
            value = (-2 * asked) @ tile.T
            value += square[:, None]
            value += np.einsum("nd,nd->n", tile, tile)
            for part, query, row in zip(parts, queries, value, strict=True):
                hits = np.flatnonzero(row <= self.limit + slack) + start
                hits = hits[hits != query].astype(np.int32)
                drop_far(self.rows, query[None], hits[None], self.limit)
                part.append(hits[hits >= 0])
        return [np.concatenate(part) for part in parts]


def find_near(
    rows: np.ndarray,
    limit: float,
    *,
    exact: bool,
    seed: int = 0,
    verbose: bool = False,
) -> NearRows:
    """Finds the rows within a distance of each row.

    Args:
        rows: `[n, d]` float64 (exact) or float32, of length at most 1.
        limit: largest squared Euclidean distance of near rows.
        exact: by the exact index; otherwise by ScaNN, which misses some.
        seed: random seed of the sample on which ScaNN's recall is measured.
        verbose: print progress.
    """
    n = len(rows)
    k = max(1, min(LIST, n - 1))
    report = Progress(n, "rows", "neighbors").update if verbose else None
    if exact:
        rounded = rows.astype(np.float32)
        index = ExactIndex(rounded)
        none = np.zeros((n, 0), np.int32), np.zeros(n, bool)
        near = NearRows(rows, limit, *none, Probe(), index)
        lists = near_lists(rows, rounded, limit, near.within, k, report)
        if lists is not None:
            return dataclasses.replace(
                near, lists=lists.ids, is_whole=lists.is_whole
            )
        found = index.search_all(k, np.full(n, near.within), report)
        drop_far(rows, np.arange(n), found.ids, limit)
        is_whole = found.bound > near.within
        return dataclasses.replace(near, lists=found.ids, is_whole=is_whole)
    scann = scann_factory(seed)(rows, np.zeros(n), k)
    ids = scann.search_all(k, report=report).ids
    drop_far(rows, np.arange(n), ids, limit)
    probe = dataclasses.replace(
        scann.probe, recall=near_recall(rows, limit, ids, seed)
    )
    # Where all of the nearest are near, there may be more.
    is_whole = np.any(ids[:, :k] < 0, axis=1)
    return NearRows(rows, limit, ids, np.asarray(is_whole), probe)


def near_recall(
    rows: np.ndarray, limit: float, lists: np.ndarray, seed: int
) -> float:
    """Measures on a sample of rows which near ones the lists hold.

    Args:
        rows: `[n, d]` float32.
        limit: largest squared Euclidean distance of near rows.
        lists: `[n, k]` int32 near rows of each row, -1 where there are fewer.
        seed: random seed of the sample.

    Returns:
        Share of the (at most `LIST`) nearest near rows of the sample.
    """
    sample = probe_sample(len(rows), _SAMPLE, seed)
    k = min(LIST, len(rows) - 1)
    within = np.full(len(sample), (np.sqrt(limit) + _ROUNDED) ** 2)
    true = ExactIndex(rows).search(rows[sample], k, sample, within).ids
    drop_far(rows, sample, true, limit)
    return recall(lists[sample], true)
