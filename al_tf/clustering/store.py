"""The files of a clustering: plain `.npy` arrays and one JSON each.

    DIR/clustering.json, cluster_ids.npy, ...   a `Clustering`
    DIR/neighbors/neighbors.json, ids.npy, ...  what the search found

Each directory appears whole or not at all. The JSON names the format version
and every array's shape, so that a damaged directory is refused.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
from typing import Any

import numpy as np

from al_tf.clustering.result import Clustering
from al_tf.inputs.embeddings import open_npy
from al_tf.neighbors.protocol import Neighbors
from runkit import InputError, atomic_directory, read_json, write_json
from runkit.files import check_folder, write_npy

FORMAT_VERSION = 1
_ARRAYS = (
    "cluster_ids",
    "merge_distances",
    "merges",
    "centers",
    "variances",
    "origin",
)
_NEIGHBORS = "neighbors"
_OWN = {"clustering.json", _NEIGHBORS, *(f"{name}.npy" for name in _ARRAYS)}
_OWN_OF_NEIGHBORS = {"neighbors.json", "ids.npy", "bound.npy"}


def is_clustering(path: str | os.PathLike) -> bool:
    """Whether a finished clustering lies in the directory."""
    return (pathlib.Path(path) / "clustering.json").exists()


def check_replaceable(path: str | os.PathLike) -> None:
    """Refuses a place where a clustering would delete anything else.

    Raises:
        InputError: a file, a folder with other files, or no place at all.
    """
    path = pathlib.Path(path)
    check_folder(path, where="clustering")
    for folder, own in (
        (path, _OWN),
        (path / _NEIGHBORS, _OWN_OF_NEIGHBORS),
    ):
        check_folder(folder, where="clustering")
        names = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
        others = sorted(
            name for name in names - own if not name.startswith(".tmp-")
        )
        if others:
            raise InputError(
                f"holds other files than a clustering: {others[0]}",
                where=str(folder),
                remedy="Name an empty or a new directory",
            )


def save_clustering(clustering: Clustering, path: str | os.PathLike) -> None:
    """Writes the directory; neighbors kept there survive."""
    path = pathlib.Path(path)
    check_replaceable(path)
    fields = dataclasses.asdict(clustering)
    arrays = {name: fields.pop(name) for name in _ARRAYS}
    with atomic_directory(path, replace=True) as folder:
        _write(folder, "clustering.json", fields, arrays)
        if (path / _NEIGHBORS).is_dir():
            # Hard links cost nothing; elsewhere the files are copied.
            shutil.copytree(
                path / _NEIGHBORS, folder / _NEIGHBORS, copy_function=_link
            )


def load_clustering(path: str | os.PathLike) -> Clustering:
    """Opens what `Clustering.save` wrote.

    Raises:
        InputError: no clustering there, of another version, or damaged.
    """
    path = pathlib.Path(path)
    if not is_clustering(path):
        raise InputError("holds no clustering", where=str(path))
    fields, arrays = _read(path, "clustering.json")
    values: dict[str, Any] = {**fields, **arrays}
    try:
        return Clustering(**values)
    except TypeError as error:
        raise InputError(
            f"is not a whole clustering ({error})", where=str(path)
        ) from None


def save_neighbors(
    path: pathlib.Path,
    key: dict[str, Any],
    answer: Neighbors,
    probe: dict[str, Any],
) -> None:
    """Keeps the neighbors under the key of pool and settings."""
    check_replaceable(path)
    with atomic_directory(path / _NEIGHBORS, replace=True) as folder:
        _write(
            folder,
            "neighbors.json",
            {"key": key, "probe": probe},
            {"ids": answer.ids, "bound": answer.bound},
        )


def load_neighbors(
    path: pathlib.Path, key: dict[str, Any]
) -> tuple[Neighbors, dict[str, Any]] | None:
    """Returns (neighbors, probe), or None if there are none for the key."""
    folder = path / _NEIGHBORS
    if not (folder / "neighbors.json").exists():
        return None
    fields, arrays = _read(folder, "neighbors.json")
    if fields["key"] != key:
        return None
    return Neighbors(arrays["ids"], arrays["bound"]), fields["probe"]


def _write(
    folder: pathlib.Path,
    name: str,
    fields: dict[str, Any],
    arrays: dict[str, np.ndarray],
) -> None:
    for key, array in arrays.items():
        write_npy(folder / f"{key}.npy", array)
    shapes = {key: list(array.shape) for key, array in arrays.items()}
    write_json(
        folder / name,
        {**fields, "format_version": FORMAT_VERSION, "arrays": shapes},
    )


def _read(
    folder: pathlib.Path, name: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    fields = read_json(folder / name)
    version = fields.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise InputError(
            "written in another format version",
            where=str(folder / name),
            got=version,
            expected=str(FORMAT_VERSION),
            remedy="Delete the directory and cluster again",
        )
    arrays = {}
    for key, shape in fields.pop("arrays").items():
        # Read whole: the arrays outlive a directory that is replaced.
        array = np.array(open_npy(folder / f"{key}.npy"))
        if list(array.shape) != shape:
            raise InputError(
                "damaged: not the shape that the directory states",
                where=str(folder / f"{key}.npy"),
                got=list(array.shape),
                expected=str(shape),
                remedy="Delete the directory and cluster again",
            )
        arrays[key] = array
    return fields, arrays


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
