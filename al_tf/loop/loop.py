"""The active-learning loop: label a little, learn, ask for what helps most.

    seed set -> train -> embeddings -> clusters (once)
    then in every round:  score, select, label, train

Every strategy starts from the same seed set and, with a cold start, the same
seed model. A round depends only on the seed and the labels so far (see
`round.py`), and each of its three outcomes (batch, labels, result) is written
once and whole. A run can therefore be killed at any moment: started again, it
reads what is there, does what is missing, and ends where it would have ended
(Cluster-Margin, section 3).
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np

from al_tf.clustering.result import Clustering
from al_tf.learners.protocol import Learner
from al_tf.loop import round as round_lib
from al_tf.loop.clusters import SeedClusters
from al_tf.loop.config import LoopConfig
from al_tf.loop.label_store import LabelStore
from al_tf.loop.oracles import Oracle
from al_tf.pools import held_out
from al_tf.pools.pool import Examples
from al_tf.selection.spreading.advice import AUTO, advise, facts_of
from runkit import InputError, Progress
from runkit.quality import indicator

# These take the rows of probabilities for one distribution over classes.
_ONE_LABEL_ONLY = frozenset({"entropy", "badge", "partitioned_badge"})


@dataclasses.dataclass
class _Seed:
    """What the strategies of one seed share.

    Attributes:
        number: the seed itself.
        scores: of its seed model, once that is trained with a cold start.
    """

    number: int
    scores: round_lib.Scores | None = None


class Loop:
    """Runs every strategy with every seed over one pool.

    Args:
        config: settings.
        pool: the examples that may be labeled.
        test: labeled examples that the loop never labels.
        oracle: answers for the pool.
        folder: directory of the run, with `runs/STRATEGY/seed-S` (see
            `LabelStore`) and `clusters/seed-S` (see `SeedClusters`).
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
        self.folder = folder
        self._oracle = oracle
        self._clusters = SeedClusters(
            folder / "clusters", config.target_cluster_size
        )

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
        metric = self.config.primary_metric(self.pool.multilabel)
        held_out.check_test(self.test, metric)
        if self.pool.multilabel:
            for name in _ONE_LABEL_ONLY.intersection(self.config.strategies):
                raise InputError(
                    "needs examples of exactly one class each",
                    where="--strategies",
                    got=name,
                    remedy="Take cluster_margin, margin, coreset or random",
                )
        # Nobody has labeled the seed set yet where people are asked.
        labels_known = not self._oracle.wants_suggestions
        if self.config.missing_classes == "refuse" and labels_known:
            for seed in self.config.seeds:
                self._check_classes(seed)

    def _check_classes(self, seed: int) -> None:
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
        return round_lib.seed_set(self.pool, self.config, seed)

    def store(self, strategy: str, seed: int) -> LabelStore:
        """The files of one strategy with one seed."""
        folder = self.folder / "runs" / strategy / f"seed-{seed}"
        return LabelStore(folder, self.pool)

    def run(self, learner: Learner) -> None:
        """Runs what is not on disk yet.

        Args:
            learner: knows the inputs of the pool, followed by those of the
                test set.

        Raises:
            InterruptedRun: people have to label first.
        """
        config = self.config
        each = config.rounds + 1
        progress = Progress(
            len(config.seeds) * len(config.strategies) * each, "rounds"
        )
        done = 0
        for number in config.seeds:
            seed = _Seed(number)
            for name in config.strategies:
                note = f"{name}, seed {number}"
                for finished in self._rounds(learner, name, seed):
                    progress.update(done + finished + 1, note)
                done += each

    def _rounds(
        self, learner: Learner, name: str, seed: _Seed
    ) -> Iterator[int]:
        """The loop itself, for one strategy and one seed; yields rounds."""
        store = self.store(name, seed.number)
        learner.reset()
        if store.batch(0) is None:
            store.write_batch(0, self.seed_set(seed.number), {})
        for number in range(self.config.rounds + 1):
            self._label(store, number)
            last = number == self.config.rounds
            chosen = last or store.batch(number + 1) is not None
            measured = store.result(number) is not None
            if chosen and measured and not learner.warm_start:
                continue
            ids, labels = store.labeled_until(number)
            needs_scores = not chosen and name not in round_lib.MODEL_FREE
            # The clusters are made of the first round's embeddings.
            whole_pool = number == 0 or needs_scores
            scores = self._train(
                learner, seed, number, ids, labels, whole_pool=whole_pool
            )
            first = scores.pool if number == 0 else None
            rows = first.embeddings if first else None
            clustering = self._clusters.of_seed(seed.number, rows)
            clusters = clustering.cluster_ids
            if not measured:
                result = round_lib.measure(
                    scores,
                    self.test,
                    ids,
                    labels,
                    clusters,
                    num_classes=len(self.pool.classes),
                )
                store.write_result(number, result)
            if not chosen:
                neighbors = None
                taken = self._taken(store, name, clustering)
                if taken in round_lib.ON_NEIGHBORS:
                    neighbors = self._clusters.neighbors_of_seed(
                        seed.number, rows
                    )
                batch, facts = round_lib.choose_batch(
                    taken,
                    self.config,
                    scores.pool,
                    ids,
                    clusters,
                    multilabel=self.pool.multilabel,
                    seed=round_lib.derived_seed(seed.number, number),
                    neighbors=neighbors,
                )
                if name == AUTO:
                    facts["taken"] = taken
                if self._oracle.wants_suggestions:
                    facts["suggested"] = round_lib.suggest(
                        learner, batch, multilabel=self.pool.multilabel
                    )
                store.write_batch(number + 1, batch, facts)
            yield number

    def _taken(
        self, store: LabelStore, name: str, clustering: Clustering
    ) -> str:
        """The strategy of a name; what `auto` took first stays."""
        if name != AUTO:
            return name
        advice = store.choice()
        if advice is None:
            advice = advise(facts_of(clustering), self.config.batch_size)
            store.write_choice(advice)
            print(f"auto takes {advice.strategy}: {advice.reason}", flush=True)
        return advice.strategy

    def _label(self, store: LabelStore, number: int) -> None:
        if store.labels(number) is not None:
            return
        batch = store.batch(number)
        assert batch is not None, f"round {number} has no batch"
        suggested = store.batch_facts(number).get("suggested", [])
        answers = self._oracle.labels(number, batch, suggested)
        store.write_labels(number, answers)

    def _train(
        self,
        learner: Learner,
        seed: _Seed,
        number: int,
        ids: np.ndarray,
        labels: np.ndarray,
        *,
        whole_pool: bool,
    ) -> round_lib.Scores:
        """Trains and scores; a seed model with a cold start only once."""
        shared = number == 0 and not learner.warm_start
        if shared and seed.scores is not None:
            return seed.scores
        learner.fit(
            ids, labels, seed=round_lib.derived_seed(seed.number, number)
        )
        scores = round_lib.score(
            learner, len(self.pool), len(self.test), whole_pool=whole_pool
        )
        if shared:
            seed.scores = scores
        return scores
