"""Tiles of a distance matrix, the order in which they meet, and threads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any

import numba
import numpy as np
import threadpoolctl

# All rows against all: about this many blocks, so that a round has pairs for
# all cores.
NUM_BLOCKS = 32
# Rows of a tile; the product of two tiles stays in the cache of a core.
TILE_ROWS = 512
_MOST_TILES_PER_BLOCK = 8
# Finding the libraries takes longer than a small search, so it is done once.
_BLAS = threadpoolctl.ThreadpoolController()


def tiles_of(num_rows: int) -> list[slice]:
    """Consecutive tiles that cover rows 0 to `num_rows`."""
    return [
        slice(first, min(first + TILE_ROWS, num_rows))
        for first in range(0, num_rows, TILE_ROWS)
    ]


def tiles_per_block(num_rows: int) -> int:
    """Tiles of one player of the tournament that searches all rows."""
    size = max(num_rows // TILE_ROWS // NUM_BLOCKS, 1)
    return min(size, _MOST_TILES_PER_BLOCK)


def tournament(players: int) -> list[list[tuple[int, int]]]:
    """Rounds in which everyone meets everyone once, starting with themselves.

    The circle method: one player stays, the others move by one seat per round.
    An odd number is made even by an extra player, whose opponents rest.

    Args:
        players: number of players.

    Returns:
        Rounds of pairs (i, j), i <= j; no player is in two pairs of a round.
    """
    rounds = [[(i, i) for i in range(players)]]
    seats = list(range(players + players % 2))
    for _ in range(len(seats) - 1):
        half = len(seats) // 2
        facing = zip(seats[:half], reversed(seats[half:]), strict=True)
        pairs = [(min(pair), max(pair)) for pair in facing]
        rounds.append([pair for pair in pairs if pair[1] < players])
        seats.insert(1, seats.pop())
    return rounds


def round_of(first: np.ndarray, second: np.ndarray, players: int) -> np.ndarray:
    """The round of `tournament(players)` in which two players meet.

    A player x > 0 has seat 1 + (x - 1 + t - 1) mod M in round t, where M is
    the number of seats less one, and seats that face each other sum to M.

    Args:
        first: integer players, of any shape.
        second: of the same shape.
        players: number of players.

    Returns:
        int64 of the same shape.
    """
    moving = players + players % 2 - 1
    first, second = np.asarray(first, np.int64), np.asarray(second, np.int64)
    half = (moving + 1) // 2  # The inverse of two, modulo an odd number.
    both = (-(first + second) * half) % moving
    resting = (-np.maximum(first, second)) % moving
    met = 1 + np.where(np.minimum(first, second) == 0, resting, both)
    return np.where(first == second, 0, met)


@contextlib.contextmanager
def tile_workers(
    most: int,
) -> Iterator[Callable[[Callable[[Any], None], Iterable[Any]], None]]:
    """Threads that map a function over items; BLAS itself uses one each."""

    def run(function: Callable[[Any], None], items: Iterable[Any]) -> None:
        for _ in pool.map(function, items):
            pass

    count = min(numba.get_num_threads(), max(most, 1))
    with (
        _BLAS.limit(limits=1, user_api="blas"),
        futures.ThreadPoolExecutor(count) as pool,
    ):
        yield run
