"""Labels files that people changed after their round had been read."""

from __future__ import annotations

import numpy as np
from absl import logging

from al_tf.loop.label_store import LabelStore
from al_tf.loop.oracles import PeopleOracle
from runkit import InputError

_MOST_NAMED = 10


def changed_labels(
    store: LabelStore, oracle: PeopleOracle, rounds: int
) -> dict[int, np.ndarray]:
    """Compares the labels of finished rounds with the files they came from.

    A file that is gone changes nothing.

    Returns:
        {round: labels in the file now} of those that differ.
    """
    changed = {}
    for number in range(rounds + 1):
        batch, labels = store.batch(number), store.labels(number)
        if batch is None or labels is None:
            break
        now = oracle.answered(number, batch)
        if now is not None and not np.array_equal(now, labels):
            changed[number] = now
    return changed


def refuse_changed(store: LabelStore, changed: dict[int, np.ndarray]) -> None:
    """Names the examples whose labels differ, if any do.

    Raises:
        InputError: some do.
    """
    for number, now in changed.items():
        before = store.labels(number)
        assert before is not None
        differs = (now != before).reshape(len(now), -1).any(1)
        rows = store.example_ids(number)[differs]
        shown = ", ".join(map(str, rows[:_MOST_NAMED]))
        more = ", ..." if len(rows) > _MOST_NAMED else ""
        raise InputError(
            f"changed after round {number} had been read: {len(rows)} labels "
            f"differ; example ids {shown}{more}",
            where=f"labels/round-{number:03d}",
            remedy="Put the old labels back, or give --accept_changed_labels",
        )


def amend(store: LabelStore, changed: dict[int, np.ndarray]) -> None:
    """Takes changed labels; what was measured since is measured again.

    The batches of later rounds stay: people have labeled them.
    """
    for number, labels in changed.items():
        logging.warning("round %d: its changed labels are taken", number)
        store.amend_labels(number, labels)
