"""The active-learning loop: label a little, learn, ask for what helps most.

    seed set -> train -> embeddings -> clusters (once)
    then in every round:  score, select, label, train

Every strategy starts from the same seed set and, with a cold start, the same
seed model. A round is a pure function of (seed, labels so far), and each of
its three outcomes, batch, labels and result, is written once and whole. So a
run can be killed anywhere: started again it reads what is there, does what is
missing, and ends where it would have ended (Cluster-Margin, section 3).
"""

from __future__ import annotations

import functools
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from al_tf.clustering.build import cluster_embeddings
from al_tf.clustering.result import Clustering, load_clustering
from al_tf.clustering.store import is_clustering
from al_tf.inputs import checksum, open_embeddings
from al_tf.learners.protocol import Learner
from al_tf.loop.config import LoopConfig
from al_tf.loop.label_store import LabelStore
from al_tf.loop.oracles import Oracle
from al_tf.pools import held_out
from al_tf.pools.pool import Examples
from al_tf.selection import cluster_margin
from al_tf.selection.candidates import labeled_to_unlabeled, random_keys
from al_tf.selection.margins import margin_scores, multilabel_margin_scores
from al_tf.selection.strategies import (
    STRATEGIES,
    Pool,
    Strategy,
    cluster_margin_batch,
)
from runkit import InputError, Progress
from runkit.files import remove_leftovers
from runkit.quality import evaluate, indicator

# These look at no model, so the pool need not be scored for them.
MODEL_FREE = frozenset({"random", "cluster_random"})
# These take the rows of probabilities for one distribution over classes.
_ONE_LABEL_ONLY = frozenset({"entropy", "badge", "partitioned_badge"})

Scores = tuple[np.ndarray, np.ndarray]


class Loop:
    """Runs every strategy with every seed over one pool.

    Args:
        config: settings.
        pool: the examples that may be labeled.
        test: labeled examples that are never labeled by the loop.
        oracle: answers for the pool.
        folder: of the run; see `LabelStore`, and `clusters/seed-S`.
    """

    def __init__(
        self,
        config: LoopConfig,
        pool: Examples,
        test: Examples,
        oracle: Oracle,
        folder: pathlib.Path,
    ):
        self.config, self.pool, self.test = config, pool, test
        self._oracle, self._folder = oracle, folder
        self._test_ids = len(pool) + np.arange(len(test))
        self._seed_scores: tuple[int, Scores] | None = None
        self._clusterings: dict[int, Clustering] = {}

    def check(self) -> None:
        """Refuses what cannot be run, before anything is written.

        Raises:
            InputError: a pool too small or without labels, a class that no
                seed example has, a strategy that a multi-label pool cannot
                use, an undefined metric.
        """
        self.config.validate()
        self.config.check_pool(len(self.pool))
        self._oracle.check_pool()
        held_out.check_test(self.test, metric_name(self.config, self.pool))
        if self.pool.multilabel:
            for name in _ONE_LABEL_ONLY.intersection(self.config.strategies):
                raise InputError(
                    "needs examples of exactly one class each",
                    where="--strategies", got=name,
                    remedy="Take cluster_margin, margin, coreset or random",
                )  # fmt: skip
        if self.config.missing_classes == "refuse":
            for seed in self.config.seeds:
                self._check_classes(seed)

    def _check_classes(self, seed: int) -> None:
        if self._oracle.wants_suggestions:
            return  # Nobody has labeled the seed set yet.
        labels = self.pool.labels[self.seed_set(seed)]
        matrix = indicator(labels, len(self.pool.classes))
        missing = np.flatnonzero(~matrix.any(0))
        if len(missing):
            names = [self.pool.classes[i] for i in missing[:10]]
            raise InputError(
                f"the seed set of seed {seed} holds no example of "
                f"{len(missing)} classes: {', '.join(names)}",
                where="--seed_size",
                got=self.config.seed_size,
                remedy="Take a larger one, --seed_set=stratified, or "
                "--missing_classes=allow",
            )

    def seed_set(self, seed: int) -> np.ndarray:
        """Positions of the seed set, the same for every strategy."""
        keys = random_keys(np.arange(len(self.pool)), seed)
        size = self.config.seed_size
        if self.config.seed_set == "random":
            return np.argsort(keys, kind="stable")[:size]
        return cluster_margin.round_robin(_strata(self.pool), keys, size)

    def run(self, learner: Learner) -> None:
        """Runs what is not on disk yet.

        Args:
            learner: knows the inputs of the pool and, behind them, of the
                test set.

        Raises:
            InterruptedRun: people have to label first.
        """
        self._learner, config = learner, self.config
        each = config.rounds + 1
        progress = Progress(
            len(config.seeds) * len(config.strategies) * each, "rounds"
        )
        done = 0
        for seed in config.seeds:
            for name in config.strategies:
                for number in self._rounds(name, seed):
                    note = f"{name}, seed {seed}"
                    progress.update(done + number + 1, note)
                done += each

    def _rounds(self, name: str, seed: int) -> Iterator[int]:
        """The loop itself, for one strategy and one seed; yields rounds."""
        store = self.store(name, seed)
        self._learner.reset()
        if store.batch(0) is None:
            store.write_batch(0, self.seed_set(seed))
        for number in range(self.config.rounds + 1):
            self._label(store, number)
            last = number == self.config.rounds
            chosen = last or store.batch(number + 1) is not None
            measured = store.result(number) is not None
            if chosen and measured and not self._learner.warm_start:
                continue
            ids, labels = store.labeled_until(number)
            whole_pool = not chosen and (number == 0 or name not in MODEL_FREE)
            scores = self._train(
                seed, number, ids, labels, whole_pool or number == 0
            )
            clusters = self._clusters(seed, scores)
            if not measured:
                store.write_result(
                    number, self._measure(ids, labels, scores, clusters)
                )
            if not chosen:
                batch, facts = self._select(
                    name, seed, number, ids, scores, clusters
                )
                store.write_batch(number + 1, batch, **facts)
            yield number

    def store(self, name: str, seed: int) -> LabelStore:
        """The files of one run."""
        folder = self._folder / "runs" / name / f"seed-{seed}"
        return LabelStore(folder, self.pool)

    def _label(self, store: LabelStore, number: int) -> None:
        if store.labels(number) is not None:
            return
        batch = store.batch(number)
        assert batch is not None
        suggested = store.batch_facts(number).get("suggested", [])
        answers = self._oracle.labels(number, batch, suggested)
        store.write_labels(number, answers)

    def _train(
        self,
        seed: int,
        number: int,
        ids: np.ndarray,
        labels: np.ndarray,
        whole_pool: bool,
    ) -> Scores:
        """Trains, and scores test set and pool; the pool only if needed.

        Returns:
            (probabilities, embeddings) of the pool and behind it the test
            set; zero rows for a pool that was not scored.
        """
        first = number == 0 and not self._learner.warm_start
        if first and self._seed_scores and self._seed_scores[0] == seed:
            return self._seed_scores[1]
        self._learner.fit(ids, labels, seed=derived_seed(seed, number))
        wanted = self._test_ids
        if whole_pool:
            wanted = np.arange(len(self.pool) + len(self.test))
        scores = self._learner.score(wanted)
        if first:
            self._seed_scores = (seed, scores)
        return scores

    def _clusters(self, seed: int, scores: Scores) -> Clustering:
        """The clusters of a seed: made once, from its seed model."""
        if seed not in self._clusterings:
            path = self._folder / "clusters" / f"seed-{seed}"
            if not is_clustering(path):
                self._cluster(scores[1], path)
            self._clusterings[seed] = load_clustering(path)
        return self._clusterings[seed]

    def _cluster(self, embeddings: np.ndarray, path: pathlib.Path) -> None:
        if len(embeddings) < len(self.pool):
            raise InputError(
                "the clusters of a run that has begun are gone",
                where=str(path),
                remedy="Name another --output_dir",
            )
        remove_leftovers(path.parent)
        rows = directions(embeddings[: len(self.pool)])
        found = checksum(open_embeddings(rows))
        # Fixed embeddings are the same for every seed.
        for other in self._clusterings.values():
            if other.pool["checksum"] == found:
                other.save(path)
                return
        size = min(self.config.target_cluster_size, float(len(self.pool)))
        cluster_embeddings(rows, target_cluster_size=size).save(path)

    def _measure(
        self,
        ids: np.ndarray,
        labels: np.ndarray,
        scores: Scores,
        clusters: Clustering,
    ) -> dict[str, Any]:
        test = scores[0][len(scores[0]) - len(self.test) :]
        seen = indicator(labels, len(self.pool.classes)).any(0)
        return {
            "labels": len(ids),
            **evaluate(test, self.test.labels),
            "classes_seen": int(seen.sum()),
            "clusters_covered": len(np.unique(clusters.cluster_ids[ids])),
        }

    def _select(
        self,
        name: str,
        seed: int,
        number: int,
        labeled: np.ndarray,
        scores: Scores,
        clusters: Clustering,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Picks the batch of round number + 1."""
        n = len(self.pool)
        probabilities = embeddings = margins = None
        began, cpu = time.monotonic(), time.process_time()
        if name not in MODEL_FREE:
            probabilities, embeddings = scores[0][:n], scores[1][:n]
            margins = self._margins(probabilities)
        state = Pool(
            n,
            unlabeled=labeled_to_unlabeled(labeled, n),
            margins=margins,
            probabilities=probabilities,
            embeddings=embeddings,
            cluster_ids=clusters.cluster_ids,
        )
        batch = self._strategy(name)(
            state,
            batch_size=self.config.batch_size,
            seed=derived_seed(seed, number),
        )
        facts: dict[str, Any] = {
            "selection_seconds": time.monotonic() - began,
            "selection_cpu_seconds": time.process_time() - cpu,
            "batch_clusters": len(np.unique(clusters.cluster_ids[batch])),
        }
        if self._oracle.wants_suggestions:
            facts["suggested"] = self._suggest(batch)
        return batch, facts

    def _strategy(self, name: str) -> Strategy:
        if name == "cluster_margin":
            return functools.partial(
                cluster_margin_batch,
                margin_batch_size=self.config.margin_batch_size,
            )
        return STRATEGIES[name]

    def _margins(self, probabilities: np.ndarray) -> np.ndarray:
        if self.pool.multilabel:
            return multilabel_margin_scores(probabilities)
        return margin_scores(probabilities)

    def _suggest(self, batch: np.ndarray) -> list[Any]:
        probabilities, _ = self._learner.score(batch)
        if self.pool.multilabel:
            return (probabilities > 0.5).astype(int).tolist()
        return probabilities.argmax(1).tolist()


def metric_name(config: LoopConfig, pool: Examples) -> str:
    """The metric of targets and plots."""
    default = "average_precision" if pool.multilabel else "accuracy"
    return config.metric or default


def derived_seed(seed: int, number: int) -> int:
    """A seed for one round, far from those of the others; below 2^62."""
    return int(random_keys(np.array([number]), seed)[0] >> np.uint64(2))


def directions(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings that all have a direction, as cosine distance needs.

    A network whose last layer is silent for an example embeds it at zero.
    Such examples are alike: they get one direction, close to the origin.
    """
    silent = ~embeddings.any(1)
    if not silent.any():
        return embeddings
    embeddings = embeddings.copy()
    embeddings[silent] = -1e-6
    return embeddings


def _strata(pool: Examples) -> np.ndarray:
    """`[n]` class of each example; the rarest of several, one more for none."""
    matrix = indicator(pool.labels, len(pool.classes))
    share = np.where(matrix, matrix.sum(0), len(pool) + 1)
    return np.where(matrix.any(1), share.argmin(1), len(pool.classes))
