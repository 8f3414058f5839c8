"""The page that shows what was dropped, and for what."""

from __future__ import annotations

import pathlib

import numpy as np

from al_tf.duplicates.results import Outcome
from runkit.report import Report, new_figure

_SHOWN = 10
_SHOWN_LETTERS = 160


def write_page(folder: pathlib.Path, outcome: Outcome) -> pathlib.Path:
    """Writes `report.html` and its PNG; returns the path of the page."""
    found, copies = outcome.found, outcome.copies
    largest = np.argsort(-copies, kind="stable")[:_SHOWN]
    largest = largest[copies[largest] > 0]
    # Those that a reader would doubt first.
    far = np.argsort(-found.distances[found.dropped], kind="stable")[:_SHOWN]
    far = found.dropped[far]
    owners = found.owner[far]
    texts = _texts(outcome, np.concatenate([largest, far, owners]))
    report = Report("Near copies", folder)
    summary = outcome.summary()
    settings = summary.pop("settings")
    report.text(summary.pop("guarantee"))
    report.table(
        ("what", "value"),
        [(name.replace("_", " "), value) for name, value in summary.items()],
    )
    if len(far) and found.distances.any():
        figure, axes = new_figure()
        axes.hist(found.distances[found.dropped], bins=50)
        axes.set_xlabel("distance of a dropped row to its kept row")
        axes.set_ylabel("rows")
        report.heading("How near the dropped rows are")
        report.figure(figure, "distances", "Distances of the dropped rows.")
    headers = ("kept text",) if texts else ()
    report.heading("Kept rows with the most copies")
    report.table(
        ("kept", "rows dropped for it", *headers),
        [
            (name, int(copies[row]), *texts.get(int(row), [])[:1])
            for name, row in zip(outcome.names(largest), largest, strict=True)
        ],
    )
    report.heading("Dropped rows that are farthest from their kept rows")
    report.table(
        (
            "dropped",
            "kept",
            "distance",
            *("dropped text",) * bool(texts),
            *headers,
        ),
        [
            (
                dropped,
                kept,
                float(found.distances[row]),
                *texts.get(int(row), []),
                *texts.get(int(owner), []),
            )
            for dropped, kept, row, owner in zip(
                outcome.names(far),
                outcome.names(owners),
                far,
                owners,
                strict=True,
            )
        ],
    )
    report.heading("Settings")
    report.table(("setting", "value"), settings.items())
    return report.write()


def _texts(outcome: Outcome, rows: np.ndarray) -> dict[int, list[str]]:
    """{row: [beginning of its text]}; empty where texts are not known."""
    if outcome.corpus is None:
        return {}
    wanted, found = {*rows.tolist()}, {}
    for first, texts in outcome.corpus.blocks():
        at = np.arange(first, first + len(texts))
        if outcome.places is not None:
            at = outcome.places[at]
        for row, text in zip(at.tolist(), texts, strict=True):
            if row in wanted:
                found[row] = [text[:_SHOWN_LETTERS]]
    return found
