"""One run: a strategy on a pool with a seed, labels from the pool itself."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from al_tf.learners.head_learner import HeadLearner
from al_tf.loop.round import derived_seed
from al_tf.selection.candidates import labeled_to_unlabeled, random_keys
from al_tf.selection.margin_turns import TurnOptions, select_in_turns
from al_tf.selection.margins import margin_scores
from al_tf.selection.pool import Pool
from al_tf.selection.strategies import STRATEGIES
from experiments.selection.declaration import Arm, Setting
from experiments.selection.pools import FixedPool


class Simulation:
    """Runs arms on one pool; the seed model is trained once for a seed.

    Args:
        setting: of the runs.
        pool: of the setting.
    """

    def __init__(self, setting: Setting, pool: FixedPool):
        self._setting, self._pool = setting, pool
        self._size = len(pool.labels)
        rows = np.concatenate([pool.embeddings, pool.test_embeddings])
        self._classes = int(max(pool.labels.max(), pool.test_labels.max())) + 1
        self._learner = HeadLearner(rows, self._classes)
        self._seed_model: tuple[int, tuple[float, np.ndarray]] | None = None

    def run(self, arm: Arm, seed: int) -> dict[str, Any]:
        """Returns the line of the log.

        Args:
            arm: the strategy.
            seed: of seed set, label noise and choices.

        Returns:
            {"seed", "labels" and "accuracy" of every round, "selection_cpu"
            seconds of all selections, "cpu" seconds of the run}.
        """
        setting, began = self._setting, time.process_time()
        keys = random_keys(np.arange(self._size), seed)
        labeled = np.argsort(keys, kind="stable")[: setting.seed_size]
        labels = noisy(self._pool.labels, setting.label_noise, seed)
        counts, accuracies, spent = [], [], 0.0
        for number in range(setting.rounds + 1):
            accuracy, probabilities = self._model(labeled, labels, number, seed)
            counts.append(len(labeled))
            accuracies.append(round(accuracy, 6))
            if number < setting.rounds:
                start = time.process_time()
                batch = self._choose(
                    arm, probabilities, labeled, derived_seed(seed, number)
                )
                spent += time.process_time() - start
                labeled = np.concatenate([labeled, batch])
        return {
            "seed": seed,
            "labels": counts,
            "accuracy": accuracies,
            "selection_cpu": round(spent, 3),
            "cpu": round(time.process_time() - began, 3),
        }

    def _model(
        self, labeled: np.ndarray, labels: np.ndarray, number: int, seed: int
    ) -> tuple[float, np.ndarray]:
        """(test accuracy, `[n, classes]` probabilities of the pool)."""
        if number == 0 and self._seed_model and self._seed_model[0] == seed:
            return self._seed_model[1]
        self._learner.fit(
            labeled, labels[labeled], seed=derived_seed(seed, number)
        )
        test = self._size + np.arange(len(self._pool.test_labels))
        found = self._learner.score(test)[0].argmax(1)
        accuracy = float((found == self._pool.test_labels).mean())
        probabilities, _ = self._learner.score(np.arange(self._size))
        if number == 0:
            self._seed_model = seed, (accuracy, probabilities)
        return accuracy, probabilities

    def _choose(
        self,
        arm: Arm,
        probabilities: np.ndarray,
        labeled: np.ndarray,
        seed: int,
    ) -> np.ndarray:
        pool = Pool(
            self._size,
            unlabeled=labeled_to_unlabeled(labeled, self._size),
            margins=margin_scores(probabilities),
            probabilities=probabilities,
            embeddings=self._pool.embeddings,
            cluster_ids=self._pool.cluster_ids,
            neighbors=self._pool.neighbors,
        )
        size = self._setting.batch_size
        if arm.turns is None:
            return STRATEGIES[arm.name](pool, batch_size=size, seed=seed)
        most = arm.margin_batches and min(
            arm.margin_batches * size, self._size - len(labeled)
        )
        return select_in_turns(
            pool.need("margins"),
            pool.need("cluster_ids"),
            batch_size=size,
            margin_batch_size=most,
            unlabeled=pool.unlabeled,
            seed=seed,
            options=TurnOptions(**arm.turns),
        )


def noisy(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Gives a share of the examples another class, at random.

    Args:
        labels: `[n]` int64.
        share: in [0, 1).
        seed: of the choice.

    Returns:
        `[n]` int64, a copy.
    """
    labels = labels.copy()
    classes = int(labels.max()) + 1
    random = np.random.default_rng(seed)
    wrong = random.permutation(len(labels))[: round(share * len(labels))]
    step = random.integers(1, classes, len(wrong))
    labels[wrong] = (labels[wrong] + step) % classes
    return labels
