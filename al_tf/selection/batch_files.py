"""The files that a selection reads and writes."""

from __future__ import annotations

import pathlib

import numpy as np

from al_tf.inputs.embeddings import open_npy
from al_tf.selection.margins import check_margins
from runkit import InputError, atomic_write
from runkit.files import check_folder, write_npy

_SUFFIXES = (".csv", ".parquet", ".npy")


def check_output(path: pathlib.Path) -> None:
    """Refuses an output that cannot be written."""
    if path.suffix not in _SUFFIXES:
        raise InputError(
            "unknown format",
            where="--output",
            got=path.name,
            expected=" or ".join(_SUFFIXES),
        )
    check_folder(path.parent, where="--output")
    if path.is_dir():
        raise InputError("is a folder", where="--output", got=str(path))


def read_margins(path: str) -> np.ndarray:
    """Reads `[n]` margins from an `.npy` file."""
    return check_margins(open_npy(path, where="--margins"))


def read_ids(path: str) -> np.ndarray:
    """Reads example ids.

    Args:
        path: `.npy`; a `.csv` or `.parquet` batch that `write_batch` wrote; a
            text file with one id per line; "" means no ids.

    Raises:
        InputError: no such file, no such column, or not whole numbers.
    """
    if not path:
        return np.zeros(0, np.int64)
    if path.endswith(".npy"):
        return np.asarray(open_npy(path))
    try:
        if path.endswith(".parquet"):
            from pyarrow import parquet

            table = parquet.read_table(path, columns=["example_id"])
            return table.column("example_id").to_numpy()
        lines = pathlib.Path(path).read_text(encoding="utf-8").split()
        if lines and lines[0].split(",")[:2] == ["rank", "example_id"]:
            lines = [line.split(",")[1] for line in lines[1:]]
        return np.array([int(line) for line in lines], np.int64)
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except (OSError, ValueError, LookupError, OverflowError) as error:
        raise InputError(
            f"not a list of example ids ({error})",
            where=path,
            expected="one whole number per line, or a batch that was written",
        ) from None


def write_batch(
    path: pathlib.Path,
    ids: np.ndarray,
    margins: np.ndarray,
    cluster_ids: np.ndarray,
) -> None:
    """Writes rank, example_id, margin, cluster_id and cluster_size.

    Args:
        path: `.csv`, `.parquet`, or `.npy` for the ids only.
        ids: `[k]` int64 in pick order.
        margins: `[n]`.
        cluster_ids: `[n]`.
    """
    if path.suffix == ".npy":
        write_npy(path, ids)
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
