"""Active learning in memory: query, label, update, query.

    learner = al_tf.ActiveLearner(embeddings)
    batch = learner.query(20)
    learner.update(batch, [label_of(example) for example in batch])

The embeddings are clustered once, before the first query. For runs that survive
their process see `al_tf.Project`, to compare strategies `al_tf.loop`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from al_tf.clustering.build import cluster_pool
from al_tf.clustering.options import ClusteringOptions
from al_tf.clustering.result import Clustering
from al_tf.inputs.arrays import number
from al_tf.inputs.checks import finite_float32
from al_tf.inputs.embeddings import Source, open_embeddings
from al_tf.inputs.ids import (
    ExampleIds,
    arrow_array,
    ids_of,
    naming,
    positions,
    sorted_rows,
)
from al_tf.learners.head_learner import HeadLearner
from al_tf.loop.clusters import directions
from al_tf.loop.config import LoopConfig
from al_tf.loop.round import ON_NEIGHBORS, PoolScores, choose_batch
from al_tf.protocols.known_classes import (
    KnownClasses,
    listed,
    two_classes,
)
from al_tf.selection.candidates import check_ids
from al_tf.selection.spreading.lists import neighbor_lists
from al_tf.selection.strategies import STRATEGIES
from runkit import InputError
from runkit.errors import check_choice


class ActiveLearner:
    """Chooses examples of a pool to label, and learns from the labels.

    Args:
        embeddings: `[n, d]`, anything that `al_tf.cluster_embeddings` takes.
        model: learns by `fit(inputs, labels)` and answers by
            `predict_proba(inputs)` as scikit-learn's models do; one without
            `fit` is asked as it is. None: logistic regression on the
            embeddings (`al_tf.learners.HeadLearner`).
        inputs: `[n, ...]` array, sparse matrix, table of pandas or list, what
            the model is given; by default the embeddings as float32.
        ids: `[n]` texts or whole numbers that name the examples; by default
            those that the embeddings carry, or else row numbers.
        labels: {id: label} of what is labeled already.
        classes: all classes, where the labels do not show them; needed for
            `multilabel`.
        multilabel: a label is a list of any number of classes, and the model
            learns from `[m, classes]` of 0 and 1.
        strategy: a name of `al_tf.STRATEGIES`.
        target_cluster_size: mean size of the clusters, at most n.
        metric: "cosine" or "sqeuclidean", for the clusters.
        margin_batch_size: k_m of Cluster-Margin; see `al_tf.select_batch`.
        exact: neighbors for the clusters; see `al_tf.cluster_embeddings`.
        seed: random seed of selection and of the default model.

    Raises:
        InputError: an unknown strategy, a model without `predict_proba`, ids
            or inputs that do not fit the embeddings, labels of strangers.
    """

    def __init__(
        self,
        embeddings: Source,
        model: Any = None,
        *,
        inputs: Any = None,
        ids: Sequence[Any] | np.ndarray | None = None,
        labels: Mapping[Any, Any] | None = None,
        classes: Sequence[Any] | None = None,
        multilabel: bool = False,
        strategy: str = "cluster_margin",
        target_cluster_size: float = 10,
        metric: str = "cosine",
        margin_batch_size: int | None = None,
        exact: bool | Literal["auto"] = "auto",
        seed: int = 0,
    ):
        check_choice(strategy, STRATEGIES, where="strategy")
        self._pool = open_embeddings(embeddings)
        n = self._pool.shape[0]
        self._ids = self._pool.ids if ids is None else _checked_ids(ids, n)
        with np.errstate(over="ignore"), naming(self._ids):
            self._rows = finite_float32(
                self._pool.take(np.arange(n)), where="embeddings"
            )
        self._inputs = self._rows if inputs is None else inputs
        # Sparse matrices have no length.
        shape = getattr(self._inputs, "shape", None)
        count = shape[0] if shape else len(self._inputs)
        if count != n:
            raise InputError(
                "not one input for each embedding",
                where="inputs",
                got=count,
                expected=str(n),
            )
        self._known = KnownClasses(classes, multilabel)
        self._model, self._strategy, self._seed = model, strategy, seed
        self._head: HeadLearner | None = None
        self._head_width = 0
        self._margin_batch_size = margin_batch_size
        self._options = ClusteringOptions(
            target_cluster_size=min(
                number(target_cluster_size, "target_cluster_size"), n
            ),
            metric=metric,
            exact=exact,
            seed=seed,
        ).checked(n)
        self._labels: dict[int, Any] = {}
        self._probabilities: np.ndarray | None = None
        if model is not None and not hasattr(model, "predict_proba"):
            raise InputError(
                "has no predict_proba",
                where="model",
                got=type(model).__name__,
                remedy="Wrap it in a class with fit and predict_proba",
            )
        # Fitted models of scikit-learn know their classes.
        if model is not None and (
            not hasattr(model, "fit") or hasattr(model, "classes_")
        ):
            self._ask()
        if labels:
            self.update(labels)

    @functools.cached_property
    def clustering(self) -> Clustering:
        """The clusters of the pool, made when they are first needed."""
        with naming(self._ids):
            return cluster_pool(self._pool, self._options)

    @property
    def labels(self) -> dict[Any, Any]:
        """{id: label} of all labeled examples."""
        names = self._named(np.fromiter(self._labels, np.int64)).tolist()
        return dict(zip(names, self._labels.values(), strict=True))

    @property
    def probabilities(self) -> np.ndarray | None:
        """`[n, classes]` by the model; None before it knows anything."""
        return self._probabilities

    @property
    def classes(self) -> list[Any]:
        """Classes of the columns of `probabilities`, as far as known."""
        known = getattr(self._model, "classes_", None)
        return list(self._known.classes if known is None else known)

    def query(
        self,
        batch_size: int,
        *,
        strategy: str | None = None,
        seed: int | None = None,
    ) -> np.ndarray:
        """Chooses the next examples to label.

        The same call gives the same batch until `update`. Before the model
        knows anything all examples are equally uncertain, and Cluster-Margin
        picks from as many clusters as it can.

        Args:
            batch_size: examples to choose.
            strategy: in place of the learner's own.
            seed: in place of the learner's own.

        Returns:
            `[batch_size]` ids (row numbers, where there are none) in pick
            order.

        Raises:
            PoolExhausted: fewer examples are unlabeled.
            InputError: an unknown strategy, or bad sizes.
        """
        name = strategy or self._strategy
        check_choice(name, STRATEGIES, where="strategy")
        k_m = self._margin_batch_size
        if k_m is None and self._probabilities is None:
            k_m = len(self._rows)  # A part of equals would be no better.
        batch, _ = choose_batch(
            name,
            LoopConfig(batch_size=batch_size, margin_batch_size=k_m),
            PoolScores(self._sure(), self._rows),
            np.array(sorted(self._labels), np.int64),
            self.clustering.cluster_ids,
            multilabel=self._known.multilabel,
            seed=self._seed if seed is None else seed,
            neighbors=self._neighbors if name in ON_NEIGHBORS else None,
        )
        return self._named(batch)

    def update(
        self, ids: Sequence[Any] | Mapping[Any, Any], labels: Any = None
    ) -> None:
        """Takes labels and trains the model on all labels so far.

        An example that is labeled already gets the new label. While all labels
        are of one class there is nothing to learn from.

        Args:
            ids: of the labeled examples, or {id: label}.
            labels: one for each id, where `ids` is not a mapping.

        Raises:
            InputError: ids that occur twice or are not in the pool, another
                number of labels, or what is not a label. Nothing is taken then,
                as when the model cannot be trained.
        """
        if isinstance(ids, Mapping):
            labels, ids = [*ids.values()], [*ids.keys()]
        names, given = listed(ids, "ids"), listed(labels, "labels")
        if len(names) != len(given):
            raise InputError(
                "not one label for each id",
                where="labels",
                got=len(given),
                expected=str(len(names)),
            )
        self._known.check(names, given)
        rows = self._places(names).tolist()
        before = self._labels
        self._labels = before | dict(zip(rows, given, strict=True))
        try:
            self._train()
        except Exception:
            self._labels = before
            raise

    def _train(self) -> None:
        """Trains on all labels and asks about the whole pool."""
        at = np.array(sorted(self._labels), np.int64)
        targets, is_enough = self._known.encode([self._labels[i] for i in at])
        if not is_enough:
            return
        if self._model is None:
            width = len(self._known.classes)
            if self._head is None or self._head_width != width:
                self._head = HeadLearner(
                    self._rows, width, multilabel=self._known.multilabel
                )
                self._head_width = width
            self._head.fit(at, targets, seed=self._seed)
            everyone = np.arange(len(self._rows))
            self._probabilities = self._head.score(everyone)[0]
            return
        if hasattr(self._model, "fit"):
            if not self._known.multilabel:
                targets = np.array(self._known.classes)[targets]
            self._model.fit(taken(self._inputs, at), targets)
        self._ask()

    def _ask(self) -> None:
        """Asks the given model about the whole pool."""
        found = np.asarray(self._model.predict_proba(self._inputs))
        if found.ndim != 2 or len(found) != len(self._rows):
            raise InputError(
                "must answer a row of probabilities for each input",
                where="model.predict_proba",
                got=found.shape,
                expected=f"({len(self._rows)}, classes)",
            )
        self._probabilities = found

    def _sure(self) -> np.ndarray:
        """Probabilities for the strategies: equal ones without a model."""
        known = self._known
        if self._probabilities is not None:
            if known.multilabel:
                return self._probabilities
            return two_classes(self._probabilities)
        width = max(2, len(known.classes))
        share = 0.5 if known.multilabel else 1 / width
        return np.full((len(self._rows), width), share, np.float32)

    def _named(self, rows: np.ndarray) -> np.ndarray:
        """What rows are called outside."""
        return (
            rows
            if self._ids is None
            else np.array(self._ids.take(rows).tolist())
        )

    def _places(self, names: list[Any]) -> np.ndarray:
        """Rows of names, in their order."""
        if not names:
            return np.zeros(0, np.int64)
        if self._ids is not None:
            given = ExampleIds(ids_of(arrow_array(names), "ids"))
            return positions(self._ids, given, "ids", is_complete=False)
        check_ids(np.array(names), len(self._rows), where="ids")
        return np.array(names)

    @functools.cached_property
    def _neighbors(self) -> np.ndarray:
        return neighbor_lists(directions(self._rows))


def taken(inputs: Any, rows: np.ndarray) -> Any:
    """Some of an array, a sparse matrix, a table of pandas, or a list.

    Args:
        inputs: `[n, ...]`.
        rows: `[m]` int64.
    """
    if hasattr(inputs, "iloc"):
        return inputs.iloc[rows]
    if hasattr(inputs, "shape"):
        return inputs[rows]
    return [inputs[row] for row in rows]


def _checked_ids(ids: Any, n: int) -> ExampleIds:
    """Names of the rows, one for each."""
    found = ExampleIds(ids_of(arrow_array(listed(ids, "ids")), "ids"))
    if len(found) != n:
        raise InputError(
            "not one id for each embedding",
            where="ids",
            got=len(found),
            expected=str(n),
        )
    sorted_rows(found, "ids")
    return found
