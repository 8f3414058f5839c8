"""The files of a clustering: plain `.npy` arrays and one JSON file each.

    DIR/clustering.json, cluster_ids.npy, ...   a `Clustering`
    DIR/neighbors/neighbors.json, ids.npy, ...  the answer of the first search

Each directory appears whole or not at all. The JSON names the format version
and every array's shape; `checksums.json` beside it has the checksum of every
file, so that a damaged directory is refused.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import zlib
from typing import Any

import numpy as np

from al_tf.clustering.cluster_search import FirstAnswer
from al_tf.inputs.embeddings import open_npy
from al_tf.inputs.ids import ExampleIds
from al_tf.neighbors.protocol import Neighbors, Probe
from runkit import (
    InputError,
    atomic_directory,
    atomic_write,
    read_json,
    write_json,
)
from runkit.files import (
    check_checksums,
    check_folder,
    write_checksums,
    write_npy,
)
from runkit.files.checksums import CHECKSUMS

FORMAT_VERSION = 1
# The arrays of a clustering; everything else about it is in the JSON.
ARRAYS = (
    "cluster_ids",
    "merge_distances",
    "merges",
    "centers",
    "variances",
    "origin",
)
_NEIGHBORS = "neighbors"
_MEMBERS = "clusters.parquet"
_IDS = "ids_checksum"
_AGAIN = "Delete the directory and cluster again"
_OWN = {
    CHECKSUMS,
    "clustering.json",
    _NEIGHBORS,
    _MEMBERS,
    *(f"{name}.npy" for name in ARRAYS),
}
_OWN_OF_NEIGHBORS = {CHECKSUMS, "neighbors.json", "ids.npy", "bound.npy"}

# Values of a JSON file by name.
Fields = dict[str, Any]
Arrays = dict[str, np.ndarray]


def is_clustering(path: str | os.PathLike) -> bool:
    """Whether the directory holds a finished clustering."""
    return (pathlib.Path(path) / "clustering.json").exists()


def check_replaceable(path: str | os.PathLike) -> None:
    """Refuses a place where writing a clustering would delete other files.

    Raises:
        InputError: a file, a directory with other files, or a path that
            cannot be a directory.
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
            (name for name in names - own if not name.startswith(".tmp-")),
            key=lambda name: (name.startswith("."), name),
        )
        if others:
            raise InputError(
                f"holds other files than a clustering: {others[0]}",
                where=str(folder),
                remedy="Name an empty or a new directory",
            )


def write_clustering(
    path: str | os.PathLike,
    fields: Fields,
    arrays: Arrays,
    ids: ExampleIds | None = None,
) -> None:
    """Writes the directory; neighbors that are kept there survive."""
    path = pathlib.Path(path)
    check_replaceable(path)
    with atomic_directory(path, replace=True) as folder:
        if ids is not None:
            fields = {**fields, _IDS: ids.checksum}
            # Who is in which cluster, for other programs.
            import pyarrow as pa
            from pyarrow import parquet

            columns = {"id": ids.values, "cluster_id": arrays["cluster_ids"]}
            with atomic_write(folder / _MEMBERS, "wb") as handle:
                parquet.write_table(pa.table(columns), handle)
        _write(folder, "clustering.json", fields, arrays)
        if (path / _NEIGHBORS).is_dir():
            # Hard links cost nothing; elsewhere the files are copied.
            shutil.copytree(
                path / _NEIGHBORS, folder / _NEIGHBORS, copy_function=_link
            )


def read_clustering(path: str | os.PathLike) -> tuple[Fields, Arrays]:
    """Reads what `write_clustering` wrote.

    Raises:
        InputError: no clustering there, of another version, or damaged.
    """
    if not is_clustering(path):
        raise InputError("holds no clustering", where=str(path))
    fields, arrays = _read(pathlib.Path(path), "clustering.json")
    fields.pop(_IDS, None)
    return fields, arrays


def check_ids(path: str | os.PathLike, ids: ExampleIds | None) -> None:
    """Refuses a clustering whose examples have other ids.

    One that was kept without ids passes: the embeddings are compared anyway.

    Raises:
        InputError: the ids differ, in their order or otherwise.
    """
    kept = read_json(pathlib.Path(path) / "clustering.json").get(_IDS)
    if kept is not None and (ids is None or kept != ids.checksum):
        raise InputError(
            "the kept clusters are of examples with other ids",
            where=str(path),
            got="no ids" if ids is None else None,
            remedy="Delete the directory or name another",
        )


class NeighborStore:
    """Keeps the answer of the first search with the clustering.

    Args:
        path: directory of the clustering.
        key: what the answer depends on: pool and settings.
    """

    def __init__(self, path: str | os.PathLike, key: Fields):
        self._path, self._key = pathlib.Path(path), key

    def save(self, answer: FirstAnswer) -> None:
        """Writes the answer, replacing an older one."""
        check_replaceable(self._path)
        neighbors = answer.neighbors
        with atomic_directory(self._path / _NEIGHBORS, replace=True) as folder:
            _write(
                folder,
                "neighbors.json",
                {"key": self._key, "probe": answer.probe.facts()},
                {"ids": neighbors.ids, "bound": neighbors.bound},
            )

    def load(self) -> FirstAnswer | None:
        """Reads the answer, or returns None if none is kept for the key."""
        folder = self._path / _NEIGHBORS
        if not (folder / "neighbors.json").exists():
            return None
        fields, arrays = _read(folder, "neighbors.json")
        if fields.get("key") != self._key:
            return None
        try:
            neighbors = Neighbors(arrays["ids"], arrays["bound"])
            return FirstAnswer(neighbors, Probe(**fields["probe"]))
        except (LookupError, TypeError) as error:
            raise InputError(
                f"damaged: are not whole neighbors ({error})",
                where=str(folder),
                remedy=_AGAIN,
            ) from None


def _write(
    folder: pathlib.Path, name: str, fields: Fields, arrays: Arrays
) -> None:
    for key, array in arrays.items():
        write_npy(folder / f"{key}.npy", array)
    shapes = {key: list(array.shape) for key, array in arrays.items()}
    write_json(
        folder / name,
        {
            **fields,
            "format_version": FORMAT_VERSION,
            "arrays": shapes,
        },
    )
    write_checksums(folder)


def _read(folder: pathlib.Path, name: str) -> tuple[Fields, Arrays]:
    fields = read_json(folder / name)
    if not isinstance(fields, dict):
        raise InputError(
            "damaged: holds no fields", where=str(folder / name), remedy=_AGAIN
        )
    version = fields.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise InputError(
            "written in another format version",
            where=str(folder / name),
            got=version,
            expected=str(FORMAT_VERSION),
            remedy=_AGAIN,
        )
    check_checksums(folder, _AGAIN)
    arrays: Arrays = {}
    # Directories of an earlier release state those of the arrays alone.
    checksums = fields.pop("checksums", {})
    shapes = fields.pop("arrays", None)
    if not isinstance(shapes, dict) or not isinstance(checksums, dict):
        raise InputError(
            "damaged: names no arrays", where=str(folder / name), remedy=_AGAIN
        )
    for key, shape in shapes.items():
        # Read whole: the arrays outlive a directory that is replaced.
        array = np.array(open_npy(folder / f"{key}.npy"))
        if list(array.shape) != shape:
            raise InputError(
                "damaged: not the shape that the directory states",
                where=str(folder / f"{key}.npy"),
                got=list(array.shape),
                expected=str(shape),
                remedy=_AGAIN,
            )
        crc = zlib.crc32(array.dtype.str.encode())
        crc = zlib.crc32(np.ascontiguousarray(array).data, crc)
        if checksums and checksums.get(key) != crc:
            raise InputError(
                "damaged: not the checksum that the directory states",
                where=str(folder / f"{key}.npy"),
                remedy=_AGAIN,
            )
        arrays[key] = array
    return fields, arrays


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
