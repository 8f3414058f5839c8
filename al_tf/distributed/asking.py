"""Asks all parts for the neighbors of some clusters, and renews their lists."""

from __future__ import annotations

import math

import numpy as np
from absl import logging

from al_tf.clustering.cluster_search import CHEAP_WORK, QUERY_BLOCK
from al_tf.distributed.engine import Engine, Handle
from al_tf.distributed.fleet import (
    Fleet,
    blocks,
    choose_axes,
    is_large,
    renew,
    take_positions,
)
from al_tf.distributed.stages import parts as stages
from al_tf.distributed.stages import scan, scann_search, search
from al_tf.neighbors.recall import probe_sample, recall

# Answers to the queries of each part.
Answers = list[list[Handle]]
_SAMPLED_QUERIES = 500


def largest_bias(engine: Engine, fleet: Fleet) -> float:
    """See `search.largest_bias`; of all parts."""
    found = engine.map(
        "search", search.largest_bias, [(x,) for x in fleet.parts]
    )
    return max(float(b[0]) for b in engine.get(found))


def ask_exact(
    engine: Engine,
    fleet: Fleet,
    threshold: float,
    asked: list[Handle],
    counts: list[int],
) -> None:
    """Exact answers; see `Agglomeration`.

    Args:
        engine: where the parts are.
        fleet: the parts; their lists are renewed.
        threshold: clusters farther away need not be listed.
        asked: rows of each part.
        counts: number of these.
    """
    largest = largest_bias(engine, fleet)
    axes = None
    first = min(sum(counts), QUERY_BLOCK)
    if is_large(first, fleet):
        axes = choose_axes(
            engine, fleet, asked, counts, first, fleet.width, threshold, largest
        )
    size = fleet.tile_aligned(4 * fleet.dimension + 12 * fleet.width)
    answers: Answers = [[] for _ in counts]
    for cuts in blocks(counts, min(size, QUERY_BLOCK)):
        pieces = engine.map(
            "search",
            search.queries_of,
            [(fleet.parts[p], asked[p], cut) for p, cut in cuts],
        )
        lists = engine.map(
            "search",
            search.search_part,
            [
                (x, fleet.width, threshold, largest, axes, *pieces)
                for x in fleet.parts
            ],
            returns=len(pieces),
        )
        made = engine.map(
            "search",
            search.answered,
            [
                (piece, largest, *found)
                for piece, *found in zip(pieces, *lists, strict=True)
            ],
            keeps=1,
        )
        for (part, _), answer in zip(cuts, made, strict=True):
            answers[part].append(answer)
    _take_answers(engine, fleet, answers, counts)


def prefers_scann(fleet: Fleet, num_queries: int) -> bool:
    """Whether trees, built anew, answer cheaper than an exact search.

    The rule of `ClusterSearch.prefers_index`: a tree costs what 16 sqrt(m)
    queries cost that read its m rows.
    """
    rows = fleet.num_rows
    if float(num_queries) * rows * fleet.dimension < CHEAP_WORK:
        return False
    return num_queries > 16 * math.sqrt(rows / len(fleet.parts))


def ask_scann(
    engine: Engine,
    fleet: Fleet,
    asked: list[Handle],
    counts: list[int],
    k: int,
    seed: int,
) -> Answers:
    """Answers by ScaNN; see `ask_exact`.

    Returns:
        The answers that the lists were renewed with.
    """
    size = fleet.message_rows(4 * fleet.dimension + 12 * k + 16)
    size = min(size, QUERY_BLOCK)
    cuts = [cut for block in blocks(counts, size) for cut in block]
    answers: Answers = [[] for _ in counts]
    together = max(1, max(fleet.counts) // size)
    for start in range(0, len(cuts), together):
        some = cuts[start : start + together]
        pieces = engine.map(
            "search",
            search.queries_of,
            [(fleet.parts[p], asked[p], cut) for p, cut in some],
        )
        lists = engine.map(
            "search",
            scann_search.scann_part,
            [(x, k, seed, *pieces) for x in fleet.parts],
            returns=1 + len(pieces),
        )
        told = engine.get([made[0] for made in lists])
        logging.info(
            "ScaNN: recall in the parts at least %.4f, %d of %d leaves",
            *min(told, key=lambda probe: float(probe[0])),
        )
        made = engine.map(
            "search",
            scann_search.scann_answered,
            [
                (piece, *found)
                for piece, *found in zip(
                    pieces, *(made[1:] for made in lists), strict=True
                )
            ],
            keeps=1,
        )
        for (part, _), answer in zip(some, made, strict=True):
            answers[part].append(answer)
    _take_answers(engine, fleet, answers, counts)
    return answers


def measured_recall(
    engine: Engine,
    fleet: Fleet,
    every: list[Handle],
    answers: Answers,
    k: int,
    seed: int,
) -> float:
    """Share of the true neighbors that a search of all clusters has found."""
    which = probe_sample(fleet.num_rows, _SAMPLED_QUERIES, seed)
    pieces = engine.map(
        "recall",
        search.sampled_queries,
        [
            (part, rows, at)
            for part, rows, at in zip(
                fleet.parts,
                every,
                take_positions(fleet.counts, which),
                strict=True,
            )
        ],
    )
    largest = largest_bias(engine, fleet)
    lists = engine.map(
        "recall",
        search.search_part,
        [(x, k, np.inf, largest, None, *pieces) for x in fleet.parts],
        returns=len(pieces),
    )
    true = [
        search.merged(*engine.get(row)).ids for row in zip(*lists, strict=True)
    ]
    found = engine.map(
        "recall",
        scann_search.found_for,
        [
            (piece.origin, *own)
            for piece, own in zip(engine.get(pieces), answers, strict=True)
        ],
    )
    return recall(np.concatenate(engine.get(found)), np.concatenate(true))


def ask_everyone(
    engine: Engine, fleet: Fleet, asked: list[Handle], counts: list[int]
) -> None:
    """For ties closer than the rounding error of an exact search."""
    size = fleet.message_rows(8 * fleet.dimension + 12 * fleet.width)
    answers: Answers = [[] for _ in counts]
    for cuts in blocks(counts, size):
        pieces = engine.map(
            "scan",
            scan.whole_queries,
            [(fleet.parts[p], asked[p], cut) for p, cut in cuts],
        )
        lists = engine.map(
            "scan",
            scan.scanned_part,
            [(x, fleet.width, *pieces) for x in fleet.parts],
            returns=len(pieces),
        )
        made = engine.map(
            "scan",
            scan.scan_answered,
            list(zip(pieces, *lists, strict=True)),
            keeps=1,
        )
        for (part, _), answer in zip(cuts, made, strict=True):
            answers[part].append(answer)
    _take_answers(engine, fleet, answers, counts)
    fleet.parts = engine.map(
        "scan",
        stages.settled_by_scan,
        list(zip(fleet.parts, asked, strict=True)),
        keeps=1,
    )


def _take_answers(
    engine: Engine, fleet: Fleet, answers: Answers, counts: list[int]
) -> None:
    """Puts answers into the lists of those who asked."""
    having = [p for p, found in enumerate(answers) if found]
    pending = engine.map(
        "lists",
        search.pending_of,
        [(fleet.parts[p], *answers[p]) for p in having],
        keeps=1,
    )
    renew(
        engine,
        fleet,
        dict(zip(having, pending, strict=True)),
        {p: counts[p] for p in having},
    )
