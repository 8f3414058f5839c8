"""The texts of a pool, one for every row of its dataset.

A row's number is its `example_id`, so none is left out, not even an empty text;
blank lines of a file are not rows. `runkit.datasets.specification` says how a
pool is named; `al_tf.pools` reads the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from runkit.datasets import open_texts
from runkit.datasets.labels import id_array


def pool_texts(spec: str) -> Iterator[bytes]:
    """Opens a pool and returns the text of every row, in order.

    Args:
        spec: `jsonl:GLOB:FIELD`, `tfds:NAME[:SPLIT][:FEATURE]` or another
            dataset of texts.

    Returns:
        The texts in UTF-8, read as they are consumed.

    Raises:
        InputError: an unknown kind, a missing file or dataset; later, a row
            without the text or with a text that is not UTF-8.
    """
    records = open_texts(spec).records()
    return ((record.text or "").encode() for record in records)


def pool_ids(spec: str, id_field: str) -> np.ndarray:
    """Reads the ids of a pool, in the order of `pool_texts`.

    Args:
        spec: a table; see `pool_texts`.
        id_field: its field of ids.

    Returns:
        `[n]` object array of str or of int.

    Raises:
        InputError: as `pool_texts`; no such field, values that are not ids, or
            an id that occurs twice.
    """
    records = open_texts(spec, id_field=id_field).records()
    return id_array([record.id for record in records], spec)
