"""From a file of texts to a file of scores: the stage of a parallel scoring.

    OUTPUT/scores/00007.parquet       id, margin and embedding of each row
    OUTPUT/dead_letters/00007.jsonl   rows of file 7 without scores, and why
    OUTPUT/done/00007.json            which file it was, how many rows

Pure functions: nothing of them knows where they run, and called again they
write the same files. What says that a file is done comes last, so that it is
done once and never in part.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from export.scoring.scorer import Predict, score_texts, write_rows
from runkit import InputError, atomic_write, read_json, write_json
from runkit.datasets import parse, tables
from runkit.datasets.inputs import identity, matching_files
from runkit.datasets.labels import check_id
from runkit.files.storage import as_path
from runkit.hashing import splitmix64

SCORES, DEAD, DONE = "scores", "dead_letters", "done"
# Failed texts without any answer after which the model is to blame.
_HOPELESS = 8

Id = str | int


class PoolFile(NamedTuple):
    """One file of a pool.

    Attributes:
        number: its place among the files.
        path: of the file.
        table: its format; "" goes by its suffix.
        text_field: field that holds the text, or several joined by "+".
        id_field: field that holds the ids.
    """

    number: int
    path: str
    table: str
    text_field: str
    id_field: str

    def identity(self) -> str:
        """Changes when the file does."""
        ((_, size, changed),) = identity([as_path(self.path)])
        return f"{pathlib.Path(self.path).name} {size} {changed}"


class DeadLetter(NamedTuple):
    """A row that cannot be scored.

    Attributes:
        row: of the file, from 0 on.
        id: of the example; None where that is the fault.
        reason: in words.
    """

    row: int
    id: Id | None
    reason: str


class Letters(NamedTuple):
    """Texts that can be scored, and those that cannot.

    Attributes:
        ids: of the texts.
        rows: of the file.
        texts: in UTF-8.
        dead: the other rows.
    """

    ids: list[Id]
    rows: list[int]
    texts: list[bytes]
    dead: list[DeadLetter]


class Scored(NamedTuple):
    """What became of a file.

    Attributes:
        number: of the file.
        rows: that have scores.
        dead: that have none.
    """

    number: int
    rows: int
    dead: int


def pool_files(spec: str, id_field: str, where: str) -> list[PoolFile]:
    """Finds the files of a pool.

    Raises:
        InputError: no tables of texts, or nothing matches.
    """
    named = parse(spec, where=where)
    if named.kind in ("docstrings", "tfds", "npz") or not named.text_field:
        raise InputError(
            "is not a table in files",
            where=where,
            got=spec,
            expected="parquet:GLOB:FIELD, jsonl:GLOB:FIELD or the like",
            remedy="Leave --engine out to score any other pool",
        )
    found = matching_files(named.path, where, spec)
    fields = named.text_field, id_field
    return [
        PoolFile(
            i,
            # Workers may stand in another folder; an object is known as it is.
            str(path.absolute() if isinstance(path, pathlib.Path) else path),
            "" if named.kind == "text" else named.kind,
            *fields,
        )
        for i, path in enumerate(found)
    ]


def id_hashes(file: PoolFile) -> tuple[np.ndarray, np.ndarray]:
    """Reads the ids of a file.

    Returns:
        (`[n]` uint64 hashes of the ids that are some; `[2]` int64 numbers of
        rows and of whole numbers among the ids).
    """
    hashes, numbers, rows = [], 0, 0
    for number, row, place in _rows(file, (file.id_field,)):
        rows = number + 1
        try:
            name = check_id(tables.field(row, file.id_field, place), place)
        except InputError:
            continue
        numbers += isinstance(name, int)
        hashes.append(_hash(name))
    return np.array(hashes, np.uint64), np.array([rows, numbers])


def rows_with(file: PoolFile, hashes: np.ndarray) -> list[tuple[Id, str]]:
    """The ids with one of some hashes, and where they stand."""
    wanted = {int(value) for value in hashes}
    found = []
    for _, row, place in _rows(file, (file.id_field,)):
        try:
            name = check_id(tables.field(row, file.id_field, place), place)
        except InputError:
            continue
        if _hash(name) in wanted:
            found.append((name, place))
    return found


def read_letters(file: PoolFile) -> Letters:
    """Reads a file; what cannot be read is told apart."""
    found = Letters([], [], [], [])
    named = file.text_field
    fields = (named, *named.split("+"), file.id_field)
    for number, row, place in _rows(file, fields):
        name = None
        try:
            name = check_id(tables.field(row, file.id_field, place), place)
            names = tables.field_names(named, row)
            text = tables.joined_text(row, names, place)
            encoded = tables.whole_text(text, place).encode()
        except InputError as error:
            found.dead.append(DeadLetter(number, name, _reason(error)))
            continue
        found.ids.append(name)
        found.rows.append(number)
        found.texts.append(encoded)
    return found


def score_shard(
    predict: Predict,
    file: PoolFile,
    folder: str,
    batch_size: int,
    batch_bytes: int,
    dtype: str,
) -> Scored:
    """Scores a file and writes what became of it.

    Args:
        predict: see `scorer`.
        file: to be scored.
        folder: of the output.
        batch_size: most texts per call.
        batch_bytes: most bytes per call, see `scorer.score_pool`.
        dtype: of the embeddings that are written: float16 or float32.

    Raises:
        InputError: it cannot be read at all, or the model answers nothing.
    """
    scored_from = file.identity()
    letters = read_letters(file)
    answers, reasons = answered(predict, letters.texts, batch_size, batch_bytes)
    if answers:
        with np.errstate(over="ignore"):  # Told as a letter.
            embeddings = answers["embeddings"].astype(dtype)
        margins, places = answers["margins"], answers["places"]
        is_real = np.isfinite(margins)
        is_real &= np.isfinite(answers["embeddings"]).all(1)
        good = is_real & np.isfinite(embeddings).all(1)
        for at in np.flatnonzero(~good):
            reasons[int(places[at])] = (
                f"its embedding is beyond {dtype}"
                if is_real[at]
                else "the model's answer is not finite"
            )
        kept = [letters.ids[at] for at in places[good]]
        if kept:
            write_rows(
                _path(folder, SCORES, file),
                kept,
                embeddings[good],
                margins[good],
            )
    dead = letters.dead + [
        DeadLetter(letters.rows[at], letters.ids[at], reason)
        for at, reason in reasons.items()
    ]
    with atomic_write(_path(folder, DEAD, file)) as handle:
        for letter in sorted(dead, key=lambda letter: letter.row):
            told = {"file": file.path, **letter._asdict()}
            handle.write(json.dumps(told) + "\n")
    rows = len(letters.rows) + len(letters.dead) - len(dead)
    done = Scored(file.number, rows, len(dead))
    write_json(
        _path(folder, DONE, file), {"file": scored_from, **done._asdict()}
    )
    return done


def is_scored(file: PoolFile, folder: str) -> Scored | None:
    """What became of a file in an earlier run, if it was scored there.

    Raises:
        InputError: the scores are those of another file.
    """
    from pyarrow import ArrowException, parquet

    path = _path(folder, DONE, file)
    if not path.is_file():
        return None
    try:
        told = dict(read_json(path))
        scored_from = told.pop("file")
        found = Scored(**told)
        if found.rows:
            scores = parquet.read_metadata(_path(folder, SCORES, file))
            if scores.num_rows != found.rows:
                return None
    except (ArrowException, OSError, LookupError, TypeError, ValueError):
        return None  # Damaged: to be scored again.
    if scored_from != file.identity():
        raise InputError(
            "was scored from another file, or that has changed since",
            where=str(path),
            got=scored_from,
            expected=file.identity(),
            remedy="Choose another output directory",
        )
    return found


def answered(
    predict: Predict, texts: list[bytes], batch_size: int, batch_bytes: int
) -> tuple[dict[str, np.ndarray], dict[int, str]]:
    """Scores all texts that the model can score.

    A call that fails is made again for either half of its texts, until the
    text is found that it fails for.

    Returns:
        (arrays `embeddings`, `margins` and `places`, the texts that they are
        of: {} if there are none; reasons of the others by place).

    Raises:
        Exception: of the model, where it answers nothing at all.
    """
    parts: list[dict[str, np.ndarray]] = []
    failed: dict[int, str] = {}
    waiting = [range(len(texts))] if texts else []
    while waiting:
        some = waiting.pop()
        try:
            found = score_texts(
                predict, [texts[i] for i in some], batch_size, batch_bytes
            )
            parts.append({**found, "places": np.array(some)})
        except Exception as error:  # Whatever it is, the letter tells it.
            if len(some) == 1:
                failed[some[0]] = _reason(error)
                if not parts and len(failed) in (len(texts), _HOPELESS):
                    raise
                continue
            half = len(some) // 2
            waiting += [some[half:], some[:half]]
    if not parts:
        return {}, failed
    order = np.argsort(np.concatenate([part["places"] for part in parts]))
    return {
        name: np.concatenate([part[name] for part in parts])[order]
        for name in parts[0]
    }, failed


def _rows(
    file: PoolFile, fields: tuple[str, ...]
) -> Iterator[tuple[int, Any, str]]:
    """Yields (row, its values, where it stands)."""
    found = tables.rows(file.path, file.table, lenient=True, fields=fields)
    for number, (place, row) in enumerate(found):
        yield number, row, place


def _path(folder: str, kind: str, file: PoolFile) -> pathlib.Path:
    """Where something about a file stands."""
    suffix = {SCORES: "parquet", DEAD: "jsonl", DONE: "json"}[kind]
    return pathlib.Path(folder, kind, f"{file.number:05d}.{suffix}")


def _hash(name: Id) -> int:
    if isinstance(name, int):
        return int(splitmix64(np.array([name], np.int64).view(np.uint64))[0])
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _reason(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0][:300]
    is_told = isinstance(error, InputError)
    return text if is_told else f"{type(error).__name__}: {text}"
