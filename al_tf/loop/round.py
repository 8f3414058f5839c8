"""One round of the loop, without its files: choose, score, measure.

Every function returns the same for the same arguments (and the same weights of
the learner), apart from the seconds it took. `loop.py` calls them and writes
down what they return.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import NamedTuple

import numpy as np

from al_tf.learners.protocol import Learner
from al_tf.loop.config import LoopConfig
from al_tf.loop.label_store import BatchFacts, Label, RoundResult
from al_tf.pools.pool import Examples
from al_tf.selection import cluster_margin
from al_tf.selection.candidates import labeled_to_unlabeled, random_keys
from al_tf.selection.margins import margin_scores, multilabel_margin_scores
from al_tf.selection.strategies import (
    STRATEGIES,
    Strategy,
    cluster_margin_batch,
)
from al_tf.selection.strategies import Pool as PoolState
from runkit.quality import evaluate, indicator

# These look at no model, so the pool need not be scored for them.
MODEL_FREE = frozenset({"random", "cluster_random"})
# These look at the neighbor lists of the pool.
ON_NEIGHBORS = frozenset(
    {"typi_clust", "prob_cover", "max_herding", "u_herding", "seals"}
)


class PoolScores(NamedTuple):
    """What a model says about every example of the pool.

    Attributes:
        probabilities: `[n, classes]` float32.
        embeddings: `[n, d]` float32.
    """

    probabilities: np.ndarray
    embeddings: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scores:
    """What the model of a round says about the test set and the pool.

    Attributes:
        test_probabilities: `[test examples, classes]` float32.
        pool: None if the pool was not scored, because nothing in the round
            depends on it.
    """

    test_probabilities: np.ndarray
    pool: PoolScores | None


def derived_seed(seed: int, number: int) -> int:
    """A seed for one round, far from those of the others; below 2^62."""
    return int(random_keys(np.array([number]), seed)[0] >> np.uint64(2))


def seed_set(pool: Examples, config: LoopConfig, seed: int) -> np.ndarray:
    """`[seed_size]` int64 positions, the same for every strategy."""
    keys = random_keys(np.arange(len(pool)), seed)
    if config.seed_set == "random":
        return np.argsort(keys, kind="stable")[: config.seed_size]
    # An example of several classes counts for the rarest of them; those of
    # none are one more stratum.
    matrix = indicator(pool.labels, len(pool.classes))
    share = np.where(matrix, matrix.sum(0), len(pool) + 1)
    strata = np.where(matrix.any(1), share.argmin(1), len(pool.classes))
    return cluster_margin.round_robin(strata, keys, config.seed_size)


def score(
    learner: Learner, pool_size: int, test_size: int, *, whole_pool: bool
) -> Scores:
    """Scores the test set, and the pool if `whole_pool`."""
    first = 0 if whole_pool else pool_size
    probabilities, embeddings = learner.score(
        np.arange(first, pool_size + test_size)
    )
    if not whole_pool:
        return Scores(probabilities, None)
    return Scores(
        probabilities[pool_size:],
        PoolScores(probabilities[:pool_size], embeddings[:pool_size]),
    )


def measure(
    scores: Scores,
    test: Examples,
    labeled: np.ndarray,
    labels: np.ndarray,
    cluster_ids: np.ndarray,
    *,
    num_classes: int,
) -> RoundResult:
    """Measures the model on the test set, and what the labels cover.

    Args:
        scores: of the round's model.
        test: the test set.
        labeled: `[m]` int64 positions of all labeled examples.
        labels: `[m]` or `[m, classes]`, theirs.
        cluster_ids: `[n]` of the pool.
        num_classes: of the pool.
    """
    quality = evaluate(scores.test_probabilities, test.labels)
    seen = indicator(labels, num_classes).any(0)
    return {
        "labels": len(labeled),
        "accuracy": quality["accuracy"],
        "average_precision": quality["average_precision"],
        "classes_seen": int(seen.sum()),
        "clusters_covered": len(np.unique(cluster_ids[labeled])),
    }


def choose_batch(
    name: str,
    config: LoopConfig,
    pool_scores: PoolScores | None,
    labeled: np.ndarray,
    cluster_ids: np.ndarray,
    *,
    multilabel: bool,
    seed: int,
    neighbors: np.ndarray | None = None,
) -> tuple[np.ndarray, BatchFacts]:
    """Picks the next batch.

    Args:
        name: of the strategy.
        config: sizes of the batches.
        pool_scores: of the current model; may be None for `MODEL_FREE`.
        labeled: `[m]` int64 positions of all labeled examples.
        cluster_ids: `[n]` of the pool.
        multilabel: an example may have any number of classes.
        seed: of this round; see `derived_seed`.
        neighbors: `[n, k]` lists of the pool, for `ON_NEIGHBORS`.

    Returns:
        (`[batch_size]` int64 positions in pick order, seconds and coverage).
    """
    began, cpu = time.monotonic(), time.process_time()
    size = len(cluster_ids)
    state = PoolState(
        size,
        unlabeled=labeled_to_unlabeled(labeled, size),
        cluster_ids=cluster_ids,
        neighbors=neighbors,
    )
    if name not in MODEL_FREE:
        assert pool_scores is not None, f"{name} needs the pool's scores"
        margins_of = multilabel_margin_scores if multilabel else margin_scores
        state = dataclasses.replace(
            state,
            margins=margins_of(pool_scores.probabilities),
            probabilities=pool_scores.probabilities,
            embeddings=pool_scores.embeddings,
        )
    strategy: Strategy = STRATEGIES[name]
    if name == "cluster_margin":
        strategy = functools.partial(
            cluster_margin_batch, margin_batch_size=config.margin_batch_size
        )
    batch = strategy(state, batch_size=config.batch_size, seed=seed)
    return batch, {
        "selection_seconds": time.monotonic() - began,
        "selection_cpu_seconds": time.process_time() - cpu,
        "batch_clusters": len(np.unique(cluster_ids[batch])),
    }


def suggest(
    learner: Learner, batch: np.ndarray, *, multilabel: bool
) -> list[Label]:
    """The model's own answers for a batch, in its order."""
    return answers(learner.score(batch)[0], multilabel=multilabel)


def answers(probabilities: np.ndarray, *, multilabel: bool) -> list[Label]:
    """What probabilities `[n, classes]` answer: the likeliest class of each.

    Args:
        probabilities: of the classes.
        multilabel: of independent classes; those above one half are answered.
    """
    if multilabel:
        return (probabilities > 0.5).astype(int).tolist()
    return probabilities.argmax(1).tolist()
