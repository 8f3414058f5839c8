"""The first search of a clustering: blocks of single points meet each other."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from absl import logging

from al_tf.distributed.asking import ask_scann, largest_bias, measured_recall
from al_tf.distributed.costs.watch import SEARCH, OnProgress
from al_tf.distributed.engine import Engine, Handle
from al_tf.distributed.fleet import Fleet, choose_axes, is_large, renew
from al_tf.distributed.stages import search
from al_tf.distributed.state import RunState
from al_tf.neighbors import tiles


def first_search(
    engine: Engine,
    fleet: Fleet,
    threshold: float,
    kept: RunState,
    save_seconds: float,
    on_progress: OnProgress,
) -> None:
    """Finds the neighbors of all points: blocks of rows meet each other.

    Args:
        engine: where to compute.
        fleet: single points in parts; their lists are filled.
        threshold: distances beyond it need not be listed.
        kept: where lists are kept between waves.
        save_seconds: how often.
        on_progress: told after every wave.
    """
    k, n = fleet.width // 2, fleet.num_rows
    largest = largest_bias(engine, fleet)
    every = all_rows(engine, fleet)
    axes = None
    if is_large(n, fleet):
        axes = choose_axes(
            engine, fleet, every, fleet.counts, n, k, threshold, largest
        )
    size = fleet.tile_aligned(4 * fleet.dimension + 12 * k + 16)
    owners: list[int] = []
    places: list[slice] = []
    for p, count in enumerate(fleet.counts):
        for a in range(0, count, size):
            owners.append(p)
            places.append(slice(a, min(a + size, count)))
    begins = np.cumsum([0, *fleet.counts])
    starts = [
        int(begins[p]) + c.start for p, c in zip(owners, places, strict=True)
    ]
    queries = engine.map(
        "search",
        search.queries_of,
        [
            (fleet.parts[p], every[p], place)
            for p, place in zip(owners, places, strict=True)
        ],
    )
    waves = tiles.tournament(len(queries))
    found = kept.latest("lists", search.Lists)
    lists: list[Handle] = []
    cuts: list[Handle] = []
    done = 0
    if found is not None:
        done = found.fields["waves"]
        lists, cuts = _listed(engine, [(x,) for x in found.parts])
    saved = time.monotonic()
    on_progress(SEARCH, done / len(waves), "")
    for wave, pairs in enumerate(waves[done:], done):
        given = (k, threshold, n, largest, axes)
        items = [
            (
                *given,
                queries[i],
                starts[i],
                queries[j] if j > i else None,
                starts[j],
                *((cuts[i], cuts[j]) if wave else ()),
            )
            for i, j in pairs
        ]
        made = engine.map(
            "search",
            search.lists_of_pair,
            items,
            returns=2 if wave else 1,
        )
        if wave == 0:
            lists, cuts = _listed(engine, [(m[0],) for m in made])
        else:
            which = [i for pair in pairs for i in pair]
            new = [handle for both in made for handle in both]
            joined = _listed(
                engine,
                [(lists[i], x) for i, x in zip(which, new, strict=True)],
            )
            for i, some, last in zip(which, *joined, strict=True):
                lists[i], cuts[i] = some, last
        if time.monotonic() - saved >= save_seconds:
            kept.save(
                "lists", wave + 1, lists, fields={"waves": wave + 1}, arrays={}
            )
            saved = time.monotonic()
        note = f"wave {wave + 1} of {len(waves)}"
        on_progress(SEARCH, (wave + 1) / len(waves), note)
    answers = engine.map(
        "search",
        search.answered,
        [(q, largest, x) for q, x in zip(queries, lists, strict=True)],
        keeps=1,
    )
    pending = engine.map(
        "lists",
        search.pending_of,
        [
            (part, *(a for a, q in zip(answers, owners, strict=True) if q == p))
            for p, part in enumerate(fleet.parts)
        ],
        keeps=1,
    )
    renew(
        engine, fleet, dict(enumerate(pending)), dict(enumerate(fleet.counts))
    )


def _listed(
    engine: Engine, items: Sequence[tuple[Handle, ...]]
) -> tuple[list[Handle], list[Handle]]:
    """`search.listed` of blocks: their lists, and the last values on them."""
    made = engine.map("search", search.listed, items, returns=2, keeps=1)
    return [m[0] for m in made], [m[1] for m in made]


def all_rows(engine: Engine, fleet: Fleet) -> list[Handle]:
    """The numbers of all rows of each part."""
    return [
        engine.put(np.arange(count, dtype=np.int32)) for count in fleet.counts
    ]


def first_search_by_scann(engine: Engine, fleet: Fleet, seed: int) -> float:
    """The same by ScaNN, see `asking.ask_scann`.

    Args:
        engine: where to compute.
        fleet: single points in parts; their lists are filled.
        seed: of the samples by which recall is measured.

    Returns:
        The measured recall.
    """
    k = fleet.width // 2
    every = all_rows(engine, fleet)
    answers = ask_scann(engine, fleet, every, fleet.counts, k, seed)
    found = measured_recall(engine, fleet, every, answers, k, seed)
    logging.info("first search: recall@%d %.4f on a sample", k, found)
    return found
