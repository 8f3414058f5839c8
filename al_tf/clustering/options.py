"""What a clustering is asked for, checked; and the choice of its index."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

from absl import logging

from al_tf.inputs.arrays import number
from al_tf.inputs.preparation import METRICS
from al_tf.neighbors import scann_index
from runkit import InputError, closest
from runkit.flag_values import Flag

# Multiply-adds of one pass over all pairs that `exact="auto"` spends: a few
# minutes on two cores. A constant and not a measured speed, so that the same
# pool gets the same clusters on every machine.
EXACT_WORK = 1e13
# Below this, an approximate index costs more than it saves.
_SMALL_POOL = 2000


class IndexChoice(NamedTuple):
    """Which index answers.

    Attributes:
        exact: the exact index, not ScaNN.
        reason: why, in words.
    """

    exact: bool
    reason: str


@dataclasses.dataclass(frozen=True)
class ClusteringOptions:
    """What to cluster by; see `cluster_embeddings` for each field."""

    distance_threshold: float | None = None
    target_cluster_size: float | None = None
    metric: str = "cosine"
    num_neighbors: int = 16
    exact: bool | Literal["auto"] = "auto"
    seed: int = 0

    def checked(self, num_examples: int) -> ClusteringOptions:
        """Refuses options that are impossible for a pool.

        Returns:
            The options, with NumPy's numbers turned into Python's.

        Raises:
            InputError: with the name of the option.
        """
        threshold, size = self.distance_threshold, self.target_cluster_size
        if threshold is not None:
            threshold = number(threshold, "distance_threshold")
        if size is not None:
            size = number(size, "target_cluster_size")
        neighbors = number(self.num_neighbors, "num_neighbors")
        if self.metric not in METRICS:
            raise InputError(
                "unknown metric",
                where="metric",
                got=self.metric,
                remedy=closest(self.metric, METRICS),
            )
        if num_examples == 0:
            raise InputError(
                "an empty pool has no clusters", where="embeddings"
            )
        if (threshold is None) == (size is None):
            raise InputError(
                "give exactly one of distance_threshold and "
                "target_cluster_size",
                where="cluster_embeddings",
            )
        if not 1 <= neighbors < 2**31 or neighbors != int(neighbors):
            raise InputError(
                "must be a whole number, at least 1",
                where="num_neighbors",
                got=self.num_neighbors,
            )
        if threshold is not None and not threshold >= 0:
            raise InputError(
                "must not be negative",
                where="distance_threshold",
                got=threshold,
            )
        if size is not None and not 1 <= size <= num_examples:
            raise InputError(
                "impossible mean cluster size",
                where="target_cluster_size",
                got=size,
                expected=f"1 to {num_examples}, the number of examples",
            )
        return dataclasses.replace(
            self,
            distance_threshold=threshold,
            num_neighbors=int(neighbors),
            target_cluster_size=size,
        )

    def num_clusters(self, num_examples: int) -> int | None:
        """Clusters of a pool of the wanted mean size; None: no such wish."""
        if self.target_cluster_size is None:
            return None
        return max(1, round(num_examples / self.target_cluster_size))

    def choose_index(self, shape: tuple[int, int]) -> IndexChoice:
        """Chooses the index for a pool of a shape.

        Raises:
            InputError: `exact` is neither a bool nor "auto".
        """
        n, d = shape
        work = float(n) * n * d
        cost = f"{work:.1e} multiply-adds for one pass over all pairs"
        if self.exact is True:
            return IndexChoice(True, f"exact, as asked ({cost})")
        if self.exact is False:
            if n < _SMALL_POOL:
                reason = f"exact: {n} examples are too few for ScaNN"
                return IndexChoice(True, reason)
            reason = f"ScaNN, as asked (exact would take {cost})"
            return IndexChoice(False, reason)
        if self.exact != "auto":
            raise InputError(
                "unknown choice",
                where="exact",
                got=self.exact,
                expected="auto, True, False",
            )
        if work <= EXACT_WORK or n < _SMALL_POOL:
            return IndexChoice(True, f"exact: {cost} take minutes at most")
        if not scann_index.is_available():
            reason = f"exact, though {cost} take long: ScaNN is not installed"
            return IndexChoice(True, reason)
        return IndexChoice(
            False, f"ScaNN: {cost} are more than {EXACT_WORK:.0e}"
        )


METRIC_FLAG = Flag(
    "metric",
    "Distance between embeddings.",
    default="cosine",
    choices=METRICS,
)
CLUSTER_FLAGS = (
    Flag(
        "distance_threshold",
        "Largest average linkage within a cluster.",
        float,
        least=0,
    ),
    Flag(
        "target_cluster_size",
        "Mean cluster size, in place of a threshold; default: 10.",
        float,
        positive=True,
    ),
    METRIC_FLAG,
    Flag(
        "num_neighbors",
        "Length of the candidate lists; default: "
        f"{ClusteringOptions.num_neighbors}.",
        int,
        least=1,
    ),
)


def asked_options(
    values: Any, num_examples: int, exact: bool | Literal["auto"]
) -> ClusteringOptions:
    """Returns what `CLUSTER_FLAGS` ask for; a default size is logged.

    Args:
        values: the flags, as attributes, with a `seed` among them.
        num_examples: size of the pool.
        exact: see `ClusteringOptions`.
    """
    size, threshold = values.target_cluster_size, values.distance_threshold
    if size is None and threshold is None:
        size = float(min(10, num_examples))
        logging.info("--target_cluster_size=%g (default)", size)
    return ClusteringOptions(
        distance_threshold=threshold,
        target_cluster_size=size,
        metric=values.metric,
        num_neighbors=values.num_neighbors or ClusteringOptions.num_neighbors,
        exact=exact,
        seed=values.seed,
    )
