"""What a strategy is told about a pool, and what it answers."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np

from al_tf.inputs.arrays import plain_array
from al_tf.inputs.checks import refuse_rows
from al_tf.selection.candidates import unlabeled_ids
from runkit import InputError


@dataclasses.dataclass(frozen=True)
class Pool:
    """What is known about the pool in one round, as far as it is needed.

    Attributes:
        num_examples: n, size of the full pool.
        unlabeled: ids or mask of the examples that may be picked; None: all.
        margins: `[n]` float, small = uncertain.
        probabilities: `[n, classes]` of the current model.
        embeddings: `[n, d]` float.
        cluster_ids: `[n]` int.
        neighbors: `[n, k]` int32 nearest other examples, nearest first, -1
            where there are fewer; None: found when a strategy needs them.
    """

    num_examples: int
    unlabeled: np.ndarray | None = None
    margins: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    embeddings: np.ndarray | None = None
    cluster_ids: np.ndarray | None = None
    neighbors: np.ndarray | None = None

    def need(self, name: str) -> np.ndarray:
        """Returns a field that the strategy cannot do without.

        Raises:
            InputError: it is None, or does not cover the whole pool.
        """
        value = getattr(self, name)
        if value is None:
            raise InputError("the strategy needs it", where=f"pool.{name}")
        value = plain_array(value, f"pool.{name}")
        if value.ndim == 0 or len(value) != self.num_examples:
            raise InputError(
                "must have one entry per example",
                where=f"pool.{name}",
                got=value.shape,
                expected=str(self.num_examples),
            )
        return value

    def candidates(self, batch_size: int) -> np.ndarray:
        """Ids that may be picked, checked; see `unlabeled_ids`."""
        return unlabeled_ids(self.unlabeled, self.num_examples, batch_size)

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """A float32 copy of the embeddings of some examples, checked.

        Args:
            ids: `[m]` int64.

        Returns:
            `[m, d]` float32.

        Raises:
            InputError: no matrix, NaN, infinite or too large values.
        """
        embeddings = self.need("embeddings")
        if embeddings.ndim != 2:
            raise InputError(
                "must have two dimensions",
                where="pool.embeddings",
                got=embeddings.shape,
            )
        rows = embeddings[ids].astype(np.float32)
        refuse_rows(
            ~np.isfinite(np.einsum("nd,nd->n", rows, rows)),
            "NaN, infinite or too large values",
            where="pool.embeddings",
            ids=ids,
        )
        return rows


class Strategy(Protocol):
    """A way to pick a batch."""

    def __call__(
        self, pool: Pool, *, batch_size: int, seed: int = 0
    ) -> np.ndarray:
        """Returns `[batch_size]` int64 example ids in pick order."""
