"""Tensors of a folder with `model.safetensors`, whole or in shards.

The files are safetensors (JSON header, raw little-endian data; nothing in them
is executed). Shards are named by `model.safetensors.index.json`.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from runkit import InputError, read_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_FLOATS = ("F32", "F16", "BF16")


def holds_tensors(folder: pathlib.Path) -> bool:
    """Whether the folder has weights in this format."""
    return (folder / WEIGHTS).is_file() or (folder / INDEX).is_file()


class TensorFolder:
    """The named tensors of a folder; each is read when it is asked for.

    Args:
        folder: with `model.safetensors`, or with an index and its shards.

    Attributes:
        shapes: {name: shape}.

    Raises:
        InputError: no such files, or one that is damaged or cut short.
    """

    def __init__(self, folder: str | os.PathLike):
        self._folder = pathlib.Path(folder)
        self._file_of: dict[str, pathlib.Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path, names in self._files().items():
            self._add(path, names)

    def _files(self) -> dict[pathlib.Path, set[str] | None]:
        """{file: names that the index gives it, None without an index}."""
        index = self._folder / INDEX
        if (self._folder / WEIGHTS).is_file() or not index.is_file():
            return {self._folder / WEIGHTS: None}
        content = read_json(index)
        shards = content.get("weight_map") if isinstance(content, dict) else 0
        # A shard lies beside the index: a path would lead out of the folder.
        if not isinstance(shards, dict) or not all(
            isinstance(name, str) and pathlib.PurePath(name).name == name
            for name in shards.values()
        ):
            raise InputError(
                "is not an index of shards",
                where=str(index),
                expected='{"weight_map": {tensor: file in the same folder}}',
            )
        files: dict[pathlib.Path, set[str] | None] = {}
        for tensor, name in shards.items():
            found = files.setdefault(self._folder / name, set())
            assert found is not None
            found.add(tensor)
        return files

    def _add(self, path: pathlib.Path, names: set[str] | None) -> None:
        with _opened(path) as handle:
            held = set(handle.keys())
            if names is not None and held != names:
                raise InputError(
                    "does not hold the tensors that the index names",
                    where=str(path),
                    got=sorted(held ^ names)[0],
                )
            for name in held:
                part = handle.get_slice(name)
                if part.get_dtype() not in _FLOATS:
                    raise InputError(
                        "is not of a floating-point type that can be read",
                        where=f"{path}, {name}",
                        got=part.get_dtype(),
                        expected=f"one of {', '.join(_FLOATS)}",
                    )
                self._file_of[name] = path
                self.shapes[name] = tuple(part.get_shape())

    def read(self, name: str) -> np.ndarray:
        """Returns a tensor as float32; narrower types widen exactly."""
        with _opened(self._file_of[name]) as handle:
            return np.asarray(handle.get_tensor(name)).astype(
                np.float32, copy=False
            )


def write_tensors(
    folder: str | os.PathLike, tensors: Mapping[str, np.ndarray]
) -> None:
    """Writes `model.safetensors` into an existing folder.

    Args:
        folder: not yet visible to readers; see `runkit.atomic_directory`.
        tensors: {name: array}; written contiguous, in their own types.
    """
    from safetensors.numpy import save_file

    save_file(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()},
        pathlib.Path(folder) / WEIGHTS,
        # transformers refuses files that do not say so.
        metadata={"format": "pt"},
    )


def _opened(path: pathlib.Path) -> Any:
    import ml_dtypes as ml_dtypes  # It gives NumPy bfloat16.
    import safetensors

    try:
        return safetensors.safe_open(path, framework="np")
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(
            f"is not a whole safetensors file ({error})",
            where=str(path),
            remedy="Copy or download it again",
        ) from None
