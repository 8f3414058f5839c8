"""The files of a pool: one file, a folder of shards, or a pattern."""

from __future__ import annotations

import os
import pathlib
import re

from al_tf.inputs.columns import PARQUET
from runkit import InputError
from runkit.datasets.inputs import matching_files, plain_suffix
from runkit.datasets.tables import SUFFIXES

# A folder's shards are its files of the first of these kinds that it has.
_KINDS = ((".npy", *PARQUET), (".npz",), tuple(SUFFIXES))


def find_shards(path: str | os.PathLike) -> list[pathlib.Path]:
    """Returns the file, the shards of the folder, or what a pattern names.

    They are sorted by name; see `in_order`.

    Raises:
        InputError: nothing is there.
    """
    if not isinstance(path, str | os.PathLike) or not str(path):
        # An empty text would be the folder that the program runs in.
        raise InputError(
            "is not a path", where="embeddings", got=path, expected="a text"
        )
    path = pathlib.Path(path)
    if not path.exists():
        if re.search(r"[*?\[]", str(path)):
            return matching_files(str(path), "embeddings", str(path))
        raise InputError("no such file", where=str(path))
    if not path.is_dir():
        return [path]
    files = [p for p in path.iterdir() if p.is_file() and p.name[0] != "."]
    for kind in _KINDS:
        found = [p for p in files if plain_suffix(p) in kind]
        if found:
            return sorted(found)
    raise InputError(
        "no embeddings here",
        where=str(path),
        expected=".npy, .parquet, .npz, .csv or .jsonl files",
    )


def in_order(
    shards: list[pathlib.Path], where: str | os.PathLike
) -> list[pathlib.Path]:
    """Returns shards sorted by name, if that is the order of their numbers.

    Rows without ids are known by their places: part-10 before part-2 would
    give every later row to another example, and nobody would notice.

    Raises:
        InputError: the two orders differ.
    """
    ordered = sorted(shards)
    by_number = sorted(
        shards,
        key=lambda path: [
            (int(part) if part.isdecimal() else -1, part)
            for part in re.split(r"([0-9]+)", path.name)
        ],
    )
    if ordered != by_number:
        first = next(
            i for i in range(len(shards)) if ordered[i] != by_number[i]
        )
        raise InputError(
            "shards whose order by name is not that of their numbers",
            where=str(where),
            got=f"{ordered[first].name} before {by_number[first].name}",
            expected="numbers of equally many digits, as part-02 and part-10",
            remedy="Rename the files, give a list of paths in the order of "
            "the rows, or give the rows ids",
        )
    return ordered
