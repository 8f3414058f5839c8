"""A part of the clusters, and how its lists are renewed by moments of others.

A cluster is named by the smallest id of its points, its *origin*. Part p owns
the clusters whose origins lie in [starts[p], starts[p + 1]), in the order of
the origins, and every part but the last holds whole tiles of rows.

Lists name clusters of other parts. To renew some lists, a part asks the owners
for the moments of everything on them (`needed`), the owners answer (`moments`),
and the part runs the one-machine kernels on a small copy: the rows in
question, and what stands on their lists (`renewed`). The copy is in the order
of the origins, ties are broken by the origins, and the moments are the same
bits: so the new lists are those of one machine.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from al_tf.clustering import hac_kernels as kernels

# Origins, means and variances of some clusters.
Moments = tuple[np.ndarray, np.ndarray, np.ndarray]


class Part(NamedTuple):
    """The clusters that one worker owns; see `hac_kernels.Clusters`.

    Attributes:
        mean: `[m, d]` float64.
        variance: `[m]` float64.
        size: `[m]` float64.
        origin: `[m]` int64 ascending.
        height: `[m]` float64.
        lists: `[m, 2 k]` int32 origins of candidates, -1 where there are
            fewer; those that are gone may stand there and count as -1.
        radius: `[m]` float64.
        nearest: `[m]` int32 origin of the nearest candidate, or -1.
        distance: `[m]` float64 linkage to it, infinite if there is none.
        is_open: `[m]` bool.
    """

    mean: np.ndarray
    variance: np.ndarray
    size: np.ndarray
    origin: np.ndarray
    height: np.ndarray
    lists: np.ndarray
    radius: np.ndarray
    nearest: np.ndarray
    distance: np.ndarray
    is_open: np.ndarray


class Answer(NamedTuple):
    """What a search found for some clusters of a part.

    Attributes:
        origin: `[r]` int64 who asked.
        ids: `[r, w]` int32 origins of what was found, or -1.
        bound: `[r]` float64: nothing else is nearer.
    """

    origin: np.ndarray
    ids: np.ndarray
    bound: np.ndarray


class Pending(NamedTuple):
    """Lists of a part that are to be renewed.

    Attributes:
        rows: `[r]` int32 rows of the part.
        extra: `[r, w]` int32 origins of further candidates, or -1.
        bound: `[r]` float64 proven radius, -inf where nothing is proven.
    """

    rows: np.ndarray
    extra: np.ndarray
    bound: np.ndarray


class Renewed(NamedTuple):
    """New values of some rows of a part; see `Part`."""

    rows: np.ndarray
    lists: np.ndarray
    radius: np.ndarray
    nearest: np.ndarray
    distance: np.ndarray


def new_part(
    rows: np.ndarray,
    origin: np.ndarray,
    size: np.ndarray,
    is_open: np.ndarray,
    k: int,
) -> Part:
    """Single points as clusters, with empty lists of 2 k places."""
    m = len(rows)
    return Part(
        mean=rows,
        variance=np.zeros(m),
        size=size,
        origin=origin,
        height=np.zeros(m),
        lists=np.full((m, 2 * k), -1, np.int32),
        radius=np.full(m, -np.inf),
        nearest=np.full(m, -1, np.int32),
        distance=np.full(m, np.inf),
        is_open=is_open,
    )


def uncertain(part: Part, threshold: float) -> np.ndarray:
    """Open clusters whose nearest candidate is not certified."""
    unproven = part.distance > part.radius
    return part.is_open & unproven & (part.radius <= threshold)


def has_near(part: Part, threshold: float) -> np.ndarray:
    """Clusters with a candidate within the threshold."""
    return (part.distance <= threshold) & (part.nearest >= 0)


def by_owner(values: np.ndarray, starts: np.ndarray) -> list[slice]:
    """Where the ascending origins of each part stand."""
    cuts = np.searchsorted(values, starts[1:-1])
    edges = [0, *cuts.tolist(), len(values)]
    return [slice(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def find(origin: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Rows of some origins among ascending ones, -1 where there are none."""
    if len(origin) == 0:
        return np.full(wanted.shape, -1, np.int32)
    at = np.searchsorted(origin, wanted)
    at[at == len(origin)] = 0
    return np.where(origin[at] == wanted, at, -1).astype(np.int32)


def wanted(
    part: Part, starts: np.ndarray, threshold: float
) -> tuple[np.ndarray, ...]:
    """Clusters that certified ones call their nearest, by owner.

    Returns:
        A tuple of `[m]` int32 ascending origins, one for each part.
    """
    certified = part.is_open & ~uncertain(part, threshold)
    near = np.unique(part.nearest[certified & has_near(part, threshold)])
    return tuple(near[cut] for cut in by_owner(near, starts))


def asked(
    part: Part, threshold: float, *wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to ask for: the uncertain ones, or only the wanted among them.

    Returns:
        (`[q]` int32 rows, `[1]` their number).
    """
    is_asked = uncertain(part, threshold)
    if wanted:
        is_wanted = np.zeros(len(is_asked), bool)
        for origins in wanted:
            rows = find(part.origin, origins)
            is_wanted[rows[rows >= 0]] = True
        is_asked &= is_wanted
    rows = np.flatnonzero(is_asked).astype(np.int32)
    return rows, np.array([len(rows)])


def retired(part: Part, threshold: float) -> Part:
    """Closes clusters that nothing within the threshold can reach."""
    nothing_else = (part.radius > threshold) | np.isinf(part.radius)
    closed = nothing_else & ~has_near(part, threshold)
    return part._replace(is_open=part.is_open & ~closed)


def needed(
    part: Part, pending: Pending, cut: slice, starts: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Clusters that stand on the lists to be renewed, by owner."""
    rows = pending.rows[cut]
    named = np.unique(
        np.concatenate(
            [
                part.origin[rows].astype(np.int32),
                part.lists[rows].ravel(),
                pending.extra[cut].ravel(),
            ]
        )
    )
    named = named[named >= 0]
    return tuple(named[owned] for owned in by_owner(named, starts))


def moments(part: Part, *requests: np.ndarray) -> tuple[Moments, ...]:
    """Moments of what each part asked for, without those that are gone.

    Returns:
        For each request (origins, means, variances).
    """
    answers = []
    for request in requests:
        rows = find(part.origin, request)
        rows = rows[rows >= 0]
        origin = part.origin[rows]
        answers.append((origin, part.mean[rows], part.variance[rows]))
    return tuple(answers)


def renewed(
    part: Part, pending: Pending, cut: slice, *answers: Moments
) -> Renewed:
    """Renews lists by the kernel of one machine; see the module."""
    rows = pending.rows[cut]
    origin, mean, variance = map(np.concatenate, zip(*answers, strict=True))
    m, width = len(origin), part.lists.shape[1]
    at = find(origin, part.origin[rows])
    lists = np.full((m, width), -1, np.int32)
    lists[at] = found(origin, part.lists[rows])
    radius = np.full(m, -np.inf)
    radius[at] = np.maximum(part.radius[rows], pending.bound[cut])
    view = kernels.new_clusters(mean, origin, lists, variance=variance)
    view = view._replace(radius=radius)
    kernels.unite_lists(at, found(origin, pending.extra[cut]), view)
    return Renewed(
        rows,
        named(origin, view.lists[at]),
        view.radius[at],
        named(origin, view.nearest[at]),
        view.distance[at],
    )


def found(origin: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Rows of the named clusters, -1 for none."""
    return find(origin, names.ravel()).reshape(names.shape)


def named(origin: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Origins of rows, -1 for none."""
    if len(origin) == 0:
        return rows
    return np.where(rows >= 0, origin[rows], -1).astype(np.int32)


def with_renewed(part: Part, *updates: Renewed) -> Part:
    """The part with the new values."""
    values = {
        name: getattr(part, name).copy()
        for name in ("lists", "radius", "nearest", "distance")
    }
    for update in updates:
        for name, array in values.items():
            array[update.rows] = getattr(update, name)
    return part._replace(**values)


def settled_by_scan(part: Part, rows: np.ndarray) -> Part:
    """After a search of everything: the nearest is certified, come what may."""
    radius = part.radius.copy()
    radius[rows] = np.maximum(radius[rows], part.distance[rows])
    return part._replace(radius=radius)


def extracted(part: Part, rows: slice, only_open: bool) -> Part:
    """Some clusters of a part; `rows` count the open ones only, if so."""
    if not only_open:
        return Part(*(array[rows].copy() for array in part))
    at = np.flatnonzero(part.is_open)[rows]
    return Part(*(array[at] for array in part))


def joined(*pieces: Part) -> Part:
    """Consecutive pieces as one part."""
    return Part(*map(np.concatenate, zip(*pieces, strict=True)))


def first_origin(part: Part) -> np.ndarray:
    """`[1]` the origin of the first cluster; no part is empty."""
    return part.origin[:1]
