"""Which of the near rows to keep: walk through them in order of preference.

A row is kept unless a kept row is near it; then all other rows near it are
dropped. So every dropped row is near a kept one, and no two kept rows are near
each other, whatever the order and however long a chain of near rows is.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from al_tf.duplicates.distances import distance
from al_tf.duplicates.near_rows import NearRows


class Kept(NamedTuple):
    """The rows that stay, and where the others went.

    Attributes:
        owner: `[n]` int64 the nearest kept row of each row; of a kept row,
            itself. Of equally near ones, the preferred.
        distances: `[n]` float64 squared distance to it.
        compared: number of rows that were compared with the whole pool.
    """

    owner: np.ndarray
    distances: np.ndarray
    compared: int


def keep_in_order(near: NearRows, order: np.ndarray) -> Kept:
    """Keeps rows in order of preference.

    Args:
        near: rows of the pool, and what is near them.
        order: `[n]` int64, a permutation of the rows, the preferred first.
    """
    n = len(order)
    owner, distances = np.full(n, -1, np.int64), np.zeros(n)
    state = near.rows, owner, distances
    answers: dict[int, np.ndarray] = {}
    at, asked, compared = 0, 0, 0
    while True:
        at = _walk(order, at, near.lists, near.is_whole, *state)
        if at == n:
            return Kept(owner, distances, compared)
        row = int(order[at])
        if row not in answers:
            # Rows whose turn comes soon are asked about together. Some are
            # dropped before their turn; after many of these, fewer are asked.
            used = asked - len(answers)
            asked = int(np.clip(2 * used, 1, near.most_queries))
            rest = order[at:]
            rest = rest[(owner[rest] < 0) & ~near.is_whole[rest]][:asked]
            asked = len(rest)
            compared += asked
            answers = dict(zip(rest.tolist(), near.all_near(rest), strict=True))
        _keep(row, answers.pop(row), *state)


def mean_order(near: NearRows) -> np.ndarray:
    """Rows near the mean of their group first, equally near ones by number.

    A group are the rows that lists of near rows connect.

    Returns:
        `[n]` int64, a permutation of the rows.
    """
    groups = _groups(near.lists)
    members = np.flatnonzero(np.bincount(groups)[groups] > 1)
    _, number, count = np.unique(
        groups[members], return_inverse=True, return_counts=True
    )
    step = np.zeros(len(groups), np.float32)
    # Two rows are equally far from their mean: rounding must not decide.
    step[members] = _steps_to_mean(near.rows, members, number, count)
    return np.argsort(step, kind="stable")


@numba.njit(cache=True)
def _walk(order, at, lists, is_whole, rows, owner, distances):
    """Keeps or passes over rows from place `at` on.

    Returns the place of the first row that may be kept and whose list is not
    whole, or the number of rows.
    """
    while at < len(order):
        row = order[at]
        if owner[row] < 0:
            if not is_whole[row]:
                break
            _keep(row, lists[row], rows, owner, distances)
        at += 1
    return at


@numba.njit(cache=True)
def _keep(row, near, rows, owner, distances):
    """Keeps a row and drops those near it, unless a near one is kept."""
    # With whole lists there is none; ScaNN may list a pair in one way only.
    for other in near:
        if other >= 0 and owner[other] == other:
            step = distance(rows, row, other)
            if owner[row] < 0 or step < distances[row]:
                owner[row], distances[row] = other, step
    if owner[row] >= 0:
        return
    owner[row] = row
    for other in near:
        if other >= 0:
            step = distance(rows, row, other)
            if owner[other] < 0 or step < distances[other]:
                owner[other], distances[other] = row, step


@numba.njit(cache=True)
def _groups(lists):
    """`[n]` the smallest row that lists connect each row with."""
    parent = np.arange(len(lists))
    for row in range(len(lists)):
        for other in lists[row]:
            if other < 0:
                continue
            first, second = row, np.int64(other)
            while parent[first] != first:
                parent[first] = parent[parent[first]]
                first = parent[first]
            while parent[second] != second:
                parent[second] = parent[parent[second]]
                second = parent[second]
            if first < second:
                parent[second] = first
            else:
                parent[first] = second
    # Parents are smaller, so they are done before their children.
    for row in range(len(lists)):
        parent[row] = parent[parent[row]]
    return parent


@numba.njit(cache=True)
def _steps_to_mean(rows, members, number, count):
    """`[members]` float64 squared distance of each to the mean of its group."""
    mean = np.zeros((len(count), rows.shape[1]))
    for at in range(len(members)):
        for axis in range(rows.shape[1]):
            mean[number[at], axis] += rows[members[at], axis]
    out = np.zeros(len(members))
    for at in range(len(members)):
        group = number[at]
        for axis in range(rows.shape[1]):
            middle = mean[group, axis] / count[group]
            out[at] += (rows[members[at], axis] - middle) ** 2
    return out
