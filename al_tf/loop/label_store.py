"""What one run of the loop has found out, on disk: batches, labels, results.

    runs/STRATEGY/seed-S/choice.json        which strategy `auto` took, and why
                         batch-003.json     which examples were chosen
                         labels-003.json    the labels they were given
                         result-003.json    how good the model then was

Each file is written once, whole or not at all. So no label is lost and none is
asked for twice, wherever a run is killed; it resumes by reading which files
are there. Files name examples by `example_id`, their row in the pool's source;
in memory, positions in the pool are used.
"""

from __future__ import annotations

import pathlib
from typing import Any, TypedDict, cast

import numpy as np

from al_tf.pools.pool import Examples
from al_tf.selection.spreading.advice import Advice
from al_tf.selection.strategies import STRATEGIES
from runkit import InputError, read_json, write_json
from runkit.errors import check_choice
from runkit.files import remove_leftovers

# Settings that add files to a run and change none.
EXTENSIBLE = frozenset({"rounds", "seeds", "strategies", "target_accuracy"})
# People's files are named only by round: of one strategy and one seed.
_FIXED_BY_PEOPLE = frozenset({"seeds", "strategies"})

# One example's label: a class number, or a row of 0 and 1 in a multi-label
# pool.
Label = int | list[int]
# Settings of a run, as config.json holds them.
Settings = dict[str, Any]


class BatchFacts(TypedDict, total=False):
    """What is known about a batch since it was chosen; nothing for a seed set.

    Attributes:
        selection_seconds: wall-clock time of the choice.
        selection_cpu_seconds: CPU time of it, over all threads.
        batch_clusters: number of clusters that the batch touches.
        suggested: the model's own answers, where people label.
        taken: the strategy that `auto` took.
    """

    selection_seconds: float
    selection_cpu_seconds: float
    batch_clusters: int
    suggested: list[Label]
    taken: str


class RoundResult(TypedDict):
    """What was measured after a round.

    Attributes:
        labels: number of examples labeled so far.
        accuracy: on the test set; None without one.
        average_precision: on the test set; None where it is undefined.
        classes_seen: number of classes among the labels.
        clusters_covered: number of clusters with a labeled example.
    """

    labels: int
    accuracy: float | None
    average_precision: float | None
    classes_seen: int
    clusters_covered: int


class LabelStore:
    """Files of one strategy with one seed.

    Args:
        folder: where the files are.
        pool: the examples that may be labeled.
    """

    def __init__(self, folder: pathlib.Path, pool: Examples):
        self.folder = folder
        self._rows, self._named = pool.rows, pool.named
        self._positions = {int(row): i for i, row in enumerate(pool.rows)}
        remove_leftovers(folder)

    def batch(self, number: int) -> np.ndarray | None:
        """`[batch]` int64 positions of a round's batch, or None."""
        found = self._read("batch", number)
        if found is None:
            return None
        positions = [self._positions[row] for row in found["example_ids"]]
        return np.array(positions, np.int64)

    def labels(self, number: int) -> np.ndarray | None:
        """Labels of a round's batch, in the order of the batch, or None."""
        found = self._read("labels", number)
        return None if found is None else np.array(found["labels"], np.int64)

    def result(self, number: int) -> RoundResult | None:
        """What was measured after a round, or None."""
        found = self._read("result", number)
        return None if found is None else cast(RoundResult, found)

    def labeled_until(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions and labels of rounds 0 to `number`, in their order."""
        rounds = range(number + 1)
        batches = [self.batch(i) for i in rounds]
        labels = [self.labels(i) for i in rounds]
        return (
            np.concatenate([b for b in batches if b is not None]),
            np.concatenate([known for known in labels if known is not None]),
        )

    def write_batch(
        self, number: int, positions: np.ndarray, facts: BatchFacts
    ) -> None:
        """Fixes the batch of a round.

        Raises:
            AssertionError: an example of it is in an earlier batch.
        """
        earlier = [self.batch(i) for i in range(number)]
        for batch in earlier:
            if batch is not None and np.isin(positions, batch).any():
                raise AssertionError("an example was chosen a second time")
        rows = self._rows[positions].tolist()
        self._write("batch", number, {"example_ids": rows, **facts})

    def write_labels(self, number: int, labels: np.ndarray) -> None:
        """Keeps the labels of a round's batch, in its order."""
        self._write("labels", number, {"labels": labels.tolist()})

    def choice(self) -> Advice | None:
        """The strategy that `auto` took for this run, or None so far."""
        path = self.folder / "choice.json"
        if not path.exists():
            return None
        found = read_json(path)
        try:
            advice = Advice(**found)
        except TypeError:
            raise InputError("is not a choice", where=str(path)) from None
        check_choice(advice.strategy, STRATEGIES, where=str(path))
        return advice

    def write_choice(self, advice: Advice) -> None:
        """Keeps the strategy that `auto` took."""
        write_json(self.folder / "choice.json", advice._asdict())

    def amend_labels(self, number: int, labels: np.ndarray) -> None:
        """Replaces a round's labels, and drops the results that they gave."""
        # First the results: stopped in between, the change is found again.
        for path in sorted(self.folder.glob("result-*.json")):
            if int(path.stem.removeprefix("result-")) >= number:
                path.unlink()
        write_json(self._path("labels", number), {"labels": labels.tolist()})

    def example_ids(self, number: int) -> np.ndarray:
        """`[batch]` ids of a round's batch, as people's files have them."""
        batch = self.batch(number)
        assert batch is not None, f"round {number} has no batch"
        return self._named[batch]

    def write_result(self, number: int, facts: RoundResult) -> None:
        """Keeps what was measured after a round."""
        self._write("result", number, {**facts})

    def batch_facts(self, number: int) -> BatchFacts:
        """What was noted when the batch was chosen."""
        found = self._read("batch", number) or {}
        found.pop("example_ids", None)
        return cast(BatchFacts, found)

    def _path(self, kind: str, number: int) -> pathlib.Path:
        return self.folder / f"{kind}-{number:03d}.json"

    def _read(self, kind: str, number: int) -> dict[str, Any] | None:
        path = self._path(kind, number)
        return read_json(path) if path.exists() else None

    def _write(self, kind: str, number: int, value: dict[str, Any]) -> None:
        path = self._path(kind, number)
        if path.exists():
            raise AssertionError(f"{path} is there already")
        write_json(path, value)


def check_same_run(folder: pathlib.Path, config: Settings) -> None:
    """Refuses a directory that holds another run.

    More rounds, seeds or strategies may be asked for later: they add files
    and change none. Where people label, only rounds may be added.

    Args:
        folder: `--output_dir`; it need not exist.
        config: settings of this run.

    Raises:
        InputError: the directory holds a run with other settings, or files of
            something else.
    """
    path = folder / "config.json"
    extensible = EXTENSIBLE
    if config.get("oracle") == "people":
        extensible -= _FIXED_BY_PEOPLE
    if path.exists():
        old = read_json(path)
        if not isinstance(old, dict):
            raise InputError("is not a configuration", where=str(path))
        if "strategies" not in old:
            raise InputError(
                "holds a run of another program",
                where=str(folder),
                remedy="Name another --output_dir",
            )
        changed = sorted(
            name
            for name in {*old, *config} - extensible
            if old.get(name) != config.get(name)
        )
        if changed:
            name = changed[0]
            raise InputError(
                f"holds a run with another {', '.join(changed)}",
                where=str(folder),
                got=config.get(name),
                expected=f"{old.get(name)!r} for {name}",
                remedy="Name another --output_dir, or give the old settings",
            )
    elif folder.is_dir() and list(folder.glob("[!.]*")):
        raise InputError(
            "holds files but no run",
            where=str(folder),
            remedy="Name an empty or a new --output_dir",
        )


def write_config(folder: pathlib.Path, config: Settings) -> None:
    """Writes config.json, unless the same is there already."""
    path = folder / "config.json"
    if not path.exists() or read_json(path) != config:
        write_json(path, config)
