"""The exact index: blocked matrix products, after ruling out what is far."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from al_tf.neighbors import row_kernels
from al_tf.neighbors.contraction import (
    PATIENCE,
    Contraction,
    choose_contraction,
    contract,
    most_survivors,
)
from al_tf.neighbors.lists import Asked, rounding_error
from al_tf.neighbors.protocol import Neighbors, Probe
from al_tf.neighbors.row_kernels import Side
from al_tf.neighbors.tiles import (
    tile_workers,
    tiles_of,
    tiles_per_block,
    tournament,
)

# A smaller search is not worth the preparation of fewer dimensions.
MANY_QUERIES = 4096
MUCH_WORK = 2e9
SAMPLE_QUERIES = 128


class _Block(NamedTuple):
    """A tile of queries or less, ready to be multiplied.

    Attributes:
        factor: `[q, w]` float32, what is multiplied.
        doubled: `[q, d]` rows that confirm a bound, or `[q, 0]`.
        exclude: `[q]` ids not to be found.
        side: of `row_kernels.scan_tile`.
    """

    factor: np.ndarray
    doubled: np.ndarray
    exclude: np.ndarray
    side: Side

    def after(self, done: int) -> _Block:
        """Without the first queries."""
        first, bias, slack, ids, values = self.side
        return _Block(
            self.factor[done:],
            self.doubled[done:],
            self.exclude[done:],
            Side(
                first + done,
                *(a[done:] for a in (bias, slack, ids, values)),
            ),
        )


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
    too; the values of the other rows are summed in float64. While the lists
    have met few rows, a contraction rules little out, and those sums would cost
    more than a product. So where too many rows of a tile are left, products in
    all dimensions take the place of the bounds: what is on the lists in the
    end is the same.

    Args:
        rows: `[n, d]` float32.
        offsets: `[n]` float64 added to the distances; infinity hides a row.
        contraction: of `rows`, to rule out by; by default the first large
            search chooses one, if any is useful.
        largest: of the visible rows' squared norms with their offsets, where
            `rows` are a part of a database that is searched in parts; then no
            search chooses a contraction.
    """

    probe = Probe()

    def __init__(
        self,
        rows: np.ndarray,
        offsets: np.ndarray | None = None,
        *,
        contraction: Contraction | None = None,
        largest: float | None = None,
    ):
        self._rows = rows
        square = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
        bias = square if offsets is None else square + offsets
        self._bias = bias.astype(np.float32)
        visible = np.isfinite(bias)
        own = float(bias[visible].max()) if visible.any() else 0.0
        self.largest = own if largest is None else largest
        self._contraction = contraction
        self._may_choose = contraction is None and largest is None

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
        return self.lists(queries, k, exclude, within).answer()

    def lists(
        self,
        queries: np.ndarray,
        k: int,
        exclude: np.ndarray,
        within: np.ndarray | None = None,
    ) -> Asked:
        """Searches, and returns the lists with the values on them.

        Those of the parts of a database can be merged; see `answer_of`.
        """
        no_bias = np.zeros(len(queries), np.float32)
        asked = self.ask(queries, no_bias, k, exclude, within)
        tiles = tiles_of(len(queries))
        with tile_workers(len(tiles)) as run:
            run(lambda tile: self._scan_all(self._block(asked, tile)), tiles)
        return asked

    def lists_of_pairs(
        self,
        k: int,
        within: np.ndarray | None,
        pairs: Iterable[tuple[int, int]],
    ) -> Asked:
        """Lets the rows of some pairs of tiles find each other, in turn.

        Args:
            k: neighbors per row.
            within: `[n]`, see `search`.
            pairs: numbers of tiles (i, j), i <= j.
        """
        n = len(self._rows)
        asked = self.ask(self._rows, self._bias, k, np.arange(n), within)
        tiles = tiles_of(n)

        def meet(group: tuple[int, list[slice]]) -> None:
            self._meet(asked, [tiles[group[0]]], group[1])

        groups = [
            (first, [tiles[second] for _, second in some])
            for first, some in itertools.groupby(pairs, lambda pair: pair[0])
        ]
        with tile_workers(1) as run:
            run(meet, groups)
        return asked

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
        asked = self.ask(self._rows, self._bias, k, np.arange(n), within)
        size = tiles_per_block(n)
        tiles = tiles_of(n)
        players = [tiles[i : i + size] for i in range(0, len(tiles), size)]
        rounds = tournament(len(players))

        def meet(pair: tuple[int, int]) -> None:
            self._meet(asked, players[pair[0]], players[pair[1]])

        with tile_workers(len(players)) as run:
            for done, pairs in enumerate(rounds, 1):
                run(meet, pairs)
                if report:
                    report(n * done // len(rounds))
        return asked.answer()

    def ask(
        self,
        queries: np.ndarray,
        bias: np.ndarray,
        k: int,
        exclude: np.ndarray,
        within: np.ndarray | None,
    ) -> Asked:
        """Empty lists; a large search prepares what makes it cheaper."""
        square = np.einsum("qd,qd->q", queries, queries, dtype=np.float64)
        error = rounding_error(square, self.largest, self._rows.shape[1])
        limit = np.full(len(queries), row_kernels.EMPTY, np.float32)
        if within is not None:
            # fmin: a distance that is not a number limits nothing.
            wanted = np.fmin(within - square + 3 * error, row_kernels.EMPTY)
            # Rounded up: the limit must not cut off what it promises.
            limit = np.nextafter(wanted.astype(np.float32), row_kernels.EMPTY)
        asked = Asked(
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
            self._contraction = self._choose(asked.sample(SAMPLE_QUERIES))
        if self._contraction is None:
            return asked
        axes, rows = self._contraction
        if queries is self._rows:
            return asked._replace(factor=rows)
        return asked._replace(factor=contract(queries, axes, rows.shape[1]))

    def _choose(self, sample: Asked) -> Contraction | None:
        """Answers a sample of the queries and judges by its answers."""
        block = self._block(sample, slice(0, len(sample.rows)))
        with tile_workers(1) as run:
            run(self._scan_all, [block])
        return choose_contraction(
            self._rows,
            self._bias,
            sample.rows,
            sample.exclude,
            cuts=sample.values[:, -1],
        )

    def _block(self, asked: Asked, tile: slice) -> _Block:
        rows = asked.rows[tile]
        if self._contraction is None:
            rows = rows[:, :0]
        return _Block(
            -2 * asked.factor[tile],
            -2 * rows,
            asked.exclude[tile],
            self._side(asked, tile),
        )

    def _side(self, asked: Asked, tile: slice) -> Side:
        slack = asked.error[tile].astype(np.float32)
        if self._contraction is None:
            slack[:] = 0
        lists = asked.ids[tile], asked.values[tile]
        return Side(tile.start, asked.bias[tile], slack, *lists)

    def _scan_all(self, block: _Block) -> None:
        """Fills the lists of a block from all rows."""
        wait = 0
        for tile in tiles_of(len(self._rows)):
            wait = self._scan(block, tile, wait)

    def _meet(
        self, asked: Asked, own: list[slice], others: list[slice]
    ) -> None:
        """Lets the rows of two groups of tiles find each other."""
        for first in own:
            block, wait = self._block(asked, first), 0
            for second in others:
                if second == first:
                    wait = self._scan(block, second, wait)
                elif second.start > first.start:
                    side = self._side(asked, second)
                    wait = self._scan(block, second, wait, side)

    def _scan(
        self, block: _Block, tile: slice, wait: int, other: Side | None = None
    ) -> int:
        """Offers a tile's rows to a block's lists and, to `other`, the block's.

        Product and scan alternate in cache; threads inside the product would
        compete for the cores.

        Args:
            block: the queries.
            tile: rows.
            wait: tiles, this one included, in which bounds are not tried.
            other: lists of the tile's rows.

        Returns:
            `wait` for the block's next tile.
        """
        if other is None:
            other = row_kernels.without_lists(tile.start, self._bias[tile])
        rows = self._rows[tile]
        if self._contraction is None:
            _offer(block.factor @ rows.T, block, other, rows[:, :0])
            return 0
        if not wait:
            bounds = block.factor @ self._contraction.rows[tile].T
            most = most_survivors(bounds.size, rows.shape[1])
            done = _offer(bounds, block, other, rows, most)
            if done == len(bounds):
                return 0
            wait, block = PATIENCE, block.after(done)
        _offer(block.doubled @ rows.T, block, other, rows)
        return wait - 1


def _offer(
    products: np.ndarray,
    block: _Block,
    other: Side,
    rows: np.ndarray,
    most: int | None = None,
) -> int:
    """`row_kernels.scan_tile` of a block; returns the queries that are done."""
    most = products.size if most is None else most
    done, _ = row_kernels.scan_tile(
        products, block.side, other, block.exclude, block.doubled, rows, most
    )
    return done
