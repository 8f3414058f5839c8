"""The exact index: blocked matrix products, after ruling out what is far."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any, NamedTuple

import numba
import numpy as np
import threadpoolctl

from al_tf.neighbors import row_kernels
from al_tf.neighbors.contraction import (
    Contraction,
    choose_contraction,
    contract,
)
from al_tf.neighbors.protocol import Neighbors, Probe
from al_tf.neighbors.row_kernels import Side
from al_tf.neighbors.row_order import spread_sample

# All rows against all: about this many blocks, so that a round has pairs for
# all cores.
NUM_BLOCKS = 32
# A smaller search is not worth the preparation of fewer dimensions.
MANY_QUERIES = 4096
MUCH_WORK = 2e9
# Tiles of the distance matrix; the product stays in the cache of a core.
_TILE_ROWS = 512
_MOST_TILES_PER_BLOCK = 8
_UNIT_ROUNDOFF = 2.0**-24
# Smaller numbers are zero for some threads' arithmetic.
_SMALLEST = float(np.finfo(np.float32).tiny)
_SAMPLE_QUERIES = 128
# Finding the libraries takes longer than a small search, so it is done once.
_BLAS = threadpoolctl.ThreadpoolController()


class _Asked(NamedTuple):
    """Queries and the lists that they fill.

    Attributes:
        rows: `[q, d]` float32.
        factor: `[q, w]` float32, what is multiplied first: the same rows or
            their contraction.
        bias: `[q]` float32, see `row_kernels.Side`.
        square: `[q]` float64 squared norms.
        error: `[q]` float64, see `ExactIndex`.
        exclude: `[q]` ids not to be found.
        ids: `[q, k]` int32.
        values: `[q, k]` float32.
    """

    rows: np.ndarray
    factor: np.ndarray
    bias: np.ndarray
    square: np.ndarray
    error: np.ndarray
    exclude: np.ndarray
    ids: np.ndarray
    values: np.ndarray

    def sample(self, size: int) -> _Asked:
        """Copies of rows at even steps, with lists of their own."""
        return _Asked(*(spread_sample(array, size).copy() for array in self))

    def answer(self) -> Neighbors:
        """What the lists hold, with a bound on what they do not."""
        last = self.values[:, -1]
        bound = self.square + last - self.error
        all_listed = last >= row_kernels.EMPTY
        return Neighbors(self.ids, np.where(all_listed, np.inf, bound))


class _Block(NamedTuple):
    """At most a tile of queries, ready to be multiplied.

    Attributes:
        factor: `[q, w]` float32, what is multiplied.
        doubled: `[q, d]` what confirms the product, or `[q, 0]`.
        exclude: `[q]` ids not to be found.
        side: of `row_kernels.scan_tile`.
    """

    factor: np.ndarray
    doubled: np.ndarray
    exclude: np.ndarray
    side: Side


class ExactIndex:
    """Exact search by blocked matrix products on all cores.

    For a query q and rows y with offset o, the value o + |y|^2 - 2 q.y is
    computed. Where many queries are asked, it is first bounded from below in
    fewer dimensions (`contraction`) and computed only where that does not
    rule the row out.

    The products are float32, and a rounding error must not hide a neighbor.
    With u = 2^-24, standard bounds on a dot product of d terms whose inputs
    were rounded give an error of at most 2 (d + 3) u |q| |y| (1 + small) for
    the product and u (|bias| + |value|) for the rest. A search subtracts a
    slightly larger number from the k-th value, so that its `bound` is rigorous.
    A lower bound rules a row out where it exceeds the k-th value by that number
    too; the values of the other rows are summed in float64.

    Args:
        rows: `[n, d]` float32.
        offsets: `[n]` float64 added to the distances; infinity hides a row.
        contraction: of `rows`, to rule out by; by default the first large
            search chooses one, if any is useful.
    """

    probe = Probe()

    def __init__(
        self,
        rows: np.ndarray,
        offsets: np.ndarray | None = None,
        *,
        contraction: Contraction | None = None,
    ):
        self._rows = rows
        square = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
        bias = square if offsets is None else square + offsets
        self._bias = bias.astype(np.float32)
        visible = np.isfinite(bias)
        self._largest = float(bias[visible].max()) if visible.any() else 0.0
        self._contraction = contraction
        self._may_choose = contraction is None

    @property
    def contraction(self) -> Contraction | None:
        """The rows in fewer dimensions, if a search rules out by them."""
        return self._contraction

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: np.ndarray,
        within: np.ndarray | None = None,
    ) -> Neighbors:
        """See `NeighborIndex.search`."""
        no_bias = np.zeros(len(queries), np.float32)
        asked = self._ask(queries, no_bias, k, exclude, within)
        tiles = _tiles(len(queries))
        with _workers(len(tiles)) as run:
            run(lambda tile: self._scan_all(self._block(asked, tile)), tiles)
        return asked.answer()

    def search_all(
        self,
        k: int,
        within: np.ndarray | None = None,
        report: Callable[[int], None] | None = None,
    ) -> Neighbors:
        """See `NeighborIndex.search_all`; needs half as many products.

        A product serves the lists of both its rows. Blocks of rows meet like
        the players of a tournament: no two pairs of a round share a block, so
        only one thread at a time fills a list, and the order in which it is
        filled does not depend on the number of threads.
        """
        n = len(self._rows)
        asked = self._ask(self._rows, self._bias, k, np.arange(n), within)
        size = max(n // _TILE_ROWS // NUM_BLOCKS, 1)
        size = min(size, _MOST_TILES_PER_BLOCK)
        tiles = _tiles(n)
        players = [tiles[i : i + size] for i in range(0, len(tiles), size)]
        rounds = tournament(len(players))

        def meet(pair: tuple[int, int]) -> None:
            self._meet(asked, players[pair[0]], players[pair[1]])

        with _workers(len(players)) as run:
            for done, pairs in enumerate(rounds, 1):
                run(meet, pairs)
                if report:
                    report(n * done // len(rounds))
        return asked.answer()

    def _ask(
        self,
        queries: np.ndarray,
        bias: np.ndarray,
        k: int,
        exclude: np.ndarray,
        within: np.ndarray | None,
    ) -> _Asked:
        """Empty lists; a large search prepares what makes it cheaper."""
        square = np.einsum("qd,qd->q", queries, queries, dtype=np.float64)
        error = _SMALLEST + _UNIT_ROUNDOFF * (
            2.1 * (self._rows.shape[1] + 6) * np.sqrt(square * self._largest)
            + 4.0 * (self._largest + square)
        )
        limit = np.full(len(queries), row_kernels.EMPTY, np.float32)
        if within is not None:
            # fmin: a distance that is not a number limits nothing.
            wanted = np.fmin(within - square + 3 * error, row_kernels.EMPTY)
            # Rounded up: the limit must not cut off what it promises.
            limit = np.nextafter(wanted.astype(np.float32), row_kernels.EMPTY)
        asked = _Asked(
            rows=queries,
            factor=queries,
            bias=bias,
            square=square,
            error=error,
            exclude=np.asarray(exclude),
            ids=np.full((len(queries), k), -1, np.int32),
            values=np.repeat(limit[:, None], k, 1),
        )
        work = len(queries) * self._rows.size
        is_large = len(queries) >= MANY_QUERIES and work >= MUCH_WORK
        if is_large and self._may_choose:
            self._may_choose = False
            self._contraction = self._choose(asked.sample(_SAMPLE_QUERIES))
        if self._contraction is None:
            return asked
        axes, rows = self._contraction
        if queries is self._rows:
            return asked._replace(factor=rows)
        return asked._replace(factor=contract(queries, axes, rows.shape[1]))

    def _choose(self, sample: _Asked) -> Contraction | None:
        """Answers a sample of the queries and judges by its answers."""
        block = self._block(sample, slice(0, len(sample.rows)))
        with _workers(1) as run:
            run(self._scan_all, [block])
        return choose_contraction(
            self._rows,
            self._bias,
            sample.rows,
            sample.exclude,
            cuts=sample.values[:, -1],
        )

    def _block(self, asked: _Asked, tile: slice) -> _Block:
        rows = asked.rows[tile]
        if self._contraction is None:
            rows = rows[:, :0]
        return _Block(
            -2 * asked.factor[tile],
            -2 * rows,
            asked.exclude[tile],
            self._side(asked, tile),
        )

    def _side(self, asked: _Asked, tile: slice) -> Side:
        slack = asked.error[tile].astype(np.float32)
        if self._contraction is None:
            slack[:] = 0
        lists = asked.ids[tile], asked.values[tile]
        return Side(tile.start, asked.bias[tile], slack, *lists)

    def _scan_all(self, block: _Block) -> None:
        """Fills the lists of a block from all rows."""
        for tile in _tiles(len(self._rows)):
            self._scan(block, tile)

    def _meet(
        self, asked: _Asked, own: list[slice], others: list[slice]
    ) -> None:
        """Lets the rows of some tiles and those of others find each other."""
        for first in own:
            block = self._block(asked, first)
            for second in others:
                if second == first:
                    self._scan(block, second)
                elif second.start > first.start:
                    self._scan(block, second, self._side(asked, second))

    def _scan(
        self, block: _Block, tile: slice, other: Side | None = None
    ) -> None:
        """Offers a tile's rows to a block's lists and, to `other`, the block's.

        Product and scan alternate in cache; threads inside the product as
        well would fight over the cores.
        """
        if other is None:
            other = row_kernels.without_lists(tile.start, self._bias[tile])
        rows = self._rows[tile]
        factor = rows
        if self._contraction is None:
            rows = rows[:, :0]
        else:
            factor = self._contraction.rows[tile]
        products = block.factor @ factor.T
        row_kernels.scan_tile(
            products, block.side, other, block.exclude, block.doubled, rows
        )


def tournament(players: int) -> list[list[tuple[int, int]]]:
    """Rounds in which everyone meets everyone once, and first themselves.

    The circle method: one player stays, the others move on by a seat a round;
    an odd number is made even by a player whose opponents rest.

    Args:
        players: their number.

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


def _tiles(num_rows: int) -> list[slice]:
    return [
        slice(first, min(first + _TILE_ROWS, num_rows))
        for first in range(0, num_rows, _TILE_ROWS)
    ]


@contextlib.contextmanager
def _workers(
    most: int,
) -> Iterator[Callable[[Callable[[Any], None], Iterable[Any]], None]]:
    """Threads to map a function over items, with products of one thread."""

    def run(function: Callable[[Any], None], items: Iterable[Any]) -> None:
        for _ in pool.map(function, items):
            pass

    count = min(numba.get_num_threads(), max(most, 1))
    with (
        _BLAS.limit(limits=1, user_api="blas"),
        futures.ThreadPoolExecutor(count) as pool,
    ):
        yield run
