"""Scores the files of a pool on an engine: many workers, one model each.

    OUTPUT/scoring.json        which model scored it, and what it was asked
    OUTPUT/scores/*.parquet, dead_letters/*.jsonl, done/*.json    see `shards`
    OUTPUT/dead_letters.jsonl  of all files, when all are done

A file that is done is not scored again. Before the first is scored, the ids of
all files are looked at: none may occur twice.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from export.scoring import shards as stages
from export.scoring.scorer import BATCH_BYTES, Predict, claim
from export.scoring.shards import PoolFile, Scored
from runkit import InputError, Progress, atomic_write

DTYPES = ("float16", "float32")
FORMAT_VERSION = 1
_SHOWN, _LOOKED_AT = 5, 1000


class Engine(Protocol):
    """What `al_tf.distributed.engine.Engine` offers, of which this uses."""

    def map(
        self,
        stage: str,
        function: Callable[..., Any],
        items: Iterable[Sequence[Any]],
        *,
        returns: int | None = None,
    ) -> list[Any]:
        """Calls `function(*item)` for every item."""

    def get(self, handles: Sequence[Any]) -> list[Any]:
        """Brings values here."""

    def map_with_state(
        self,
        stage: str,
        make: Callable[[], Any],
        function: Callable[..., Any],
        items: Sequence[Sequence[Any]],
        on_done: Callable[[int, Any], None] | None = None,
    ) -> list[Any]:
        """Calls `function(make(), *item)` for every item."""


class Model(Protocol):
    """A model that workers open; see `export.model_sources`."""

    def __call__(self) -> Predict:
        """Opens it."""

    def name(self) -> str:
        """Which model it is."""

    def weights(self) -> str:
        """SHA-256 of its weights, or ""."""


class Outcome(NamedTuple):
    """What became of a pool.

    Attributes:
        files: number of files.
        rows: that have scores.
        dead: that have none.
        kept: files that an earlier run had scored.
    """

    files: int
    rows: int
    dead: int
    kept: int


def score_files(
    engine: Engine,
    model: Model,
    files: Sequence[PoolFile],
    output_dir: str,
    *,
    batch_size: int = 64,
    batch_bytes: int = BATCH_BYTES,
    dtype: str = "float16",
    most_dead: float = 0.01,
) -> Outcome:
    """Scores every file, or goes on with an interrupted scoring.

    Args:
        engine: whose workers read, score and write.
        model: scores; each worker opens it once.
        files: from `shards.pool_files`.
        output_dir: see the module; with several machines, one that all of
            them see.
        batch_size: most texts per call of the model.
        batch_bytes: most bytes per call, see `scorer.score_pool`.
        dtype: of the written embeddings, see `DTYPES`.
        most_dead: share of the rows without scores above which the run ends.

    Raises:
        InputError: files that cannot be read, ids that occur twice, scores of
            another model or of other files, too many dead letters.
    """
    counts = check_ids(engine, files)
    folder = pathlib.Path(output_dir)
    facts = {
        "format_version": FORMAT_VERSION,
        "model": model.name(),
        "dtype": dtype,
        "files": len(files),
        "fields": [files[0].text_field, files[0].id_field],
    }
    if weights := model.weights():
        facts["weights_sha256"] = weights
    claim(folder, facts)
    where = str(folder.absolute())
    earlier = [stages.is_scored(file, where) for file in files]
    left = [
        file
        for file, found in zip(files, earlier, strict=True)
        if found is None
    ]
    done = [found for found in earlier if found is not None]
    kept = len(done)
    start = sum(found.rows + found.dead for found in done)
    progress = Progress(sum(counts), "texts", "scoring", start=start)

    def on_done(_: int, found: Scored) -> None:
        done.append(found)
        dead = sum(f.dead for f in done)
        if dead > most_dead * sum(counts):
            raise InputError(
                "too many rows cannot be scored",
                where=str(folder / stages.DEAD),
                got=f"{dead:,} of {sum(counts):,}",
                expected=f"at most {most_dead:g} of them",
                remedy="The letters there say why; allow more with "
                "--most_dead, or mend the rows and name another output",
            )
        rows = sum(f.rows + f.dead for f in done)
        progress.update(rows, f"{dead:,} dead letters")

    # Those of an earlier run count too.
    if done:
        on_done(-1, done.pop())
    engine.map_with_state(
        "score",
        model,
        stages.score_shard,
        [(file, where, batch_size, batch_bytes, dtype) for file in left],
        on_done,
    )
    join_letters(folder, files)
    rows, dead = (sum(f[i] for f in done) for i in (1, 2))
    return Outcome(len(files), rows, dead, kept)


def check_ids(engine: Engine, files: Sequence[PoolFile]) -> list[int]:
    """Refuses ids that occur twice, or are of two kinds.

    Returns:
        The number of rows of each file.
    """
    made = engine.map("ids", stages.id_hashes, [(f,) for f in files], returns=2)
    hashes = engine.get([hashes for hashes, _ in made])
    about = engine.get([about for _, about in made])
    if not sum(int(rows) for rows, _ in about):
        raise InputError("there are no texts", where=files[0].path)
    number = sum(int(numbers) for _, numbers in about)
    if 0 < number < sum(map(len, hashes)):
        raise InputError(
            "ids are texts and whole numbers",
            where=files[0].id_field,
            got=f"{number:,} whole numbers",
            expected="one kind of ids",
        )
    every = np.sort(np.concatenate(hashes))
    twice = np.unique(every[1:][every[1:] == every[:-1]])
    if len(twice):
        _refuse_twins(engine, files, hashes, twice[:_LOOKED_AT])
    return [int(rows) for rows, _ in about]


def _refuse_twins(
    engine: Engine,
    files: Sequence[PoolFile],
    hashes: Sequence[np.ndarray],
    twice: np.ndarray,
) -> None:
    """Different ids may share a hash; equal ones are named."""
    asked = [
        (file, twice)
        for file, own in zip(files, hashes, strict=True)
        if np.isin(own, twice).any()
    ]
    places: dict[stages.Id, list[str]] = {}
    for found in engine.get(engine.map("ids", stages.rows_with, asked)):
        for name, place in found:
            places.setdefault(name, []).append(place)
    bad = {name: at for name, at in places.items() if len(at) > 1}
    if bad:
        shown = ", ".join(
            f"{name!r} ({at[0]}; {at[1]})"
            for name, at in list(bad.items())[:_SHOWN]
        )
        raise InputError(
            f"{len(bad):,} ids occur more than once: {shown}",
            where=files[0].id_field,
            remedy="Give every example an id of its own",
        )


def join_letters(folder: pathlib.Path, files: Sequence[PoolFile]) -> None:
    """Writes the dead letters of all files into one."""
    with atomic_write(folder / f"{stages.DEAD}.jsonl") as handle:
        for file in files:
            path = folder / stages.DEAD / f"{file.number:05d}.jsonl"
            with path.open(encoding="utf-8") as letters:
                handle.writelines(letters)
