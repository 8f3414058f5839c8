"""Margins: how certain a model is of its answer. Small = uncertain.

Multi-class: p(1st) - p(2nd). Multi-label: |2p - 1| per class, and the
smallest over the classes: the least certain decision (Cluster-Margin,
section 3).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TypeAlias, cast

import numpy as np
from scipy import special

from al_tf.inputs.arrays import plain_array
from al_tf.inputs.checks import refuse_rows
from al_tf.inputs.embeddings import Embeddings, Source, open_embeddings
from runkit import InputError

# A whole source, or blocks of it that are streamed.
Scores: TypeAlias = Source | Iterable[np.ndarray]

# Half-precision softmax rows sum to one no better than this.
_SUM_TOLERANCE = 1e-2
# What rounding may leave outside [0, 1]; it is clipped.
_RANGE_TOLERANCE = 1e-5
# So many logits are not between 0 and 1 by chance.
_SURE = 100


def margin_scores(
    probabilities: Scores, *, from_logits: bool = False
) -> np.ndarray:
    """Margins of a multi-class model.

    Args:
        probabilities: `[n, classes]`, rows that sum to one; or the path of
            such a file or folder of shards; or an iterable of blocks, which
            are streamed.
        from_logits: the rows are logits; a softmax is applied first.

    Returns:
        `[n]` float32 in [0, 1].

    Raises:
        InputError: NaN, values outside [0, 1], rows that do not sum to one
            (their example ids are named), or fewer than two classes.
    """
    margins, are_shares = [], from_logits
    for first, block in _blocks(probabilities, from_logits):
        are_shares = are_shares and bool(_are_shares(block).all())
        if block.shape[1] < 2:
            raise InputError(
                "one class has no margin",
                where="probabilities",
                got=block.shape,
            )
        if from_logits:
            block = special.softmax(block, axis=1)
        check_probabilities(block, first)
        top = np.partition(block, -2, axis=1)[:, -2:]
        margins.append((top[:, 1] - top[:, 0]).astype(np.float32))
    _refuse_probabilities(are_shares and bool(margins))
    return np.concatenate(margins) if margins else np.zeros(0, np.float32)


def multilabel_margin_scores(
    probabilities: Scores, *, from_logits: bool = False
) -> np.ndarray:
    """Margins of a multi-label model: min over classes of |2p - 1|.

    Args:
        probabilities: `[n, classes]` in [0, 1], independent of each other;
            or a path or an iterable of blocks.
        from_logits: the values are logits; a sigmoid is applied first.

    Returns:
        `[n]` float32 in [0, 1].

    Raises:
        InputError: NaN or values outside [0, 1] (example ids are named).
    """
    margins, in_range, count = [], from_logits, 0
    for _, block in _blocks(probabilities, from_logits):
        in_range = in_range and bool(_within_range(block).all())
        count += block.size
        # |2 sigmoid(z) - 1| = tanh(|z| / 2), which cannot overflow.
        distance = (
            np.tanh(np.abs(block) / 2) if from_logits else np.abs(2 * block - 1)
        )
        margins.append(distance.min(1).astype(np.float32))
    _refuse_probabilities(in_range and count >= _SURE)
    return np.concatenate(margins) if margins else np.zeros(0, np.float32)


def check_margins(margins: np.ndarray) -> np.ndarray:
    """Returns margins as a float array, or refuses them.

    Raises:
        InputError: not one-dimensional, not floating-point, NaN, or outside
            [0, 1] by more than rounding; the example ids are named.
    """
    margins = plain_array(margins, "margins")
    if margins.dtype.name in ("float16", "bfloat16"):
        margins = margins.astype(np.float32)
    if margins.ndim != 1 or margins.dtype.kind != "f":
        raise InputError(
            "margins must be a list of floating-point numbers",
            where="margins",
            got=f"{margins.dtype} of shape {margins.shape}",
        )
    bad = ~_within_range(margins)
    refuse_rows(bad, "margins that are NaN or outside [0, 1]", where="margins")
    return np.clip(margins, 0, 1)


def check_probabilities(
    block: np.ndarray, first: int, ids: np.ndarray | None = None
) -> None:
    """Refuses rows that are not distributions over classes.

    Args:
        block: `[rows, classes]`.
        first: example id of the first row, if the rows are consecutive.
        ids: `[rows]` example ids, if they are not.

    Raises:
        InputError: not two dimensions, negative values, or rows that do not
            sum to one; the example ids are named.
    """
    if block.ndim != 2 or block.dtype.kind not in "fV":
        raise InputError(
            "must have a row per example and a column per class",
            where="probabilities",
            got=block.shape,
        )
    refuse_rows(
        ~_are_shares(block),
        "probabilities that do not sum to one",
        where="probabilities",
        first=first,
        ids=ids,
        remedy="Logits are given as such (--logits; from_logits=True), and "
        "classes that do not exclude each other with --multilabel "
        "(multilabel_margin_scores)",
    )


def _are_shares(block: np.ndarray) -> np.ndarray:
    """`[rows]` bool: rows that are distributions over classes."""
    total = block.sum(1)
    # A NaN in a row makes the sum NaN, which fails the comparison.
    return (np.abs(total - 1) <= _SUM_TOLERANCE) & _within_range(block).all(1)


def _refuse_probabilities(all_are: bool) -> None:
    """Refuses logits that are probabilities: their margins would be wrong."""
    if all_are:
        raise InputError(
            "are probabilities, not logits: each is in [0, 1]",
            where="logits",
            remedy="Give them as such: --probabilities; without "
            "from_logits=True",
        )


def _within_range(values: np.ndarray) -> np.ndarray:
    """Whether values are in [0, 1], as far as rounding allows."""
    return (values >= -_RANGE_TOLERANCE) & (values <= 1 + _RANGE_TOLERANCE)


def _blocks(
    source: Scores, from_logits: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (first example id, `[rows, classes]` float64 block), checked."""
    is_whole = hasattr(source, "dtype") or isinstance(
        source, (Embeddings, str, os.PathLike, list, tuple)
    )
    is_whole |= not isinstance(source, Iterable)
    parts = [source] if is_whole else source
    first = 0
    for part in cast(Iterable[Source], parts):
        opened = open_embeddings(part)
        for start, block in opened.blocks():
            block = block.astype(np.float64)
            bad = ~np.isfinite(block)
            if not from_logits:
                bad |= ~_within_range(block)
                block = np.clip(block, 0, 1)
            refuse_rows(
                bad.any(1),
                "NaN or infinite logits"
                if from_logits
                else "probabilities that are NaN or outside [0, 1]",
                where="probabilities",
                first=first + start,
            )
            yield first + start, block
        first += opened.shape[0]
