"""Pool and test set of a run, from the flags that name them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from al_tf.pools import pool as pools
from al_tf.pools.pool import Examples
from runkit import InputError
from runkit.datasets import LABELED_KINDS, Specification, parse, prepared_data
from runkit.quality import check_defined

_HELD_OUT = "0.2"


def open_pool_and_test(
    dataset: str,
    test: str = "",
    classes: Sequence[str] = (),
    id_column: str = "",
    *,
    test_ids: bool = False,
) -> tuple[Examples, Examples]:
    """Reads pool and test set.

    Each is read with the class names of its own source; then the test set is
    numbered as the pool is.

    Args:
        dataset: the pool; see `al_tf.pools.pool`.
        test: a split of the pool's TFDS data set, another pool, or the
            fraction of the labeled examples that is held out. Empty: TFDS's
            split `test` or `validation`, if the pool is another, and a fifth
            of anything else.
        classes: names of the classes, where the sources name none.
        id_column: of the pool; see `open_pool`.
        test_ids: a test set of its own has this column too.

    Raises:
        InputError: one of them cannot be read, they do not fit together, or
            the test set has examples of the pool.
    """
    pool = pools.open_pool(dataset, classes, id_column=id_column)
    source = source_of_test(dataset, test)
    if isinstance(source, float):
        return pools.hold_out(pool, source)
    check_apart(dataset, source)
    found = pools.open_pool(
        source,
        classes,
        where="--test",
        id_column=id_column if test_ids else "",
    )
    found = pools.with_classes(found, pool.classes, "--test")
    pools.check_same_frame(pool, found)
    if found.fingerprint == pool.fingerprint:
        raise InputError("is the pool itself", where="--test", got=source)
    return pool, found


def check_test(test: Examples, metric: str) -> None:
    """Refuses a test set on which the metric is undefined or says nothing.

    Args:
        test: with labels; an empty one passes: nothing is measured then.
        metric: "accuracy" or "average_precision".

    Raises:
        InputError: one class only, or for average precision a class without
            any example of it or with nothing else; examples without a label.
    """
    if not len(test):
        return
    if not test.labeled.all():
        raise InputError(
            "test examples have no label; example ids "
            f"{test.named[~test.labeled][:10].tolist()}",
            where="--test",
            got=test.name,
            remedy="Name a labeled split or file",
        )
    check_defined(test.labels, test.classes, metric)


def source_of_test(dataset: str, test: str) -> str | float:
    """Returns the pool that --test names, or the fraction to hold out.

    Raises:
        InputError: a number that is not a fraction.
    """
    named = test or _default_test(dataset)
    fraction = _fraction(named)
    if fraction is not None:
        return fraction
    # A split is one part, though a slice of it has a colon: `test[:10%]`.
    if dataset.startswith("tfds:") and (
        len(prepared_data.split_spec(named)) == 1
    ):
        pool = _parsed(dataset)
        parts = ["tfds", pool.path, named, pool.text_field, pool.label_field]
        return ":".join(parts).rstrip(":")
    return named


def _fraction(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not 0 <= value < 1:
        raise InputError(
            "is not a fraction",
            where="--test",
            got=text,
            expected="at least 0, less than 1",
        )
    return value


def _parsed(spec: str, where: str = "--dataset") -> Specification:
    return parse(spec, where=where, kinds=LABELED_KINDS)


def _parts_read(spec: str) -> list[tuple[str, int, int]]:
    """(split, first row, row after the last) of what `spec` reads."""
    import tensorflow_datasets as tfds

    parsed = _parsed(spec, "--test")
    builder = prepared_data.prepared_builder(parsed.path, "--test")
    splits = builder.info.splits
    lengths = {key: splits[key].num_examples for key in splits}
    read = tfds.core.ReadInstruction.from_spec(parsed.split)
    return [
        (part.splitname, part.from_ or 0, part.to or lengths[part.splitname])
        for part in read.to_absolute(splits)
    ]


def check_apart(dataset: str, test: str) -> None:
    """Refuses a split as test set that has rows of the pool.

    Args:
        dataset: specification of the pool.
        test: specification of the test set.

    Raises:
        InputError: both are parts of one TFDS dataset and share examples.
    """
    both = dataset, test
    if not all(spec.startswith("tfds:") for spec in both):
        return
    if _parsed(dataset).path != _parsed(test, "--test").path:
        return
    for split, first, last in _parts_read(dataset):
        for other, start, end in _parts_read(test):
            if split == other and start < last and first < end:
                raise InputError(
                    "has examples of the pool",
                    where="--test",
                    got=test,
                    remedy="Name another split, or the fraction to hold out",
                )


def _default_test(spec: str) -> str:
    """The first split of held-out examples that have labels."""
    if not spec.startswith("tfds:"):
        return _HELD_OUT
    parsed = _parsed(spec)
    name = parsed.path
    splits = prepared_data.prepared_builder(name).info.splits
    read = set(re.findall(r"\w+", parsed.split))
    # GLUE's and SuperGLUE's test splits have no labels.
    order = ["validation", "validation_matched"]
    if not name.startswith(("glue", "super_glue")):
        order = ["test", "validation"]
    free = (split for split in order if split in splits and split not in read)
    return next(free, _HELD_OUT)
