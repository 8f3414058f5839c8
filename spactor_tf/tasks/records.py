"""Raw records of a task: from TFDS, or from a benchmark's own files.

tfds:NAME        TensorFlow Datasets, prepared already
jsonl:PATTERN    JSON Lines; the labels may be in a file beside it
json:PATTERN     one JSON object with its records under "examples"
csv:PATTERN      rows without a header

A PATTERN is a path below the data folder in which {split} stands for the name
of the split and * for any name. Each record from a file also gets "file", its
path below the data folder.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from runkit import InputError, read_json
from runkit.datasets import prepared_data, tables
from runkit.datasets.inputs import reading
from runkit.datasets.row_formats import csv_rows
from runkit.errors import check_choice

DATA_DIR_VARIABLE = "TFDS_DATA_DIR"


def read(
    source: str, split: str, data_dir: str | os.PathLike | None = None
) -> Iterator[Mapping[str, Any]]:
    """Yields the records of a split in the source's own order.

    Texts are `str`, lists are lists, numbers are Python's.

    Args:
        source: see the module docstring.
        split: TFDS's split, or what replaces {split} in a file pattern.
        data_dir: the data directory; None takes the variable TFDS_DATA_DIR,
            and without it TFDS's default directory.

    Raises:
        InputError: data that are not there or cannot be read.
    """
    kind, _, rest = source.partition(":")
    if kind == "tfds":
        yield from _from_tfds(rest, split, data_dir)
        return
    for name, path in _files(rest, split, data_dir).items():
        for record in _from_file(path, kind):
            yield {**record, "file": name}


def files(
    source: str, split: str, data_dir: str | os.PathLike | None = None
) -> dict[str, Any]:
    """Returns {name: path} of the files that a split is read from.

    Args:
        source: see the module docstring.
        split: see `read`.
        data_dir: see `read`.

    Raises:
        InputError: data that are not there.
    """
    kind, _, rest = source.partition(":")
    if kind == "tfds":
        builder = _builder(rest, split, data_dir)
        return prepared_data.split_files(builder, split)
    found = _files(rest, split, data_dir)
    beside = {
        name.removesuffix(path.name) + _labels_of(path).name: _labels_of(path)
        for name, path in found.items()
        if kind == "jsonl" and _labels_of(path).is_file()
    }
    return {**found, **beside}


def _from_tfds(
    name: str, split: str, data_dir: str | os.PathLike | None
) -> Iterator[Mapping[str, Any]]:
    builder = _builder(name, split, data_dir)
    for number, record in enumerate(prepared_data.rows(builder, split)):
        try:
            yield prepared_data.plain(record)
        except UnicodeDecodeError as error:
            raise InputError(
                f"is not UTF-8 ({error})",
                where=f"{name}, {split}, record {number}",
            ) from None


def _builder(name: str, split: str, data_dir: str | os.PathLike | None) -> Any:
    builder = prepared_data.prepared_builder(
        name, where="task", data_dir=data_dir
    )
    check_choice(
        split.partition("[")[0], builder.info.splits, where=f"split of {name}"
    )
    return builder


def _files(
    pattern: str, split: str, data_dir: str | os.PathLike | None
) -> dict[str, pathlib.Path]:
    """{path below the data directory: path} of a split's files."""
    default = pathlib.Path("~/tensorflow_datasets")
    named = data_dir or os.environ.get(DATA_DIR_VARIABLE) or default
    root = pathlib.Path(named).expanduser()
    pattern = pattern.replace("{split}", split)
    paths = sorted(root.glob(pattern))
    if not paths:
        raise InputError(
            "no such file",
            where="task",
            got=pattern,
            expected=f"the benchmark's own files below {root}",
            remedy=f"Unpack them there, or set {DATA_DIR_VARIABLE} to where "
            "they are",
        )
    return {path.relative_to(root).as_posix(): path for path in paths}


def _labels_of(path: pathlib.Path) -> pathlib.Path:
    """The file beside NAME.jsonl that may hold its labels."""
    return path.with_name(f"{path.stem}-labels.lst")


def _json_lines(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Yields objects; NAME-labels.lst beside NAME.jsonl gives "label"."""
    rows = list(tables.json_lines(path))
    beside = _labels_of(path)
    labels: list[str | None] = [None] * len(rows)
    if beside.is_file():
        with reading(beside):
            labels = list(beside.read_text(encoding="utf-8").split())
    if len(labels) != len(rows):
        raise InputError(
            "has not one label for each record",
            where=str(beside),
            got=len(labels),
            expected=str(len(rows)),
        )
    for (place, record), label in zip(rows, labels, strict=True):
        if not isinstance(record, dict):
            raise InputError("is not an object", where=place)
        yield record if label is None else {**record, "label": label}


def _from_file(path: pathlib.Path, kind: str) -> Iterator[dict[str, Any]]:
    if kind == "jsonl":
        yield from _json_lines(path)
    elif kind == "csv":
        yield from ({"row": row} for row in csv_rows(path))
    else:
        content = read_json(path)
        if not isinstance(content, dict) or "examples" not in content:
            raise InputError('has no list "examples"', where=str(path))
        yield from content["examples"]
