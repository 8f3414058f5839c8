"""Average-linkage clustering of millions of points: certified moment-RAC.

The average linkage of clusters A and B is the mean squared distance over all
pairs (a in A, b in B). No pair has to be visited; with means and variances,

    d(A, B) = |mean_A - mean_B|^2 + variance_A + variance_B.            (1)

Reciprocal agglomerative clustering (RAC; Sumengen et al. 2021) merges, round
by round, *all* pairs that are each other's nearest cluster. What remains is to
find the nearest cluster of each. Each cluster A keeps a short list of
candidates and a radius R_A, with the invariant

    d(A, C) >= R_A for every live cluster C that is not on the list.    (2)

Why the result is exactly average linkage:

* Convexity. By (1), d(A, C u C') is the size-weighted mean of d(A, C) and
  d(A, C'), hence never below the smaller of them. So a merge of others keeps
  (2); and for A u A' with the union of both lists, (2) holds with the weighted
  mean of R_A and R_A'. A list is cut to k entries by lowering R to the
  smallest distance that is dropped.
* Certificate. If the nearest candidate is no farther than R_A, by (2) it is
  the nearest cluster of all. Otherwise the index is asked again, and R_A
  becomes the bound that comes with its answer. An old index serves too: its
  rows are parts of today's clusters, and convexity carries their bound over.
* Retirement. If A's nearest cluster and R_A both lie above the threshold,
  nothing ever comes nearer (convexity again): A is finished.
* RAC. Convexity makes average linkage reducible: two clusters that are each
  other's nearest remain so whatever else merges. The greedy algorithm
  therefore merges them too, at the same height (Bruynooghe 1977), and merging
  all such pairs at once builds its tree.

Without ties the tree is unique. Tied pairs are ordered by `pair_key`, so that
the nearest pair of all always merges and every round makes progress; identical
rows are merged first, at height zero.

The index only *proposes*. With an exact index the result is exact for every
list length k; with an approximate one the only error is a neighbor it missed.
Memory is O(n (d + k)); no pair distances are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from al_tf.clustering.agglomeration import Agglomeration
from al_tf.clustering.cluster_search import Effort, FirstAnswer, IndexFactory
from al_tf.clustering.hac_kernels import new_clusters
from al_tf.clustering.merges import Merges
from al_tf.neighbors import row_kernels
from al_tf.neighbors.protocol import Probe
from runkit.hashing import splitmix64

_COMPARED_ROWS = 65536


class Linkage(NamedTuple):
    """The result of `average_linkage`.

    Attributes:
        merges: those at or below the threshold, nearest first.
        effort: what they cost.
        probe: how well the first index, over single points, answered.
    """

    merges: Merges
    effort: Effort
    probe: Probe


def average_linkage(
    rows: np.ndarray,
    *,
    distance_threshold: float = np.inf,
    num_clusters: int | None = None,
    num_neighbors: int = 16,
    make_index: IndexFactory | None = None,
    first_answer: FirstAnswer | None = None,
    on_first_answer: Callable[[FirstAnswer], None] | None = None,
    verbose: bool = False,
) -> Linkage:
    """Clusters rows by average linkage of squared Euclidean distance.

    Args:
        rows: `[n, d]` float32 or float64; *overwritten* (it holds the means).
        distance_threshold: clusters farther apart are not merged.
        num_clusters: lower the threshold until this many clusters are left;
            among merges tied at it, a hash decides.
        num_neighbors: length k of the candidate lists.
        make_index: builds an approximate index from (rows, offsets, k); None:
            all queries are exact.
        first_answer: the neighbors of all distinct rows, if an earlier run
            kept them.
        on_first_answer: otherwise called with them, to keep them.
        verbose: print progress.
    """
    n = len(rows)
    distinct, copies, originals = duplicate_rows(rows)
    if len(distinct) < n:
        row_kernels.compact_rows(rows, distinct)
    k = max(1, min(num_neighbors, len(distinct) - 1))
    points = new_clusters(
        rows[: len(distinct)],
        distinct,
        np.full((len(distinct), 2 * k), -1, np.int32),
        size=np.bincount(originals, minlength=n)[distinct] + 1.0,
    )
    run = Agglomeration(
        points,
        threshold=distance_threshold,
        make_index=make_index,
        verbose=verbose,
    )
    run.record(Merges(originals, copies, np.zeros(len(copies))))
    merges_wanted = None if num_clusters is None else n - num_clusters
    if first_answer is not None:
        run.take_answer(np.arange(len(distinct)), first_answer.neighbors)
    elif len(distinct) > 1:
        if on_first_answer is None:
            first_answer = run.ask_all(distance_threshold)
        else:
            # What is kept must serve other thresholds too.
            first_answer = run.ask_all(np.inf)
            on_first_answer(first_answer)
    run_rounds(run, merges_wanted)
    probe = Probe() if first_answer is None else first_answer.probe
    merges = run.merges()
    if merges_wanted is not None:
        merges = without_surplus(merges, merges_wanted)
    return Linkage(merges, run.effort, probe)


class Rounds(Protocol):
    """Clusters that merge in rounds; see `Agglomeration`, which is one."""

    def tighten(self, merges_wanted: int | None) -> None:
        """Lowers the threshold once it is known to be too high."""

    def certify(self, *, only_wanted: bool) -> None:
        """Asks until open clusters know their nearest, or retires them."""

    def merge_round(self) -> bool:
        """Merges all mutual nearest pairs; False if there are none."""


def run_rounds(run: Rounds, merges_wanted: int | None) -> None:
    """Merges until nothing within the threshold is left to merge.

    Args:
        run: the clusters.
        merges_wanted: lower the threshold until this many merges are left.
    """
    while True:
        run.tighten(merges_wanted)
        run.certify(only_wanted=True)
        if run.merge_round():
            continue
        run.certify(only_wanted=False)
        if not run.merge_round():
            break


def without_surplus(merges: Merges, wanted: int) -> Merges:
    """Drops merges tied at the threshold, until only `wanted` are left.

    A hash decides between them, so that no part of the pool is favored; but a
    merge of the tree never stays without those below it. Identical rows, at
    height zero, stay together whatever is wanted.
    """
    surplus = len(merges.distance) - max(wanted, 0)
    if surplus <= 0 or merges.distance[-1] == 0:
        return merges
    tied = np.flatnonzero(merges.distance == merges.distance[-1])
    # The level of each in the tree; a cluster is named by its first member.
    levels: dict[int, int] = {}
    level = np.empty(len(tied), np.int64)
    for i, merge in enumerate(tied):
        first, second = int(merges.first[merge]), int(merges.second[merge])
        level[i] = max(levels.get(first, 0), levels.get(second, 0)) + 1
        levels[first] = levels[second] = level[i]
    pair = splitmix64(merges.first[tied].astype(np.uint64))
    keys = splitmix64(pair ^ merges.second[tied].astype(np.uint64))
    # Those to drop are last: the highest of the tree, in the hash's order.
    order = np.lexsort((keys, level))
    dropped = tied[order[len(tied) - surplus :]]
    return Merges(*(np.delete(values, dropped) for values in merges))


def duplicate_rows(
    rows: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds identical rows.

    Returns:
        (distinct, copies, originals): ids of the first row of each kind,
        ascending; ids of the other rows; for each of these, the id of the
        first row of its kind.
    """
    n = len(rows)
    words = rows.view(np.uint32 if rows.dtype == np.float32 else np.uint64)
    hashes = row_kernels.hash_rows(words)
    order = np.argsort(hashes, kind="stable")
    starts = np.ones(n, bool)
    starts[1:] = hashes[order[1:]] != hashes[order[:-1]]
    head = order[np.maximum.accumulate(np.where(starts, np.arange(n), 0))]
    # Different rows that share a hash are told apart here; they stay.
    suspects = np.flatnonzero(~starts)
    copies, originals = order[suspects], head[suspects]
    same = np.empty(len(suspects), bool)
    for start in range(0, len(suspects), _COMPARED_ROWS):
        part = slice(start, start + _COMPARED_ROWS)
        equal = rows[copies[part]] == rows[originals[part]]
        same[part] = equal.all(1)
    copies, originals = copies[same], originals[same]
    is_copy = np.zeros(n, bool)
    is_copy[copies] = True
    return np.flatnonzero(~is_copy), copies, originals
