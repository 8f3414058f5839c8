"""The pool of a project: its parts read, checked and joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from al_tf.pools import held_out
from al_tf.pools.pool import UNKNOWN, Examples, open_pool, with_classes
from al_tf.project.record.state import Part
from al_tf.project.settings import Settings
from runkit import InputError
from runkit.datasets.labels import id_array


def open_first(settings: Settings) -> tuple[Examples, Examples]:
    """Reads the first part, with its own labels, and the test set.

    Raises:
        InputError: one of them cannot be read, or the test set has another
            kind of labels than the project.
    """
    pool, test = held_out.open_pool_and_test(
        settings.dataset,
        settings.test,
        settings.classes,
        settings.id_column,
        # Embeddings of a test set of its own are found by nothing else.
        test_ids=bool(settings.embeddings),
    )
    if is_apart(pool, test):
        check_apart(pool, test, "--test")
    if len(test) and test.multilabel != settings.multilabel:
        raise InputError(
            "has labels of another kind than the project",
            where="--multilabel",
            got=settings.multilabel,
            expected=str(test.multilabel),
        )
    return pool, test


def is_apart(pool: Examples, test: Examples) -> bool:
    """Whether a test set is of another source than the pool."""
    return bool(len(test)) and test.name != pool.name


def check_apart(examples: Examples, test: Examples, where: str) -> None:
    """Refuses examples that are in the test set, as far as ids say it.

    Raises:
        InputError: an id is in both.
    """
    if examples.ids is None or test.ids is None:
        return
    tested = set(test.ids.tolist())
    both = [name for name in examples.ids.tolist() if name in tested]
    if both:
        shown = ", ".join(map(repr, both[:5])) + ", ..." * (len(both) > 5)
        raise InputError(
            f"{len(both)} ids are in the test set too: {shown}",
            where=where,
            remedy="What is learned from an example must not be measured on "
            "it: leave these out",
        )


def without_labels(
    pool: Examples, classes: Sequence[str], *, multilabel: bool
) -> Examples:
    """The same examples, labeled by nobody, with the project's classes."""
    shape = (len(pool), len(classes)) if multilabel else (len(pool),)
    return dataclasses.replace(
        pool,
        labels=np.full(shape, UNKNOWN, np.int8 if multilabel else np.int64),
        classes=tuple(classes),
        multilabel=multilabel,
    )


def describe(pool: Examples, embeddings: str = "") -> Part:
    """What a project remembers of a part: no labels, no classes."""
    bare = without_labels(pool, (), multilabel=False)
    return Part(pool.name, len(pool), bare.fingerprint, embeddings)


def check_unchanged(pool: Examples, part: Part) -> None:
    """Refuses a part whose source has changed since it joined.

    Raises:
        InputError: other examples, inputs or ids than then.
    """
    found = describe(pool, part.embeddings)
    if found != part:
        raise InputError(
            "has changed since it became part of the project",
            where=part.dataset,
            got=f"{found.examples} examples, fingerprint {found.fingerprint}",
            expected=f"{part.examples} examples, fingerprint "
            f"{part.fingerprint}",
            remedy="Put the old file back; new examples join by "
            "--action=grow from a file of their own",
        )


def open_part(dataset: str, first: Examples, id_column: str) -> Examples:
    """Reads a part that joins later.

    Raises:
        InputError: it cannot be read, or holds other things than the pool.
    """
    pool = open_pool(dataset, id_column=id_column)
    mine = pool.kind, pool.inputs.shape[1:]
    expected = first.kind, first.inputs.shape[1:]
    if mine != expected:
        raise InputError(
            "examples of another shape than those of the pool",
            where="--dataset",
            got=f"{mine[0]} of shape {list(mine[1])}",
            expected=f"{expected[0]} of shape {list(expected[1])}",
        )
    return pool


def join(parts: Sequence[Examples], first_new_row: int) -> Examples:
    """Joins parts; rows of later ones are counted on.

    Args:
        parts: with the same classes.
        first_new_row: row of the second part's first example.

    Raises:
        InputError: an id of one part is in another too.
    """
    first, rows, ids = parts[0], [parts[0].rows], None
    for part in parts[1:]:
        rows.append(part.rows + first_new_row)
        first_new_row += int(part.rows.max()) + 1
    if first.ids is not None:
        found = [p.ids for p in parts if p.ids is not None]
        ids = id_array(np.concatenate(found).tolist(), "the project's pool")
    return dataclasses.replace(
        first,
        inputs=np.concatenate([part.inputs for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        rows=np.concatenate(rows),
        ids=ids,
    )


def test_with_classes(test: Examples, classes: Sequence[str]) -> Examples:
    """The test set, numbered as the project's classes are."""
    if not len(test):
        multilabel = test.multilabel
        return without_labels(test, classes, multilabel=multilabel)
    if test.multilabel:
        # A class that was added later has no test example yet.
        missing = len(classes) - len(test.classes)
        labels = np.pad(test.labels, ((0, 0), (0, missing)))
        return dataclasses.replace(test, labels=labels, classes=tuple(classes))
    return with_classes(test, classes, "--test")
