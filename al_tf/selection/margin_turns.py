"""Margin turns: Cluster-Margin with another order of turns, and its variants.

The paper's round-robin visits the smallest clusters first and draws a random
member, in every round anew. Small clusters are outliers where a pool has no
near-copies, and a random member is less uncertain than its cluster's best.
`margin_turns` keeps step 1, the uncertain examples, and changes three things:

- a cluster offers its smallest margin first;
- the clusters take turns in the order of their smallest margin;
- the turns go on over the rounds: a cluster with r labeled examples has had r
  turns, and waits until the others have had as many.

The third needs no state but the labels themselves, so that a run that was
killed goes on as if nothing had happened. Each change is one field of
`TurnOptions`, so that they can be measured one by one; all at the paper's
values give the paper's rule.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from al_tf.selection.candidates import random_keys, unlabeled_ids
from al_tf.selection.cluster_margin import (
    check_cluster_ids,
    check_margin_batch_size,
    default_margin_batch_size,
    smallest_margins,
)
from al_tf.selection.margins import check_margins
from al_tf.selection.pool import Pool
from runkit.errors import check_choice

MEMBERS = ("margin", "random", "drawn")
ORDERS = ("margin", "smallest", "largest")
COUNTS = ("examples", "clusters")


@dataclasses.dataclass(frozen=True)
class TurnOptions:
    """How clusters take turns.

    Attributes:
        member: which candidate a cluster offers first: the smallest "margin",
            a "random" one (the paper), or one "drawn" with a probability in
            proportion to one minus the margin.
        order: of the clusters within a pass: by their smallest "margin", or
            by number of candidates, "smallest" (the paper) or "largest" first.
        goes_on: labeled examples count as turns taken (the paper: no).
        counts: what the margin batch counts: "examples" (the paper), or
            "clusters" in the order of their smallest margin, all unlabeled
            members of which are candidates.
        singletons_last: within a pass, clusters of one example of the pool
            come after all others (the paper: no).
    """

    member: str = "margin"
    order: str = "margin"
    goes_on: bool = True
    counts: str = "examples"
    singletons_last: bool = False

    def validate(self) -> None:
        """Refuses unknown values, naming the nearest known one."""
        check_choice(self.member, MEMBERS, where="member")
        check_choice(self.order, ORDERS, where="order")
        check_choice(self.counts, COUNTS, where="counts")


def margin_turns_batch(
    pool: Pool, *, batch_size: int, seed: int = 0
) -> np.ndarray:
    """Margin turns with the default options; see `select_in_turns`."""
    return select_in_turns(
        pool.need("margins"),
        pool.need("cluster_ids"),
        batch_size=batch_size,
        unlabeled=pool.unlabeled,
        seed=seed,
    )


def select_in_turns(
    margins: np.ndarray,
    cluster_ids: np.ndarray,
    *,
    batch_size: int,
    margin_batch_size: int | None = None,
    unlabeled: np.ndarray | None = None,
    seed: int = 0,
    options: TurnOptions | None = None,
) -> np.ndarray:
    """Picks examples in turns between clusters.

    Args:
        margins: `[n]` float in [0, 1] for the full pool; small = uncertain.
        cluster_ids: `[n]` int, not negative.
        batch_size: examples to pick [k_t].
        margin_batch_size: uncertain examples, or clusters, to pick from
            [k_m]; by default `default_margin_batch_size`. Clusters are added
            where those hold less than a batch.
        unlabeled: ids (or a mask) of the examples that may be picked; by
            default the whole pool.
        seed: random seed of all that is left to chance.
        options: of the turns; margin turns by default.

    Returns:
        `[batch_size]` int64 example ids in pick order. With the same
        `margin_batch_size`, any prefix is the answer for a smaller batch
        (counting clusters: where they hold a batch).

    Raises:
        PoolExhausted: fewer than `batch_size` examples are unlabeled.
        InputError: lengths differ, margins outside [0, 1], bad ids, unknown
            options.
    """
    options = options or TurnOptions()
    options.validate()
    margins = check_margins(margins)
    clusters = check_cluster_ids(cluster_ids, len(margins))
    ids = unlabeled_ids(unlabeled, len(margins), batch_size)
    if margin_batch_size is None:
        margin_batch_size = default_margin_batch_size(batch_size, len(ids))
    check_margin_batch_size(margin_batch_size, batch_size, len(ids))
    _, clusters = np.unique(clusters, return_inverse=True)
    size = np.bincount(clusters)
    turns_taken = size - np.bincount(clusters[ids], minlength=len(size))
    if options.counts == "clusters":
        chosen = _of_uncertain_clusters(
            margins[ids], clusters[ids], margin_batch_size, batch_size
        )
        candidates = ids[chosen]
    else:
        candidates = smallest_margins(margins, ids, margin_batch_size, seed)
    own = clusters[candidates]
    keys = random_keys(candidates, seed)
    value = margins[candidates]
    rank = _ranks(_offer(value, keys, options.member), keys, own)
    if options.goes_on:
        rank = rank + turns_taken[own]
    first = _turn(own, value, random_keys(np.arange(len(size)), seed), options)
    alone = (size[own] == 1) & options.singletons_last
    order = np.lexsort((first, alone, rank))
    return candidates[order[:batch_size]]


def _offer(value: np.ndarray, keys: np.ndarray, member: str) -> np.ndarray:
    """`[m]` numbers; a cluster offers its smallest first."""
    if member == "margin":
        return value
    if member == "random":
        return keys
    # The smallest of exponential variables with rates w is i with probability
    # w_i / sum w, and the order is that of drawing without replacement.
    uniform = (keys.astype(np.float64) + 1.0) / 2.0**64
    uncertainty = 1.0 - value.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        waiting = -np.log(uniform) / uncertainty
    # What is certain comes last.
    return np.where(uncertainty > 0, waiting, np.inf)


def _ranks(
    offered: np.ndarray, keys: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """`[m]` int64 place of each candidate within its cluster, from zero."""
    order = np.lexsort((keys, offered, own))
    grouped = own[order]
    starts = np.flatnonzero(np.diff(grouped, prepend=-1))
    lengths = np.diff(starts, append=len(own))
    rank = np.empty(len(own), np.int64)
    rank[order] = np.arange(len(own)) - np.repeat(starts, lengths)
    return rank


def _turn(
    own: np.ndarray,
    value: np.ndarray,
    cluster_keys: np.ndarray,
    options: TurnOptions,
) -> np.ndarray:
    """`[m]` place of each candidate's cluster among the clusters."""
    count = np.bincount(own, minlength=len(cluster_keys))
    if options.order == "margin":
        by = np.full(len(count), np.inf)
        np.minimum.at(by, own, value)
    else:
        by = count if options.order == "smallest" else -count
    order = np.lexsort((cluster_keys, by))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place[own]


def _of_uncertain_clusters(
    value: np.ndarray, own: np.ndarray, most: int, batch_size: int
) -> np.ndarray:
    """`[m]` bool: members of the clusters with the smallest margins."""
    best = np.full(int(own.max()) + 1, np.inf)
    np.minimum.at(best, own, value)
    order = np.argsort(best, kind="stable")
    held = np.cumsum(np.bincount(own, minlength=len(best))[order])
    needed = int(np.searchsorted(held, batch_size)) + 1
    chosen = np.zeros(len(best), bool)
    chosen[order[: max(most, needed)]] = True
    return chosen[own]
