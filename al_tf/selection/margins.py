"""Margins: how sure a model is of its answer. Small margin = uncertain.

Multi-class: p(1st) - p(2nd). Multi-label: |2p - 1| per class, and the
smallest over the classes: the least sure of its decisions (Cluster-Margin,
section 3).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from al_tf.inputs.embeddings import open_embeddings
from runkit import InputError

# Half-precision softmax rows sum to one no better than this.
_SUM_TOLERANCE = 1e-2


def margin_scores(
    probabilities: Any, *, from_logits: bool = False
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
    margins = [
        _margins(_softmax(block) if from_logits else block, first)
        for first, block in _blocks(probabilities, from_logits)
    ]
    return np.concatenate(margins) if margins else np.zeros(0, np.float32)


def multilabel_margin_scores(
    probabilities: Any, *, from_logits: bool = False
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
    margins = []
    for _, block in _blocks(probabilities, from_logits):
        # |2 sigmoid(z) - 1| = tanh(|z| / 2), which cannot overflow.
        distance = (
            np.tanh(np.abs(block) / 2) if from_logits else np.abs(2 * block - 1)
        )
        margins.append(distance.min(1).astype(np.float32))
    return np.concatenate(margins) if margins else np.zeros(0, np.float32)


def check_margins(margins: np.ndarray) -> np.ndarray:
    """Returns margins as a float array, or refuses them.

    Raises:
        InputError: not one-dimensional, not floating-point, NaN, or outside
            [0, 1]; the example ids are named.
    """
    margins = np.asarray(margins)
    if margins.dtype.name in ("float16", "bfloat16"):
        margins = margins.astype(np.float32)
    if margins.ndim != 1 or margins.dtype.kind != "f":
        raise InputError(
            "margins must be a list of floating-point numbers",
            where="margins",
            got=f"{margins.dtype} of shape {margins.shape}",
        )
    bad = ~((margins >= 0) & (margins <= 1))
    _refuse(bad, 0, "margins that are NaN or outside [0, 1]", "margins")
    return margins


def check_probabilities(
    block: np.ndarray, first: int, ids: np.ndarray | None = None
) -> None:
    """Refuses rows that are no distribution over classes.

    Args:
        block: `[rows, classes]`.
        first: example id of the first row, where the rows are neighbors.
        ids: `[rows]` example ids, where they are not.
    """
    if block.ndim != 2:
        raise InputError(
            "must have a row an example and a column a class",
            where="probabilities",
            got=block.shape,
        )
    total = block.sum(1)
    # A NaN in a row makes the sum one, too, and fails the comparison.
    good = (np.abs(total - 1) <= _SUM_TOLERANCE) & (block >= 0).all(1)
    _refuse(
        ~good,
        first,
        "probabilities that do not sum to one",
        "probabilities",
        "Pass logits with from_logits=True, or use the multi-label margins",
        ids,
    )


def _blocks(source: Any, from_logits: bool) -> Iterator[tuple[int, np.ndarray]]:
    is_stream = isinstance(source, Iterable) and not (
        hasattr(source, "dtype")
        or isinstance(source, (str, os.PathLike, list, tuple))
    )
    first = 0
    for part in source if is_stream else [source]:
        opened = open_embeddings(part)
        for start, block in opened.blocks():
            block = block.astype(np.float64)
            bad = ~np.isfinite(block)
            if not from_logits:
                bad |= (block < 0) | (block > 1)
            _refuse(
                bad.any(1),
                first + start,
                "NaN or infinite logits"
                if from_logits
                else "probabilities that are NaN or outside [0, 1]",
                "probabilities",
            )
            yield first + start, block
        first += opened.shape[0]


def _margins(block: np.ndarray, first: int) -> np.ndarray:
    if block.shape[1] < 2:
        raise InputError(
            "one class has no margin", where="probabilities", got=block.shape
        )
    check_probabilities(block, first)
    top = np.partition(block, -2, axis=1)[:, -2:]
    return (top[:, 1] - top[:, 0]).astype(np.float32)


def _softmax(block: np.ndarray) -> np.ndarray:
    scores = np.exp(block - block.max(1, keepdims=True))
    return scores / scores.sum(1, keepdims=True)


def _refuse(
    bad: np.ndarray,
    first: int,
    what: str,
    where: str,
    remedy: str = "",
    ids: np.ndarray | None = None,
) -> None:
    if bad.any():
        named = first + np.flatnonzero(bad) if ids is None else ids[bad]
        shown = ", ".join(str(i) for i in named[:10])
        raise InputError(
            f"{what} in {len(named)} rows; example ids {shown}"
            + (", ..." if len(named) > 10 else ""),
            where=where,
            remedy=remedy,
        )
