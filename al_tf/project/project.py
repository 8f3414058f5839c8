"""A labeling project: a folder that people, tools and models work on.

DIR/project.json     settings, fixed at the creation
    events/          what happened since; see `journal`
    clusters/        of the pool; can be made again
    features/        embeddings of the parts; can be made again
    to_label/        tasks for people
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from al_tf.clustering.result import Clustering
from al_tf.label_tools.answers import LABEL, Asked, Given, resolve
from al_tf.label_tools.readers import read_answers
from al_tf.label_tools.records import Names
from al_tf.loop.label_files import check_names
from al_tf.pools.pool import Examples
from al_tf.project import creation
from al_tf.project.examples import parts as pool_parts
from al_tf.project.examples.features import Embed
from al_tf.project.examples.growing_pool import GrowingPool
from al_tf.project.record.journal import Journal
from al_tf.project.record.state import BatchRecord, Replay, State
from al_tf.project.record.taking import Taken, answers_event
from al_tf.project.record.votes import Agreement, agreement, resolved_labels
from al_tf.project.selection import Chosen, Labeled, choose, train
from al_tf.project.settings import Settings
from runkit import InputError
from runkit.datasets.labels import check_added
from runkit.files import lock_directory, remove_leftovers

ANNOTATOR = "people"

Batch = BatchRecord


class Project:
    """A project that is there; `create` makes a new one.

    Args:
        folder: of the project.
        embed: `[n]` texts to `[n, d]` float32; needed where the pool holds
            texts.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        embed: Embed | None = None,
    ):
        self.folder = pathlib.Path(folder)
        facts = creation.read_facts(self.folder)
        self.name, self.settings = facts.name, facts.settings
        self._facts = facts
        self._journal = Journal(self.folder / "events")
        self._replay = Replay(facts.classes, facts.first)
        self._growing = GrowingPool(self.folder, facts, embed)

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike,
        settings: Settings,
        embed: Embed | None = None,
    ) -> Project:
        """Creates a project, or opens the same one where it is there.

        Args:
            folder: new or empty, or that of the same project.
            settings: fixed from now on.
            embed: as for the class.

        Raises:
            InputError: settings or a pool that cannot be used; a folder with
                something else in it.
        """
        creation.create_folder(pathlib.Path(folder), settings)
        return cls(folder, embed)

    @property
    def state(self) -> State:
        """Where the project stands, as the files say now."""
        return self._replay.of(self._journal.events())

    @property
    def pool(self) -> Examples:
        """All examples of the pool, without labels, with all classes."""
        return self._growing.examples(self.state)

    @property
    def test(self) -> Examples:
        """The test set; empty without one."""
        return self._growing.test(self.state)

    @property
    def clustering(self) -> Clustering:
        """Clusters of the pool, as it is now."""
        return self.clustered(self.state)[1]

    def clustered(self, state: State) -> tuple[np.ndarray, Clustering]:
        """`[pool + test, d]` float32 embeddings, and clusters of the pool."""
        return self._growing.rows(state)

    def labels(self) -> dict[Any, tuple[str, ...]]:
        """Class names of the examples whose label is decided."""
        return resolved_labels(self.state.answers, self.settings)

    def agreement(self) -> Agreement:
        """How far the annotators agree."""
        return agreement(self.state.answers, self.labels())

    @contextlib.contextmanager
    def _changing(self) -> Iterator[State]:
        # Others hold it only for the moment of a change.
        with lock_directory(self.folder, where="--project", wait=True):
            remove_leftovers(self.folder)
            yield self.state

    def take_file(
        self,
        path: str | os.PathLike,
        *,
        tool: str = "",
        label: str = "label",
        annotator: str = "",
        accept_changes: bool = False,
        any_example: bool = False,
    ) -> Taken:
        """Takes the answers of a file; those that are known change nothing.

        Args:
            path: of any tool; see `al_tf.label_tools.readers`.
            tool: its form; "" looks at the file.
            label: name of the column, control or question.
            annotator: who answered, where the file does not say.
            accept_changes: answers that differ from earlier ones of the same
                annotator replace them, with a trace.
            any_example: the whole pool may be answered, not only what was
                asked for: labels that were there before the project.

        Raises:
            InputError: anything in the file that does not fit; nothing of it
                is taken then.
        """
        state, pool = self.state, self.pool
        ids = {**state.asked, **dict.fromkeys(state.answers)}
        asked = Asked(
            pool.named.tolist() if any_example else list(ids),
            state.classes,
            self.settings.multilabel,
            [batch.name for batch in state.batches],
        )
        names = Names(pool.id_name, label, self.settings.multilabel)
        answers = (
            answer._replace(
                annotator=answer.annotator or annotator or ANNOTATOR
            )
            for answer in read_answers(path, names, tool)
        )
        given = resolve(answers, asked, str(path))
        return self.take(
            given,
            source=pathlib.Path(path).name,
            accept_changes=accept_changes,
        )

    def take(
        self,
        given: Iterable[Given],
        *,
        source: str,
        accept_changes: bool = False,
    ) -> Taken:
        """Takes answers that are checked, all of them in one event.

        Args:
            given: in the pool's own terms, one for each example and annotator.
            source: file or program that they came from, for the trace.
            accept_changes: see `take_file`.

        Raises:
            InputError: changed answers that are not accepted.
        """
        with self._changing() as state:
            taken, event = answers_event(
                state, given, source, accept_changes=accept_changes
            )
            if event:
                self._journal.append("answers", event)
            return taken

    def take_pool_labels(self) -> Taken:
        """Takes the labels that the first part of the pool has."""
        pool = self._growing.parts[0]
        classes, given = pool.classes, []
        names = pool.named.tolist()
        for row in np.flatnonzero(pool.labeled).tolist():
            label = pool.labels[row]
            chosen = np.flatnonzero(label) if pool.multilabel else [label]
            found = tuple(classes[number] for number in chosen)
            given.append(Given(names[row], "dataset", LABEL, found))
        return self.take(given, source=self.settings.dataset)

    def add_classes(self, names: Sequence[str]) -> None:
        """Adds classes after those that are there.

        Raises:
            InputError: a name that is there already, in this or another
                spelling or case, or that cannot be written into a labels file.
        """
        with self._changing() as state:
            added = [name for name in names if name not in state.classes]
            check_added(added, state.classes, "--classes")
            check_names(
                pool_parts.without_labels(
                    self._growing.parts[0],
                    [*state.classes, *added],
                    multilabel=self.settings.multilabel,
                )
            )
            if added:
                self._journal.append("classes", {"added": added})

    def grow(self, dataset: str, embeddings: str = "") -> Examples:
        """Adds the examples of another source to the pool.

        Args:
            dataset: as the first part's; its labels are not used.
            embeddings: file of its embeddings, where the first part has one.

        Returns:
            The whole pool.

        Raises:
            InputError: it cannot be read, holds other things than the pool,
                or ids that the pool or the test set has.
        """
        with self._changing() as state:
            found = self._growing.next_part(state, dataset, embeddings)
            if found is not None:
                self._journal.append("pool", found._asdict())
        return self.pool

    def next_batch(
        self,
        size: int | None = None,
        probabilities: np.ndarray | None = None,
    ) -> Batch:
        """Chooses what to label next.

        A batch that nobody has begun to answer is given again. Otherwise the
        answers so far, complete or not, train a model, and Cluster-Margin
        chooses from all examples that were never asked for.

        Args:
            size: of the batch; None: that of the settings. The rest of the
                pool where that is less.
            probabilities: `[n, classes]` of a model of your own over the whole
                pool, in place of the project's.

        Raises:
            InputError: nothing is left to ask for.
        """
        with self._changing() as state:
            last = state.batches[-1] if state.batches else None
            if last and not any(i in state.answers for i in last.ids):
                return last
            chosen = self._choose(state, size, probabilities)
            record = chosen.record(
                f"{self.name}-{len(state.batches):03d}", self.pool
            )
            self._journal.append("batch", record._asdict())
            return record

    def _choose(
        self,
        state: State,
        size: int | None,
        probabilities: np.ndarray | None,
    ) -> Chosen:
        pool, test, labeled = self.pool, self.test, self._labeled(state)
        if len(labeled.positions) or probabilities is not None:
            rows, clustering = self._growing.rows(state)
            cluster_ids = clustering.cluster_ids
        else:
            # Nothing is known: the choice is random and looks at no rows.
            rows = np.zeros((0, 1), np.float32)
            cluster_ids = np.zeros(len(pool), np.int64)
        return choose(
            pool,
            test,
            rows,
            cluster_ids,
            labeled,
            self.settings,
            size=size,
            number=len(state.batches),
            probabilities=probabilities,
        )

    def _labeled(self, state: State) -> Labeled:
        excluded = [*state.asked, *state.answers]
        return Labeled.of(self.pool, self.labels(), excluded)

    def probabilities(self) -> np.ndarray:
        """`[pool, classes]` of a model that all labels so far train.

        Raises:
            InputError: there are no labels.
        """
        state = self.state
        labeled = self._labeled(state)
        if not len(labeled.positions):
            raise InputError("has no labels yet", where="--project")
        scores = train(
            self.pool,
            self.test,
            self._growing.rows(state)[0],
            labeled,
            self.settings,
            self.settings.seed,
        )
        assert scores.pool is not None
        return scores.pool.probabilities
