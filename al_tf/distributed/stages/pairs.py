"""Mutual nearest pairs across parts, and their merges.

`mutual_pairs` of one machine finds, for every cluster, the nearest of itself's
choice and of those that chose it, by (distance, key of the pair). That is a
minimum in a total order, so it can be taken of minima: every part offers the
best of its choices to the owner of the chosen (`offers`), the owner takes the
minimum (`decided`) and tells it to the cluster with the smaller origin, which
knows then whether both agree (`settled`). The moments of the absorbed travel to
the part that keeps, where the kernel of one machine unites them (`united`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from al_tf.clustering import hac_kernels as kernels
from al_tf.distributed.stages.parts import (
    Part,
    Pending,
    by_owner,
    find,
    has_near,
    uncertain,
)
from runkit import hashing


class Offer(NamedTuple):
    """Clusters and whom they have chosen.

    Attributes:
        to: `[m]` int32 origins, ascending: the owner of these is told.
        by: `[m]` int32 origins.
        distance: `[m]` float64 linkage of the two.
    """

    to: np.ndarray
    by: np.ndarray
    distance: np.ndarray


class Pairs(NamedTuple):
    """Clusters that merge.

    Attributes:
        kept: `[m]` int32 origins, ascending.
        absorbed: `[m]` int32 origins, each larger.
        distance: `[m]` float64: linkage, or height once it is known.
    """

    kept: np.ndarray
    absorbed: np.ndarray
    distance: np.ndarray


class United(NamedTuple):
    """The unions of some pairs.

    Attributes:
        rows: `[m]` int32 rows of the part that keeps them.
        mean, variance, size, radius, height: of the unions.
        lists: `[m, 2 k]` int32 those of the absorbed.
    """

    rows: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    size: np.ndarray
    radius: np.ndarray
    height: np.ndarray
    lists: np.ndarray


def pair_keys(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`hac_kernels.pair_key` of arrays, `[m]` uint64."""
    low = np.minimum(a, b).astype(np.uint64) << np.uint64(32)
    with np.errstate(over="ignore"):  # Numbers wrap around by design.
        return hashing.finalize(low | np.maximum(a, b).astype(np.uint64))


def best_offers(offer: Offer) -> Offer:
    """For every `to` the smallest by (distance, key of the pair)."""
    to, by, distance = offer
    order = np.lexsort((pair_keys(to, by), distance, to))
    first = np.ones(len(to), bool)
    first[1:] = to[order[1:]] != to[order[:-1]]
    best = order[first]
    return Offer(to[best], by[best], distance[best])


def split(offer: Offer, starts: np.ndarray) -> tuple[Offer, ...]:
    """The offers to each part."""
    cuts = by_owner(offer.to, starts)
    parts = [Offer(*(array[cut] for array in offer)) for cut in cuts]
    return tuple(parts)


def is_ready(part: Part, threshold: float) -> np.ndarray:
    """Clusters that may merge: open, with a certified nearest cluster."""
    return part.is_open & ~uncertain(part, threshold)


def offers(
    part: Part, starts: np.ndarray, threshold: float
) -> tuple[Offer, ...]:
    """What the clusters of a part choose, for each part the best."""
    chooses = is_ready(part, threshold) & has_near(part, threshold)
    origin = part.origin[chooses].astype(np.int32)
    chosen = Offer(part.nearest[chooses], origin, part.distance[chooses])
    return split(best_offers(chosen), starts)


def decided(
    part: Part, starts: np.ndarray, threshold: float, *made: Offer
) -> tuple[Offer, ...]:
    """The best partner of every cluster of the part.

    Returns:
        (the partners, with `to` being the cluster; for each part the clusters
        that theirs are told of: those that prefer a smaller origin).
    """
    ready = is_ready(part, threshold)
    offered = Offer(*map(np.concatenate, zip(*made, strict=True)))
    hears = ready[find(part.origin, offered.to)]
    # A cluster that is not ready cannot merge; its own choice is not needed.
    chooses = ready & (part.nearest >= 0)
    own = Offer(
        part.origin[chooses].astype(np.int32),
        part.nearest[chooses],
        part.distance[chooses],
    )
    best = best_offers(
        Offer(
            *(
                np.concatenate([mine, others[hears]])
                for mine, others in zip(own, offered, strict=True)
            )
        )
    )
    down = np.flatnonzero(best.by < best.to)
    down = down[np.argsort(best.by[down], kind="stable")]
    told = Offer(best.by[down], best.to[down], best.distance[down])
    return (best, *split(told, starts))


def settled(best: Offer, threshold: float, *told: Offer) -> Pairs:
    """Pairs that both sides prefer; this part keeps them."""
    up = best.by > best.to
    up &= best.distance <= threshold
    kept, absorbed, distance = (array[up] for array in best)
    heard = Offer(*map(np.concatenate, zip(*told, strict=True)))
    pair = kept.astype(np.int64) << 32 | absorbed
    other = heard.to.astype(np.int64) << 32 | heard.by
    order = np.argsort(other)
    at = find(other[order], pair)
    agreed = at >= 0
    theirs = heard.distance[order[at[agreed]]]
    return Pairs(
        kept[agreed], absorbed[agreed], np.minimum(distance[agreed], theirs)
    )


def absorbed_by_owner(
    pairs: Pairs, cut: slice, starts: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The absorbed clusters of some pairs, by owner."""
    names = np.sort(pairs.absorbed[cut])
    return tuple(names[owned] for owned in by_owner(names, starts))


def whole_clusters(
    part: Part, *requests: np.ndarray
) -> tuple[tuple[np.ndarray, ...], ...]:
    """Everything about the clusters of each request."""
    answers = []
    for request in requests:
        rows = find(part.origin, request)
        answers.append(
            (
                part.origin[rows],
                part.mean[rows],
                part.variance[rows],
                part.size[rows],
                part.radius[rows],
                part.height[rows],
                part.lists[rows],
            )
        )
    return tuple(answers)


def united(
    part: Part, pairs: Pairs, cut: slice, *answers: tuple[np.ndarray, ...]
) -> United:
    """Unites the pairs by the kernel of one machine."""
    kept, absorbed, distance = (array[cut] for array in pairs)
    rows, m = find(part.origin, kept), len(kept)
    origin, *others = map(np.concatenate, zip(*answers, strict=True))
    at = find(origin, absorbed)
    mean, variance, size, radius, height, lists = (a[at] for a in others)
    # The kept ones first, the absorbed after them.
    view = kernels.new_clusters(
        np.concatenate([part.mean[rows], mean]),
        np.concatenate([kept, absorbed]).astype(np.int64),
        np.full((2 * m, lists.shape[1]), -1, np.int32),
        variance=np.concatenate([part.variance[rows], variance]),
        size=np.concatenate([part.size[rows], size]),
    )
    view = view._replace(radius=np.concatenate([part.radius[rows], radius]))
    first = np.arange(m, dtype=np.int32)
    kernels.merge_moments(first, first + np.int32(m), view)
    higher = np.maximum(part.height[rows], height)
    return United(
        rows,
        view.mean[:m],
        view.variance[:m],
        view.size[:m],
        view.radius[:m],
        np.maximum(distance, higher),
        lists,
    )


def heights(*unions: United) -> np.ndarray:
    """Heights of the pairs of a part, `[m]` float64."""
    return np.concatenate([np.zeros(0), *(union.height for union in unions)])


def with_merges(
    part: Part, num_unions: int, *rest: Any
) -> tuple[Part, Pending, np.ndarray]:
    """The part after a round, before its lists are renewed.

    Args:
        part: before the round.
        num_unions: number of `United` in `rest`.
        rest: the part's unions; then all pairs of all parts, in pieces.

    Returns:
        (the part, the lists to renew: of the unions, and of those whose
        nearest cluster merged; `[2]` numbers of open clusters and of these
        lists).
    """
    unions: tuple[United, ...] = rest[:num_unions]
    pieces: tuple[Pairs, ...] = rest[num_unions:]
    fields = ("mean", "variance", "size", "radius", "height")
    values = {name: getattr(part, name).copy() for name in fields}
    for union in unions:
        for name, array in values.items():
            array[union.rows] = getattr(union, name)
    width = part.lists.shape[1]
    kept_rows = np.concatenate(
        [np.zeros(0, np.int32), *(u.rows for u in unions)]
    )
    extra = np.concatenate(
        [np.zeros((0, width), np.int32), *(u.lists for u in unions)]
    )
    lists, is_open = part.lists.copy(), part.is_open.copy()
    lost = np.zeros(len(is_open), bool)
    merged = np.zeros(len(is_open), bool)
    for pairs in pieces:
        order = np.argsort(pairs.absorbed)
        absorbed, kept = pairs.absorbed[order], pairs.kept[order]
        for array in (lists, extra):
            at = find(absorbed, array.ravel()).reshape(array.shape)
            array[at >= 0] = kept[at[at >= 0]]
        gone = find(part.origin, absorbed)
        is_open[gone[gone >= 0]] = False
        for names in (pairs.kept, absorbed):
            own = find(part.origin, names)
            merged[own[own >= 0]] = True
            lost |= find(names, part.nearest) >= 0
    lost &= is_open & ~merged
    lost_rows = np.flatnonzero(lost).astype(np.int32)
    none = np.full((len(lost_rows), width), -1, np.int32)
    rows = np.concatenate([kept_rows, lost_rows])
    pending = Pending(
        rows, np.concatenate([extra, none]), np.full(len(rows), -np.inf)
    )
    after = part._replace(lists=lists, is_open=is_open, **values)
    return after, pending, np.array([is_open.sum(), len(rows)])
