"""The next batch of a project: train, measure, choose, suggest.

The steps are those of the loop (`al_tf.loop.round`); what differs is that any
number of examples may be labeled, asked for in vain, or new.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from al_tf.learners.head_learner import HeadLearner
from al_tf.loop import round as round_lib
from al_tf.loop.round import PoolScores, Scores
from al_tf.pools.pool import Examples
from al_tf.project.record.state import BatchRecord
from al_tf.project.settings import Settings
from al_tf.selection.margins import margin_scores, multilabel_margin_scores
from runkit import InputError
from runkit.datasets.labels import encode_labels


class Labeled(NamedTuple):
    """What is known of a pool.

    Attributes:
        positions: `[m]` int64, of the labeled examples.
        labels: `[m]` int64 or `[m, classes]`, theirs.
        excluded: `[k]` int64, of all examples that may not be asked for.
    """

    positions: np.ndarray
    labels: np.ndarray
    excluded: np.ndarray

    @classmethod
    def of(
        cls,
        pool: Examples,
        labels: Mapping[Any, Iterable[str]],
        excluded: Iterable[Any],
    ) -> Labeled:
        """Puts labels by name into the frame of the pool.

        Args:
            pool: with all classes.
            labels: {example: class names}.
            excluded: examples that may not be asked for.
        """
        places = {name: i for i, name in enumerate(pool.named.tolist())}
        at = sorted((places[name], [*names]) for name, names in labels.items())
        values = [n if pool.multilabel else n[0] for _, n in at]
        numbers, _, _ = encode_labels(values, pool.classes)
        if pool.multilabel and not values:
            numbers = np.zeros((0, len(pool.classes)), np.int8)
        return cls(
            np.array([i for i, _ in at], np.int64),
            numbers,
            np.array(sorted({places[name] for name in excluded}), np.int64),
        )


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A batch, and what the model said before it was chosen.

    Attributes:
        positions: `[k]` int64 in the pool, in the order of the choice.
        strategy: how they were chosen.
        probabilities: `[k, classes]`; None without a model.
        result: what was measured; None without a model.
    """

    positions: np.ndarray
    strategy: str
    probabilities: np.ndarray | None
    result: dict[str, Any] | None

    def record(self, name: str, pool: Examples) -> BatchRecord:
        """The batch as the project keeps it."""
        found = (
            []
            if self.probabilities is None
            else named_answers(self.probabilities, pool)
        )
        suggested = [names for names, _ in found]
        confidence = [round(sure, 6) for _, sure in found]
        margins: list[float] = []
        if self.probabilities is not None:
            of_rows = (
                multilabel_margin_scores if pool.multilabel else margin_scores
            )
            found_margins = of_rows(self.probabilities).astype(np.float64)
            margins = found_margins.round(6).tolist()
        ids = pool.named[self.positions].tolist()
        return BatchRecord(
            name,
            ids,
            suggested,
            confidence,
            self.strategy,
            self.result,
            margins,
        )


def named_answers(
    probabilities: np.ndarray, pool: Examples
) -> list[tuple[list[str], float]]:
    """What a model answers, and how sure it is.

    Args:
        probabilities: `[k, classes]`.
        pool: names the classes.

    Returns:
        For each row the names of its classes, and the probability of the
        answer; with several classes each, that of the least certain one.
    """
    if pool.multilabel:
        sure = np.maximum(probabilities, 1 - probabilities).min(1)
    else:
        sure = probabilities.max(1)
    answers = round_lib.answers(probabilities, multilabel=pool.multilabel)
    chosen = (
        np.flatnonzero(answer) if isinstance(answer, list) else [answer]
        for answer in answers
    )
    return [
        ([pool.classes[i] for i in numbers], float(confidence))
        for numbers, confidence in zip(chosen, sure, strict=True)
    ]


def choose(
    pool: Examples,
    test: Examples,
    features: np.ndarray,
    cluster_ids: np.ndarray,
    labeled: Labeled,
    settings: Settings,
    *,
    size: int | None,
    number: int,
    probabilities: np.ndarray | None = None,
) -> Chosen:
    """Chooses the next batch.

    Args:
        pool: all examples.
        test: the test set; may be empty.
        features: `[pool + test, d]` float32.
        cluster_ids: `[pool]` int64.
        labeled: what is known.
        settings: of the project.
        size: of the batch; None: that of the settings.
        number: of the batch, for the seed.
        probabilities: `[pool, classes]` of another model, in place of the one
            that is trained here.

    Raises:
        InputError: nothing is left, or probabilities of another shape.
    """
    left = len(pool) - len(labeled.excluded)
    size = min(size or settings.batch_size, left)
    if size < 1:
        raise InputError(
            "nothing is left to ask for",
            where="the project's pool",
            got=f"{len(pool)} examples, all asked for",
            remedy="Let the pool grow: --action=grow --dataset=...",
        )
    config = settings.loop_config(size)
    if config.margin_batch_size is not None:
        k_m = min(max(config.margin_batch_size, size), left)
        config = dataclasses.replace(config, margin_batch_size=k_m)
    seed = round_lib.derived_seed(settings.seed, number)
    scores, result = None, None
    if probabilities is not None:
        shape = (len(pool), len(pool.classes))
        if probabilities.shape != shape:
            raise InputError(
                "not one probability for each example and class",
                where="probabilities",
                got=list(probabilities.shape),
                expected=str(list(shape)),
            )
        scores = PoolScores(probabilities, features[: len(pool)])
    elif len(labeled.positions):
        trained = train(pool, test, features, labeled, settings, seed)
        scores = trained.pool
        result = dict(
            round_lib.measure(
                trained,
                test,
                labeled.positions,
                labeled.labels,
                cluster_ids,
                num_classes=len(pool.classes),
            )
        )
    strategy = "cluster_margin" if scores else "random"
    positions, _ = round_lib.choose_batch(
        strategy,
        config,
        scores,
        labeled.excluded,
        cluster_ids,
        multilabel=pool.multilabel,
        seed=seed,
    )
    own = scores.probabilities[positions] if scores else None
    return Chosen(positions, strategy, own, result)


def train(
    pool: Examples,
    test: Examples,
    features: np.ndarray,
    labeled: Labeled,
    settings: Settings,
    seed: int,
) -> Scores:
    """Trains the project's model and scores pool and test set."""
    learner = HeadLearner(
        features,
        len(pool.classes),
        multilabel=pool.multilabel,
        head=settings.learner,
    )
    learner.fit(labeled.positions, labeled.labels, seed=seed)
    return round_lib.score(learner, len(pool), len(test), whole_pool=True)
