"""Which strategy to take: the rule of `--strategies=auto`, with its reason.

Two leaves, read off the pools of the standing benchmark that may choose
(`experiments/selection`); its report says what the rule loses on the others.

1. UHerding, where the exact neighbor lists cost minutes at most. In the mean of
   the settings that choose, no strategy is ahead of it by two standard errors.
   Cluster allocation is, on the plain digits, and it was made on those very
   pools; on the others it is level or behind.
2. Cluster allocation on larger pools: the first of those without lists.

Redundancy and the batch's share of the pool decide nothing, because no setting
gives a reason for a leaf of their own. They are measured and named, because
they say what a wrong choice costs: plain margin sampling is behind on pools of
near copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from al_tf.clustering.options import EXACT_WORK

if TYPE_CHECKING:
    from al_tf.clustering.result import Clustering

AUTO = "auto"
# Share of the mean distance of two examples within which they are near copies.
# It tells planted copies (70 % of the pool) from digits (0) and phrases (2 %).
NEAR = 0.01


class PoolFacts(NamedTuple):
    """What the advice depends on, or names.

    Attributes:
        examples: n, size of the pool.
        dimensions: d, of the embeddings.
        redundancy: share of the examples that are near copies; see
            `redundancy`.
    """

    examples: int
    dimensions: int
    redundancy: float


class Advice(NamedTuple):
    """A strategy and why.

    Attributes:
        strategy: a name of `STRATEGIES`.
        reason: why, in words.
    """

    strategy: str
    reason: str


def advise(facts: PoolFacts, batch_size: int) -> Advice:
    """Says which strategy to take.

    Args:
        facts: about the pool.
        batch_size: examples to label in a round.
    """
    work = float(facts.examples) ** 2 * facts.dimensions
    known = (
        f"{facts.redundancy:.0%} of the pool are near copies of others, and a "
        f"batch is {batch_size / facts.examples:.1%} of it"
    )
    if work > EXACT_WORK:
        return Advice(
            "cluster_allocation",
            "leads the benchmark's choosing pools among the strategies without "
            f"neighbor lists, which would take {work:.1e} multiply-adds here, "
            f"more than {EXACT_WORK:.0e}; {known}",
        )
    return Advice(
        "u_herding",
        "no strategy was clearly ahead of it on the benchmark's choosing "
        f"pools, and its neighbor lists take {work:.1e} multiply-adds, minutes "
        f"at most; {known}",
    )


def facts_of(clustering: Clustering) -> PoolFacts:
    """Measures a pool on its clusters."""
    n, d = clustering.pool["shape"]
    return PoolFacts(n, d, redundancy(clustering))


def redundancy(clustering: Clustering) -> float:
    """Share of the examples that merging near copies would take away.

    These are the merges of the tree within `NEAR` of the mean distance of two
    examples of the pool. A tree that is cut below that knows a part of them.
    """
    sizes = np.bincount(clustering.cluster_ids)
    centers = clustering.centers
    square = np.einsum("cd,cd->c", centers, centers) + clustering.variances
    # Two independent examples differ by twice the variance of one.
    typical = 2 * float(sizes @ square) / len(clustering.cluster_ids)
    near = clustering.merge_distances <= NEAR * typical
    return float(near.sum()) / len(clustering.cluster_ids)
