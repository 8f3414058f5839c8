"""The directory that says what to keep: ids, what stands for what, a page.

kept.csv       ids to keep
dropped.csv    dropped_id, kept_id, distance
kept.jsonl     ids and texts to keep, where texts are known
summary.json   counts, settings, what is guaranteed
report.html    the same for people, with pairs to look at
"""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from al_tf.duplicates.find import Duplicates
from al_tf.duplicates.texts import Corpus
from al_tf.inputs.ids import ExampleIds
from runkit import atomic_write, write_json

_BLOCK_ROWS = 65536
# By `exact`; texts alone were not searched by an index.
_GUARANTEES: dict[Any, str] = {
    True: "Every dropped row is within the threshold of its kept row, and no "
    "two kept rows are within the threshold of each other.",
    False: "Every dropped row is within the threshold of its kept row. Two "
    "kept rows are within the threshold of each other only where the neighbor "
    "search missed it; of a sample's near pairs it found the stated recall.",
    None: "Every dropped text equals its kept text, and no two kept texts are "
    "equal.",
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was found, and how the files name it.

    Attributes:
        found: rows to keep.
        settings: what was asked for.
        ids: of the rows; None: they are known by their numbers.
        column: what files call the ids.
        corpus: the texts of the rows, if they are known.
        places: `[n]` int64 the row of each text; None: its number.
    """

    found: Duplicates
    settings: dict[str, Any]
    ids: ExampleIds | None = None
    column: str = "example_id"
    corpus: Corpus | None = None
    places: np.ndarray | None = None

    @property
    def copies(self) -> np.ndarray:
        """`[n]` int64 how many rows were dropped for each row."""
        owner = self.found.owner
        owned = np.bincount(owner, minlength=len(owner))
        return owned - (owned > 0)  # A kept row owns itself.

    def names(self, rows: np.ndarray) -> list[Any]:
        """What files call some rows."""
        if self.ids is None:
            return rows.tolist()
        return self.ids.take(rows).tolist()

    def summary(self) -> dict[str, Any]:
        """Counts, settings and the guarantee."""
        found, copies = self.found, self.copies
        return {
            "rows": len(found.owner),
            "kept": len(found.kept),
            "dropped": len(found.dropped),
            "kept_with_copies": int((copies > 0).sum()),
            "most_copies": int(copies.max()),
            "guarantee": _GUARANTEES[found.info.get("exact")],
            **found.info,
            "settings": self.settings,
        }


def write_files(folder: pathlib.Path, outcome: Outcome) -> None:
    """Writes all files of the module's docstring but the page."""
    found = outcome.found
    write_json(folder / "summary.json", outcome.summary())
    _write_csv(
        folder / "kept.csv",
        [outcome.column],
        (zip(outcome.names(rows), strict=True) for rows in _blocks(found.kept)),
    )
    _write_csv(
        folder / "dropped.csv",
        ["dropped_id", "kept_id", "distance"],
        (
            zip(
                outcome.names(rows),
                outcome.names(found.owner[rows]),
                (f"{step:.9g}" for step in found.distances[rows]),
                strict=True,
            )
            for rows in _blocks(found.dropped)
        ),
    )
    if outcome.corpus is None:
        return
    with atomic_write(folder / "kept.jsonl") as handle:
        for first, texts in outcome.corpus.blocks():
            rows = np.arange(first, first + len(texts))
            if outcome.places is not None:
                rows = outcome.places[rows]
            stays = (found.owner[rows] == rows).tolist()
            names = outcome.names(rows)
            for name, text, is_kept in zip(names, texts, stays, strict=True):
                if is_kept:
                    line = {outcome.column: name, "text": text}
                    handle.write(json.dumps(line, ensure_ascii=False) + "\n")


def _write_csv(
    path: pathlib.Path,
    header: Sequence[str],
    blocks: Iterable[Iterable[Sequence[Any]]],
) -> None:
    with atomic_write(path) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        for block in blocks:
            writer.writerows(block)


def _blocks(rows: np.ndarray) -> Iterable[np.ndarray]:
    return np.array_split(rows, len(rows) // _BLOCK_ROWS + 1)
