"""From embeddings to the rows that are worth keeping: one of each near copies.

Two rows are *near* if their distance, cosine or squared Euclidean as for the
clustering, is at most the threshold. What is kept is certified with the exact
index:

1. every dropped row is near the row that is kept for it, the nearest kept one;
2. no two kept rows are near each other, so no near row of a kept one is missed.

Of a chain a, b, c whose ends are not near each other, either b stays for both
or a and c stay; a chain never drops a row for one that is not near it. With
ScaNN the first holds too, the second up to the measured recall.

Distances are float64, of the rows that the clustering works on: centered, and
for cosine scaled to one length. Rows that differ by less than rounding are the
same: threshold 0 keeps one of exact copies.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Literal

import numpy as np

from al_tf.clustering.options import ClusteringOptions
from al_tf.duplicates.keeping import keep_in_order, mean_order
from al_tf.duplicates.near_rows import find_near
from al_tf.inputs.embeddings import Source, open_embeddings
from al_tf.inputs.preparation import working_copy
from runkit import InputError
from runkit.errors import check_choice

KEEP = ("first", "nearest_to_mean", "most_uncertain")


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """What to keep of a pool, and what stands for the rest.

    Attributes:
        owner: `[n]` int64 the row that is kept for each row; of a kept row,
            itself.
        distances: `[n]` float64 distance to it, at most the threshold.
        info: how it was found: index and why, recall, seconds.
    """

    owner: np.ndarray
    distances: np.ndarray
    info: dict[str, str | int | float | bool]

    @property
    def kept(self) -> np.ndarray:
        """`[kept]` int64 rows to keep, ascending."""
        return np.flatnonzero(self.owner == np.arange(len(self.owner)))

    @property
    def dropped(self) -> np.ndarray:
        """`[n - kept]` int64 rows to drop, ascending."""
        return np.flatnonzero(self.owner != np.arange(len(self.owner)))


def find_duplicates(
    embeddings: Source,
    distance_threshold: float,
    *,
    metric: str = "cosine",
    keep: str = "first",
    margins: np.ndarray | None = None,
    exact: bool | Literal["auto"] = "auto",
    seed: int = 0,
    verbose: bool = False,
) -> Duplicates:
    """Finds the near copies of a pool and chooses which rows to keep.

    Args:
        embeddings: `[n, d]`, anything that `open_embeddings` takes.
        distance_threshold: largest distance of near rows, at least 0.
        metric: "cosine" (1 - cosine similarity) or "sqeuclidean".
        keep: which rows are preferred: "first" by their number,
            "nearest_to_mean" those near the mean of the rows that near pairs
            connect them with, "most_uncertain" those of small margin. Equals
            are preferred by their number.
        margins: `[n]` float, for "most_uncertain".
        exact: True: certified. False: neighbors by ScaNN. "auto": exact if
            that takes minutes at most.
        seed: random seed of the sample on which ScaNN's recall is measured.
        verbose: print progress.

    Raises:
        InputError: bad embeddings or arguments; zero rows under cosine.
    """
    pool = open_embeddings(embeddings)
    n, d = pool.shape
    if n == 0:
        raise InputError("holds no rows", where="embeddings")
    options = ClusteringOptions(
        distance_threshold=distance_threshold, metric=metric, exact=exact
    ).checked(n)
    check_choice(keep, KEEP, where="keep")
    is_uncertain = keep == "most_uncertain"
    if is_uncertain != (margins is not None):
        raise InputError(
            "needs the margins of the pool"
            if is_uncertain
            else "looks at no margins",
            where="keep",
            got=keep,
        )
    if margins is not None and np.shape(margins) != (n,):
        raise InputError(
            "not one margin for each row",
            where="margins",
            got=np.shape(margins),
            expected=str((n,)),
        )
    choice = options.choose_index(pool.shape)
    began, cpu = time.monotonic(), time.process_time()
    dtype = np.float64 if choice.exact else np.float32
    work = working_copy(pool, metric, dtype)
    limit = options.distance_threshold
    assert limit is not None
    if metric == "cosine":
        # Rows of one direction differ by this much after they are scaled.
        limit += (4 * d * float(np.finfo(dtype).eps)) ** 2
    near = find_near(
        work.rows,
        limit / work.unit,
        exact=choice.exact,
        seed=seed,
        verbose=verbose,
    )
    order = np.arange(n)
    if keep == "nearest_to_mean":
        order = mean_order(near)
    elif margins is not None:
        order = np.argsort(margins, kind="stable")
    found = keep_in_order(near, order)
    info = {
        "index": choice.reason,
        "exact": choice.exact,
        **near.probe.facts(),
        "rows_compared_with_all": found.compared,
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
    }
    distances = np.minimum(found.distances * work.unit, distance_threshold)
    return Duplicates(found.owner, distances, info)
