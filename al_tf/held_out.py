"""Pool and test set of a run, from the flags that name them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from al_tf import pools
from al_tf.pools import Examples
from runkit import InputError
from runkit.prepared_data import prepared_builder, split_spec
from runkit.quality import indicator

_HELD_OUT = "0.2"


def open_pool_and_test(
    dataset: str, test: str = "", classes: Sequence[str] = ()
) -> tuple[Examples, Examples]:
    """Reads pool and test set.

    Each is read with the class names of its own source; then the test set is
    numbered as the pool is.

    Args:
        dataset: the pool; see `al_tf.pools`.
        test: a split of the pool's TFDS data set, another pool, or the
            fraction of the labelled examples that is held out. Empty: TFDS's
            split `test` or `validation`, a fifth of anything else.
        classes: names of the classes, where the sources name none.

    Raises:
        InputError: one of them cannot be read, or they do not fit together.
    """
    pool = pools.open_pool(dataset, classes)
    source = source_of_test(dataset, test)
    if isinstance(source, float):
        return pools.hold_out(pool, source)
    found = pools.open_pool(source, classes, where="--test")
    found = pools.with_classes(found, pool.classes, "--test")
    pools.check_same_frame(pool, found)
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
    if not test.labelled.all():
        raise InputError(
            "test examples have no label; example ids "
            f"{test.rows[~test.labelled][:10].tolist()}",
            where="--test",
            got=test.name,
            remedy="Name a labelled split or file",
        )
    matrix = indicator(test.labels, len(test.classes))
    share = matrix.mean(0)
    if (matrix == matrix[0]).all():
        raise InputError(
            "every test example has the same label: the metric is undefined",
            where="--test",
            got=[
                c for c, on in zip(test.classes, matrix[0], strict=True) if on
            ],
            expected="at least two classes",
        )
    undefined = (share == 0) | (share == 1)
    if metric == "average_precision" and undefined.any():
        name = test.classes[int(np.flatnonzero(undefined)[0])]
        raise InputError(
            f"average precision is undefined for class {name!r}: all or none "
            "of the test examples have it",
            where="--metric",
            got=metric,
            remedy="Take --metric=accuracy, or another test set",
        )


def source_of_test(dataset: str, test: str) -> str | float:
    """Returns the pool that --test names, or the fraction to hold out.

    Raises:
        InputError: a number that is no fraction.
    """
    named = test or _default_test(dataset)
    fraction = _fraction(named)
    if fraction is not None:
        return fraction
    # A split is one part, though a slice of it has a colon: `test[:10%]`.
    if dataset.startswith("tfds:") and len(split_spec(named)) == 1:
        return f"tfds:{_tfds_name(dataset)}:{named}"
    return named


def _fraction(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not 0 <= value < 1:
        raise InputError(
            "is no fraction", where="--test", got=text,
            expected="at least 0, less than 1",
        )  # fmt: skip
    return value


def _tfds_name(spec: str) -> str:
    return split_spec(spec.removeprefix("tfds:"))[0]


def _default_test(spec: str) -> str:
    """The first split of held-out examples that have labels."""
    if not spec.startswith("tfds:"):
        return _HELD_OUT
    name = _tfds_name(spec)
    splits = prepared_builder(name).info.splits
    # GLUE's and SuperGLUE's test splits have no labels.
    order = ["validation", "validation_matched", "test"]
    if not name.startswith(("glue", "super_glue")):
        order = ["test", "validation"]
    return next((split for split in order if split in splits), _HELD_OUT)
