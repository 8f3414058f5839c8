"""Fixed embeddings of a project's parts, computed once."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np

from al_tf.inputs.checks import finite_float32
from al_tf.inputs.embeddings import open_npy
from al_tf.inputs.pool_files import read_pool
from al_tf.learners.head_learner import plain_features
from al_tf.pools.pool import Examples
from runkit import InputError
from runkit.datasets.labels import id_key
from runkit.files import write_npy

_SHOWN = 10
Embed = Callable[[Examples], np.ndarray]


class Features:
    """Embeddings of pool and test set.

    Args:
        folder: where those of texts are kept.
        embed: turns examples into `[n, d]` float32; None: only embeddings and
            images can be used.
    """

    def __init__(self, folder: pathlib.Path, embed: Embed | None):
        self._folder, self._embed = folder, embed
        self._known: dict[str, np.ndarray] = {}

    def of(
        self,
        name: str,
        examples: Examples,
        source: str = "",
        *,
        by_id: bool = False,
    ) -> np.ndarray:
        """Embeddings of a part.

        Args:
            name: of the part, such as "part-000"; its examples never change.
            examples: of the part.
            source: file of their embeddings; "" computes them.
            by_id: see `given_rows`.

        Returns:
            `[n, d]` float32.

        Raises:
            InputError: texts without `embed`; examples without a row.
        """
        if name not in self._known:
            self._known[name] = (
                given_rows(source, examples, by_id=by_id)
                if source
                else self._read_or_make(name, examples)
            )
        return self._known[name]

    def _read_or_make(self, name: str, examples: Examples) -> np.ndarray:
        path = self._folder / f"{name}.npy"
        if self._embed is None:
            if examples.kind == "text":
                raise InputError(
                    "is missing: texts need an encoder",
                    where="--init_from",
                    expected="a run, a T5 of KerasHub or Hugging Face, or "
                    "--embeddings of your own",
                )
            return plain_features(examples.kind, examples.inputs)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = np.asarray(self._embed(examples), np.float32)
            if rows.ndim != 2 or len(rows) != len(examples):
                raise InputError(
                    "not one row for each example",
                    where="embed",
                    got=list(rows.shape),
                    expected=f"[{len(examples)}, d]",
                )
            write_npy(path, rows)
        return np.array(open_npy(path))


def given_rows(
    path: str,
    examples: Examples,
    where: str = "--embeddings",
    *,
    num_rows: int | None = None,
    by_id: bool = False,
) -> np.ndarray:
    """Reads the row of each example from a file.

    Args:
        path: `.npy`, or a table with ids and one column of lists; it may
            hold more rows than are asked for.
        examples: the examples whose rows are wanted.
        where: flag, for messages.
        num_rows: of the examples' source: without ids, the file has as many.
            None: it has not fewer than are asked for.
        by_id: the examples are not of the source whose order the file may
            have; they have a row only by their ids.

    Returns:
        `[n, d]` float32 in the order of the examples. Without ids, the file's
        rows are those of the examples' source.

    Raises:
        InputError: examples without a row.
    """
    found = read_pool(path, where=where)
    rows = np.concatenate([block for _, block in found.blocks()])
    if by_id and (found.ids is None or examples.ids is None):
        raise InputError(
            "which rows are those of the test set? There are no ids",
            where=f"{where}: {path}",
            expected="ids (--id_column) in the embeddings, the pool and the "
            "test set",
            remedy="Or hold out a part of the pool (--test=0.2), or measure "
            "nothing (--test=0)",
        )
    if found.ids is None:
        least = int(examples.rows.max()) + 1
        if len(rows) != (num_rows or max(least, len(rows))):
            raise InputError(
                "not one row for each example",
                where=f"{where}: {path}",
                got=len(rows),
                expected=f"{num_rows or f'at least {least}'} rows in the order "
                "of the examples, or ids",
            )
        rows = rows[examples.rows]
        return finite_float32(
            rows, where=f"{where}: {path}", ids=examples.named
        )
    names = examples.named.tolist()
    is_text = any(isinstance(name, str) for name in names)
    ids = found.ids.take(np.arange(len(rows))).tolist()
    places = {id_key(name, is_text=is_text): i for i, name in enumerate(ids)}
    missing = [name for name in names if name not in places]
    if missing:
        shown = ", ".join(map(str, missing[:_SHOWN]))
        raise InputError(
            f"{len(missing)} examples have no row: {shown}",
            where=f"{where}: {path}",
            expected="the ids of the pool",
        )
    rows = rows[[places[name] for name in names]]
    return finite_float32(rows, where=f"{where}: {path}", ids=examples.named)
