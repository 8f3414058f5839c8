"""The files that a selection reads and writes."""

from __future__ import annotations

import pathlib

import numpy as np

from al_tf.embeddings import open_npy
from runkit import InputError, atomic_write

_SUFFIXES = (".csv", ".parquet", ".npy")


def check_suffix(path: pathlib.Path) -> None:
    """Refuses an output format that cannot be written."""
    if path.suffix not in _SUFFIXES:
        raise InputError(
            "unknown format",
            where="--output",
            got=path.name,
            expected=" or ".join(_SUFFIXES),
        )


def read_margins(path: str) -> np.ndarray:
    """Reads `[n]` margins from an `.npy` file."""
    margins = open_npy(path, where="--margins")
    if margins.dtype.kind == "f" and margins.dtype.itemsize < 4:
        margins = margins.astype(np.float32)
    return np.asarray(margins)


def read_ids(path: str) -> np.ndarray:
    """Reads example ids from `.npy` or from text with one id a line.

    Args:
        path: "" means no ids.

    Raises:
        InputError: no such file, or a line that is no whole number.
    """
    if not path:
        return np.zeros(0, np.int64)
    if path.endswith(".npy"):
        return np.asarray(open_npy(path))
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").split()
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    try:
        return np.array([int(line) for line in lines], np.int64)
    except ValueError as error:
        raise InputError(
            f"not a list of example ids ({error})",
            where=path,
            expected="one whole number a line",
        ) from None


def write_batch(
    path: pathlib.Path,
    ids: np.ndarray,
    margins: np.ndarray,
    cluster_ids: np.ndarray,
) -> None:
    """Writes rank, example_id, margin, cluster_id, cluster_size.

    Args:
        path: `.csv`, `.parquet`, or `.npy` for the ids alone.
        ids: `[k]` int64 in pick order.
        margins: `[n]`.
        cluster_ids: `[n]`.
    """
    if path.suffix == ".npy":
        with atomic_write(path, "wb") as handle:
            np.save(handle, ids, allow_pickle=False)
        return
    clusters = cluster_ids[ids]
    columns = {
        "rank": np.arange(len(ids)),
        "example_id": ids,
        "margin": margins[ids],
        "cluster_id": clusters,
        "cluster_size": np.bincount(cluster_ids)[clusters],
    }
    if path.suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        with atomic_write(path, "wb") as handle:
            parquet.write_table(pa.table(columns), handle)
        return
    with atomic_write(path) as handle:
        handle.write(",".join(columns) + "\n")
        for row in zip(*columns.values(), strict=True):
            handle.write("{},{},{:.6g},{},{}\n".format(*row))
