"""Fixed embeddings of a project's parts, computed once."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np

from al_tf.inputs.embeddings import open_npy
from al_tf.learners.head_learner import plain_features
from al_tf.pools.pool import Examples
from runkit import InputError
from runkit.files import write_npy

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

    def of(self, name: str, examples: Examples) -> np.ndarray:
        """Embeddings of a part.

        Args:
            name: of the part, such as "part-000"; its examples never change.
            examples: of the part.

        Returns:
            `[n, d]` float32.

        Raises:
            InputError: texts without `embed`.
        """
        if name not in self._known:
            self._known[name] = self._read_or_make(name, examples)
        return self._known[name]

    def _read_or_make(self, name: str, examples: Examples) -> np.ndarray:
        path = self._folder / f"{name}.npy"
        if self._embed is None:
            if examples.kind == "text":
                raise InputError(
                    "is missing: texts need an encoder",
                    where="--init_from",
                    expected="a run, or a T5 of KerasHub or Hugging Face",
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
