"""The files that a selection reads and writes."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from al_tf.inputs.embeddings import open_npy
from runkit import InputError, atomic_write
from runkit.datasets.inputs import plain_suffix
from runkit.datasets.labels import id_key
from runkit.datasets.row_formats import csv_rows
from runkit.datasets.tables import field, rows
from runkit.files import check_file, write_npy

_SUFFIXES = (".csv", ".jsonl", ".parquet", ".npy")


@dataclasses.dataclass(frozen=True)
class NamedBatch:
    """How the files of people name the examples of a batch.

    Attributes:
        column: name of the ids' column.
        ids: `[k]` texts or whole numbers in pick order.
        texts: of the examples, for people to read.
    """

    column: str
    ids: list[Any]
    texts: list[str] | None = None


def check_output(path: pathlib.Path) -> None:
    """Refuses an output that cannot be written."""
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(
            "unknown format",
            where="--output",
            got=path.name,
            expected=" or ".join(_SUFFIXES),
        )
    check_file(path, where="--output")


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
        number = id_key(value, is_text=False)
        if number is None:
            raise InputError(
                "not a list of example ids",
                where=place,
                got=value,
                expected="one whole number per line, or a batch that was "
                "written",
            )
        ids.append(number)
    return np.array(ids, np.int64)


def write_batch(
    path: pathlib.Path,
    rows: np.ndarray,
    margins: np.ndarray,
    cluster_ids: np.ndarray,
    named: NamedBatch | None = None,
) -> None:
    """Writes rank, example_id, margin, cluster_id and cluster_size.

    Args:
        path: `.csv`, `.jsonl`, `.parquet`, or `.npy` for the ids only.
        rows: `[k]` int64 of the pool in pick order.
        margins: `[n]`.
        cluster_ids: `[n]`.
        named: what stands in place of `example_id`, and the texts.
    """
    named = named or NamedBatch("example_id", rows.tolist())
    suffix = path.suffix.lower()
    if suffix == ".npy":
        write_npy(path, np.array(named.ids))
        return
    clusters = cluster_ids[rows]
    columns: dict[str, Sequence[Any] | np.ndarray] = {
        "rank": np.arange(len(rows)),
        named.column: named.ids,
        "margin": margins[rows],
        "cluster_id": clusters,
        "cluster_size": np.bincount(cluster_ids)[clusters],
    }
    if named.texts is not None:
        columns["text"] = named.texts
    if suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        with atomic_write(path, "wb") as handle:
            parquet.write_table(pa.table(columns), handle)
        return
    columns["margin"] = [float(f"{margin:.6g}") for margin in margins[rows]]
    lists = [np.asarray(c).tolist() for c in columns.values()]
    with atomic_write(path) as handle:
        if suffix == ".jsonl":
            for row in zip(*lists, strict=True):
                record = dict(zip(columns, row, strict=True))
                handle.write(json.dumps(record, ensure_ascii=False) + "\n")
            return
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        lists[2] = [f"{margin:.6g}" for margin in margins[rows]]
        writer.writerows(zip(*lists, strict=True))
