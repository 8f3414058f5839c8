"""The files that a selection reads and writes."""

from __future__ import annotations

import itertools
import pathlib
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from al_tf.inputs.embeddings import open_npy
from al_tf.selection.margins import check_margins
from runkit import InputError, atomic_write
from runkit.datasets.delimited import csv_rows
from runkit.datasets.inputs import plain_suffix
from runkit.datasets.tables import field, rows
from runkit.files import check_folder, write_npy

_SUFFIXES = (".csv", ".parquet", ".npy")


def check_output(path: pathlib.Path) -> None:
    """Refuses an output that cannot be written."""
    if path.suffix.lower() not in _SUFFIXES:
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
        path: `.npy`; a table with a column `example_id`, such as a batch that
            `write_batch` wrote, also after a spreadsheet saved it; a text
            file with one id per line; "" means no ids.

    Raises:
        InputError: no such file, no such column, or not whole numbers.
    """
    if not path:
        return np.zeros(0, np.int64)
    suffix = plain_suffix(pathlib.Path(path))
    if suffix == ".npy":
        return np.asarray(open_npy(path))
    if pathlib.Path(path).is_dir() or not pathlib.Path(path).exists():
        is_dir = pathlib.Path(path).is_dir()
        what = "not a list of example ids" if is_dir else "no such file"
        raise InputError(what, where=path)
    if suffix in (".parquet", ".pq"):
        return _parquet_ids(path)
    if suffix in (".jsonl", ".ndjson"):
        places = rows(path, "jsonl")
        return _whole((p, field(row, "example_id", p)) for p, row in places)
    records = csv_rows(path, detect=True)
    header = next(records, [])
    if len(header) > 1 and "example_id" not in header:
        raise InputError(
            "not a list of example ids",
            where=path,
            got=header,
            expected="one whole number per line, or a column example_id",
        )
    if "example_id" in header:
        places = rows(path, "csv")
        return _whole((p, field(row, "example_id", p)) for p, row in places)
    lines = enumerate(itertools.chain([header], records), 1)
    return _whole(
        (f"{path}, line {number}", word)
        for number, cells in lines
        for word in " ".join(cells).split()
    )


def _parquet_ids(path: str) -> np.ndarray:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=["example_id"])
        column = table.column("example_id")
        if column.null_count or not pa.types.is_integer(column.type):
            raise InputError(
                "not a list of example ids",
                where=f"{path}: column example_id",
                got=str(column.type),
                expected="whole numbers in every row",
            )
        return column.to_numpy()
    except (pa.ArrowException, OSError, LookupError) as error:
        raise InputError(
            f"not a list of example ids ({error})",
            where=path,
            expected="Parquet with a column example_id",
        ) from None


def _whole(values: Iterable[tuple[str, Any]]) -> np.ndarray:
    """Reads whole numbers; `7.0`, as spreadsheets may write it, is 7."""
    ids = []
    for place, value in values:
        text = str(value).strip()
        if not re.fullmatch(r"[+-]?\d{1,18}(\.0+)?", text):
            raise InputError(
                "not a list of example ids",
                where=place,
                got=value,
                expected="one whole number per line, or a batch that was "
                "written",
            )
        ids.append(int(text.partition(".")[0]))
    return np.array(ids, np.int64)


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
    if path.suffix.lower() == ".npy":
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
    if path.suffix.lower() == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        with atomic_write(path, "wb") as handle:
            parquet.write_table(pa.table(columns), handle)
        return
    with atomic_write(path) as handle:
        handle.write(",".join(columns) + "\n")
        for row in zip(*columns.values(), strict=True):
            handle.write("{},{},{:.6g},{},{}\n".format(*row))
