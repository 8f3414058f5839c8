"""Windows of a token store in their order: TensorFlow's operations alone.

The order is a function of (seed, number of the window in the run). In every
pass the shards are permuted; `mixed_shards` of them at a time form a group,
whose windows are permuted. A store of one group is permuted as a whole. So a
host reads whole shards, one after the other, and holds two groups; it begins at
any step by reading the group of that step.

A window belongs to the shard that it begins in, and its end may stand in the
shards behind, of which the head is read too.

The graph of a local store, or of one in `gs://`, holds no Python operation and
can run in any TensorFlow process that reaches the files.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from spactor_tf.data.permutation import shuffled_in_graph
from spactor_tf.data.step_pipeline import Share
from spactor_tf.data.tokens.shards import ShardFiles
from spactor_tf.data.tokens.store import TokenStore

# Seeds of windows are below 2**32, so no order of shards is one of windows.
_SHARD_ORDER = 1 << 32
_BLOCK_ROWS = 256  # Windows that are passed on in one piece.


@dataclasses.dataclass(frozen=True)
class Turns:
    """Which examples of a run are a store's, where several take turns.

    Attributes:
        places: [n] int64, ascending, the store's examples of a round.
        round_length: examples of a round over all stores.
    """

    places: np.ndarray
    round_length: int

    def before(self, example: int) -> int:
        """Returns how many examples below `example` are the store's."""
        rounds, place = divmod(example, self.round_length)
        among = int(np.searchsorted(self.places, place))
        return rounds * len(self.places) + among

    def examples(self, number: tf.Tensor) -> tf.Tensor:
        """Returns the examples of a run that the store's own numbers are.

        Args:
            number: [n] int64.

        Returns:
            [n] int64.
        """
        rounds = number // len(self.places)
        places = tf.constant(self.places, tf.int64)
        place = tf.gather(places, number % len(self.places))
        return rounds * self.round_length + place


ALL_TURNS = Turns(np.zeros(1, np.int64), 1)


class _Cuts(NamedTuple):
    """Where the shards' windows lie; the last row is that of no shard.

    Attributes:
        windows: [shards + 1] int64, windows that begin in a shard.
        skipped: [shards + 1] int64, tokens before its first window.
        heads: [shards + 1, n] int64, tokens of the n shards behind it that its
            last window reaches into.
        sizes: [shards + n + 1] int64, tokens of a shard.
    """

    windows: np.ndarray
    skipped: np.ndarray
    heads: np.ndarray
    sizes: np.ndarray


def _cuts(sizes: np.ndarray, length: int) -> _Cuts:
    """Divides the windows of a stream among its shards."""
    ends = np.cumsum(sizes)
    begins = ends - sizes
    total = int(ends[-1])
    # All windows but the last stand side by side; that one ends the stream.
    beside = -(-total // length) - 1
    first = np.minimum(-(-begins // length), beside)
    stop = np.minimum(-(-ends // length), beside)
    begun = first * length
    has_last = (begins <= total - length) & (total - length < ends)
    begun = np.where(has_last & (stop == first), total - length, begun)
    windows = stop - first + has_last
    reach = np.where(has_last, total, stop * length)
    reach = np.where(windows > 0, reach, ends)
    farthest = np.searchsorted(ends, np.maximum(reach, ends), side="left")
    count = int((farthest - np.arange(len(sizes))).max())
    heads = np.zeros((len(sizes) + 1, count), np.int64)
    padded = np.concatenate([begins, np.full(count, total)])
    widths = np.concatenate([sizes, np.zeros(count, np.int64)])
    for ahead in range(count):
        behind = np.arange(len(sizes)) + ahead + 1
        head = np.clip(reach - padded[behind], 0, widths[behind])
        heads[:-1, ahead] = head
    skipped = np.where(windows > 0, begun - begins, 0)
    return _Cuts(
        np.append(windows, 0),
        np.append(skipped, 0),
        heads,
        np.append(widths, 0),
    )


def windows_in_order(
    store: TokenStore,
    length: int,
    seed: int,
    share: Share,
    turns: Turns = ALL_TURNS,
) -> tf.data.Dataset:
    """Returns a host's windows of a store, in the order of the run.

    Args:
        store: to read.
        length: tokens of a window.
        seed: of the order, below 2**32.
        share: the examples of the run that the host makes.
        turns: those among all examples that are the store's.

    Returns:
        Dataset of (example [m] int64, tokens [m, length] of the store's
        dtype), m from 1 to 256.

    Raises:
        InputError: the store is shorter than one window.
    """
    total = store.num_windows(length)
    first, end = turns.before(share.first), turns.before(share.end)
    shards, mixed = len(store.shard_tokens), store.mixed_shards
    groups = -(-shards // mixed)
    cuts = _cuts(store.shard_tokens, length)
    read = _ShardReader(store, length, cuts)

    def groups_of_pass(number: tf.Tensor) -> tf.data.Dataset:
        numbers = tf.range(shards, dtype=tf.int64)
        order = shuffled_in_graph(
            numbers, tf.constant(shards, tf.int64), number, seed + _SHARD_ORDER
        )
        missing = tf.fill(
            [groups * mixed - shards], tf.constant(shards, tf.int64)
        )
        members = tf.reshape(tf.concat([order, missing], 0), [groups, mixed])
        members = tf.sort(members, axis=1)
        counts = tf.reduce_sum(tf.gather(cuts.windows, members), axis=1)
        begins = number * total + tf.cumsum(counts, exclusive=True)
        names = number * groups + tf.range(groups, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices(
            (names, members, begins, counts)
        )

    def load(
        name: tf.Tensor, members: tf.Tensor, begin: tf.Tensor, count: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        stop = tf.minimum(begin + count, end)
        number = tf.range(tf.maximum(begin, first), stop)
        example = turns.examples(number)
        row = example % share.batch_size
        is_mine = (row >= share.first_row) & (row < share.end_row)
        example = tf.boolean_mask(example, is_mine)
        place = tf.boolean_mask(number, is_mine) - begin
        order = shuffled_in_graph(place, count, name, seed)
        # The reads run side by side: nothing connects them.
        parts = [read(members[i]) for i in range(mixed)]
        return example, order, tf.concat(parts, 0)

    def blocks(
        example: tf.Tensor, order: tf.Tensor, windows: tf.Tensor
    ) -> tf.data.Dataset:
        count = tf.size(example, tf.int64)
        starts = tf.data.Dataset.range(0, count, _BLOCK_ROWS)
        return starts.map(
            lambda start: (
                example[start : start + _BLOCK_ROWS],
                tf.gather(windows, order[start : start + _BLOCK_ROWS]),
            )
        )

    last_pass = -(-end // total) if end > first else first // total
    passes = tf.data.Dataset.range(first // total, last_pass)
    plan = passes.flat_map(groups_of_pass).filter(
        lambda name, members, begin, count: (
            (begin + count > first) & (begin < end)
        )
    )
    # One group is read while another is used.
    return plan.map(load).prefetch(1).flat_map(blocks)


class _ShardReader:
    """Reads the windows of a shard.

    Called with its number, [] int64; gives [windows, length], none for the
    number behind the last shard.
    """

    def __init__(self, store: TokenStore, length: int, cuts: _Cuts):
        self._files, self._length, self._cuts = ShardFiles(store), length, cuts

    def __call__(self, number: tf.Tensor) -> tf.Tensor:
        count = tf.gather(self._cuts.windows, number)
        return tf.cond(
            count > 0,
            lambda: self._windows(number, count),
            lambda: tf.zeros([0, self._length], self._files.dtype),
        )

    def _windows(self, number: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        tokens = self._files.whole(number)
        parts = [tokens[tf.gather(self._cuts.skipped, number) :]]
        for ahead in range(self._cuts.heads.shape[1]):
            size = tf.gather(self._cuts.heads[:, ahead], number)
            parts.append(self._head(number + ahead + 1, size))
        tokens = tf.concat(parts, 0) if len(parts) > 1 else parts[0]
        # The stream's last window may overlap the one before it.
        beside = tokens[: (count - 1) * self._length]
        last = tokens[-self._length :]
        shape = tf.stack([count, self._length])
        return tf.reshape(tf.concat([beside, last], 0), shape)

    def _head(self, number: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """The first tokens of a shard; none are asked for at most places."""

        def read() -> tf.Tensor:
            size = tf.gather(self._cuts.sizes, number)
            return self._files.head(number, tokens, size)

        return tf.cond(
            tokens > 0, read, lambda: tf.zeros([0], self._files.dtype)
        )
