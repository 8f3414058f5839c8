"""The pool of a project in memory: examples, embeddings, clusters."""

from __future__ import annotations

import pathlib

import numpy as np

from al_tf.clustering.result import Clustering
from al_tf.pools.pool import Examples
from al_tf.project.creation import Facts
from al_tf.project.examples import parts as pool_parts
from al_tf.project.examples.features import Embed, Features, given_rows
from al_tf.project.examples.growth import GrowingClusters
from al_tf.project.record.state import Part, State
from runkit import InputError
from runkit.files import lock_directory


class GrowingPool:
    """Reads each part once, when a state first holds it.

    Args:
        folder: of the project.
        facts: of its file.
        embed: see `Features`.

    Attributes:
        parts: read so far, with the labels and rows of their sources.
    """

    def __init__(self, folder: pathlib.Path, facts: Facts, embed: Embed | None):
        self._folder = folder
        self._facts, self._settings = facts, facts.settings
        pool, self._test = pool_parts.open_first(self._settings)
        pool_parts.check_unchanged(pool, facts.first)
        self.parts = [pool]
        self._features = Features(folder / "features", embed)
        self._clusters = GrowingClusters(
            folder / "clusters", self._settings.target_cluster_size
        )

    def examples(self, state: State) -> Examples:
        """All examples of the pool, without labels, with all classes.

        Raises:
            InputError: a part that cannot be read or has changed.
        """
        for part in state.parts[len(self.parts) :]:
            found = pool_parts.open_part(
                part.dataset, self.parts[0], self._settings.id_column
            )
            pool_parts.check_unchanged(found, part)
            self.parts.append(found)
        multilabel = self._settings.multilabel
        bare = [
            pool_parts.without_labels(p, state.classes, multilabel=multilabel)
            for p in self.parts[: len(state.parts)]
        ]
        rows = [*self.parts[0].rows, *self._test.rows]
        return pool_parts.join(bare, int(max(rows)) + 1)

    def next_part(
        self, state: State, dataset: str, embeddings: str
    ) -> Part | None:
        """What a project will remember of a part that joins.

        All that can be wrong with it is found here: a part is never taken
        back.

        Args:
            state: before it joins.
            dataset: of the part.
            embeddings: file of its embeddings, where the first part has one.

        Returns:
            None if it is there already.

        Raises:
            InputError: it cannot be read, holds other things than the pool,
                or ids that the pool or the test set has.
        """
        pool, first = self.examples(state), self.parts[0]
        # Its source is unchanged, or it would have been refused just now. The
        # first part's holds the test set too.
        if any(part.dataset == dataset for part in state.parts):
            return None
        part = pool_parts.open_part(dataset, first, self._settings.id_column)
        source = self._facts.first.embeddings
        if bool(source) != bool(embeddings):
            raise InputError(
                "the first part has embeddings of its own"
                if source
                else "the first part has no embeddings of its own",
                where="--embeddings",
                got=embeddings,
            )
        if embeddings:
            rows = given_rows(embeddings, part, num_rows=len(part))
            known = self._features.of("part-000", first, source)
            if rows.shape[1] != known.shape[1]:
                raise InputError(
                    "embeddings of another dimension than those of the pool",
                    where=f"--embeddings: {embeddings}",
                    got=rows.shape[1],
                    expected=str(known.shape[1]),
                    remedy="Embed all parts with one model",
                )
        found = pool_parts.describe(part, embeddings)
        if pool.ids is not None:
            bare = pool_parts.without_labels(
                part, pool.classes, multilabel=pool.multilabel
            )
            pool_parts.join([pool, bare], int(pool.rows.max()) + 1)
        pool_parts.check_apart(part, self._test, "--dataset")
        return found

    def test(self, state: State) -> Examples:
        """The test set, numbered as the classes are; empty without one."""
        return pool_parts.test_with_classes(self._test, state.classes)

    def rows(self, state: State) -> tuple[np.ndarray, Clustering]:
        """Embeddings and clusters.

        Returns:
            (`[pool + test, d]` float32; clusters of the pool).
        """
        self.examples(state)
        # Made by one process; a labeling page reads beside a change.
        with lock_directory(
            self._folder / "clusters", where="--project", wait=True, beside=True
        ):
            features = [
                self._features.of(f"part-{number:03d}", part, known.embeddings)
                for number, (part, known) in enumerate(
                    zip(self.parts, state.parts, strict=False)
                )
            ]
            clustering = self._clusters.of_parts(features)
            if len(self._test):
                source = self._facts.first.embeddings
                tested = self._features.of(
                    "test",
                    self._test,
                    source,
                    by_id=pool_parts.is_apart(self.parts[0], self._test),
                )
                features = [*features, tested]
        return np.concatenate(features), clustering
