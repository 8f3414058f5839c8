"""The rounds of `average_linkage` over parts: the same merges, bit by bit.

Everything that decides is computed as on one machine, from the same numbers:

* The schedule: `run_rounds` drives this class and `Agglomeration` alike; who is
  asked, when the threshold is lowered and when rows are dropped follow from
  sums and masks over all parts.
* The answers of searches, with their bounds: see `search`.
* The lists, their nearest entries and radii: see `parts`.
* The pairs: see `pairs`. Ties are broken by the clusters' origins, which do
  not depend on where a cluster is.
* The moments of a union are computed from those of its two halves by the same
  kernel, so that a cluster's moments are a function of its tree alone.
* The height of a merge is the maximum of its linkage and of two heights.

So by induction over the rounds, the state of all parts together is that of one
machine, for every number of parts. Libraries round differently on CPUs of
different kinds: bits are promised on equal machines only. When the clusters
that are left fit, `Agglomeration` itself goes on with them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from al_tf.clustering.agglomeration import Agglomeration
from al_tf.clustering.build import scann_factory
from al_tf.clustering.hac_kernels import Clusters
from al_tf.clustering.merges import MergeRecord, Merges
from al_tf.distributed import asking
from al_tf.distributed.engine import Engine, Handle
from al_tf.distributed.fleet import Fleet, ask_owners, renew, repartition
from al_tf.distributed.stages import pairs as pairing
from al_tf.distributed.stages import parts as stages


class PartitionedRounds:
    """Clusters in parts that merge in rounds; see `average_linkage.Rounds`.

    Args:
        engine: where the parts are.
        fleet: the parts, with first answers in their lists.
        threshold: clusters farther apart are not merged.
        record: merges so far.
        unit: distance that 1.0 stands for.
        finish_rows: so few rows are finished by one machine.
        after_round: called when a round is complete.
        rounds: that are complete.
        scann: seed of approximate searches; None: all are exact.
    """

    def __init__(
        self,
        engine: Engine,
        fleet: Fleet,
        *,
        threshold: float,
        record: MergeRecord,
        unit: float,
        finish_rows: int,
        after_round: Callable[[PartitionedRounds], None],
        rounds: int = 0,
        scann: int | None = None,
    ):
        self.engine, self.fleet = engine, fleet
        self.threshold, self.record = threshold, record
        self.unit, self.rounds = unit, rounds
        self._finish_rows, self._after_round = finish_rows, after_round
        self._scann, self.num_open = scann, fleet.num_rows
        self._finisher: Agglomeration | None = None
        self._finish_if_few()

    def merges(self) -> Merges:
        """All merges at or below the threshold, nearest first."""
        if self._finisher:
            return self._finisher.merges()
        return self.record.within(self.threshold)

    def tighten(self, merges_wanted: int | None) -> None:
        """See `Rounds.tighten`."""
        if self._finisher:
            self._finisher.tighten(merges_wanted)
        else:
            self.threshold = self.record.tightened(
                self.threshold, merges_wanted
            )

    def certify(self, *, only_wanted: bool) -> None:
        """See `Rounds.certify`."""
        if self._finisher:
            self._finisher.certify(only_wanted=only_wanted)
            return
        fleet, p = self.fleet, len(self.fleet.parts)
        for attempt in range(3):
            wanted = [()] * p
            if only_wanted:
                told = self.engine.map(
                    "certify",
                    stages.wanted,
                    [(x, fleet.starts, self.threshold) for x in fleet.parts],
                    returns=p,
                )
                wanted = list(zip(*told, strict=True))
            found = self.engine.map(
                "certify",
                stages.asked,
                [
                    (x, self.threshold, *names)
                    for x, names in zip(fleet.parts, wanted, strict=True)
                ],
                returns=2,
                keeps=1,
            )
            counts = [int(c[0]) for c in self.engine.get([f[1] for f in found])]
            if not sum(counts):
                break
            self._ask(attempt, [f[0] for f in found], counts)
        fleet.parts = self.engine.map(
            "certify",
            stages.retired,
            [(x, self.threshold) for x in fleet.parts],
            keeps=1,
        )

    def _ask(
        self, attempt: int, asked: list[Handle], counts: list[int]
    ) -> None:
        """As on one machine: ask an index first, then exactly, then all."""
        engine, fleet, scann = self.engine, self.fleet, self._scann
        if attempt == 2:
            asking.ask_everyone(engine, fleet, asked, counts)
        elif (
            attempt == 0
            and scann is not None
            and asking.prefers_scann(fleet, sum(counts))
        ):
            k = fleet.width // 2
            asking.ask_scann(engine, fleet, asked, counts, k, scann)
        else:
            asking.ask_exact(engine, fleet, self.threshold, asked, counts)

    def merge_round(self) -> bool:
        """See `Rounds.merge_round`."""
        if self._finisher:
            return self._finisher.merge_round()
        fleet, engine, p = self.fleet, self.engine, len(self.fleet.parts)
        told = [(x, fleet.starts, self.threshold) for x in fleet.parts]
        made = engine.map("pairs", pairing.offers, told, returns=p)
        decided = engine.map(
            "pairs",
            pairing.decided,
            [
                (*args, *offered)
                for args, offered in zip(
                    told, zip(*made, strict=True), strict=True
                )
            ],
            returns=1 + p,
            keeps=1,
        )
        told_pairs = zip(*[d[1:] for d in decided], strict=True)
        pairs = engine.map(
            "pairs",
            pairing.settled,
            [
                (own[0], self.threshold, *heard)
                for own, heard in zip(decided, told_pairs, strict=True)
            ],
        )
        values = engine.get(pairs)
        if not sum(len(v.kept) for v in values):
            return False
        unions = self._unite(pairs, [len(v.kept) for v in values])
        made_heights = engine.map(
            "merge", pairing.heights, [tuple(u) for u in unions]
        )
        for value, height in zip(values, engine.get(made_heights), strict=True):
            self.record.add(Merges(value.kept, value.absorbed, height))
        after = engine.map(
            "merge",
            pairing.with_merges,
            [
                (part, len(own), *own, *pairs)
                for part, own in zip(fleet.parts, unions, strict=True)
            ],
            returns=3,
            keeps=2,
        )
        fleet.parts = [x[0] for x in after]
        told_counts = engine.get([x[2] for x in after])
        renew(
            engine,
            fleet,
            {i: x[1] for i, x in enumerate(after)},
            {i: int(c[1]) for i, c in enumerate(told_counts)},
        )
        open_counts = [int(c[0]) for c in told_counts]
        self.num_open = sum(open_counts)
        if 2 * self.num_open < fleet.num_rows:
            repartition(engine, fleet, open_counts, only_open=True)
        self.rounds += 1
        self._after_round(self)
        self._finish_if_few()
        return True

    def _unite(
        self, pairs: list[Handle], counts: list[int]
    ) -> list[list[Handle]]:
        """The unions of the pairs that each part keeps."""
        fleet, engine = self.fleet, self.engine
        size = fleet.message_rows(8 * fleet.dimension + 4 * fleet.width + 48)
        unions: list[list[Handle]] = [[] for _ in pairs]
        for start in range(0, max(counts), size):
            having = [p for p, count in enumerate(counts) if count > start]
            cut = slice(start, start + size)
            answers = ask_owners(
                engine,
                fleet,
                "merge",
                pairing.absorbed_by_owner,
                [(pairs[p], cut, fleet.starts) for p in having],
                pairing.whole_clusters,
            )
            made = engine.map(
                "merge",
                pairing.united,
                [
                    (fleet.parts[p], pairs[p], cut, *got)
                    for p, got in zip(having, answers, strict=True)
                ],
                keeps=1,
            )
            for p, union in zip(having, made, strict=True):
                unions[p].append(union)
        return unions

    def _finish_if_few(self) -> None:
        if self.fleet.num_rows > self._finish_rows:
            return
        part = stages.joined(*self.engine.get(self.fleet.parts))
        clusters = Clusters(
            mean=part.mean,
            variance=part.variance,
            size=part.size,
            origin=part.origin,
            height=part.height,
            lists=stages.found(part.origin, part.lists),
            radius=part.radius,
            nearest=stages.find(part.origin, part.nearest),
            distance=part.distance,
            parent=np.arange(len(part.mean), dtype=np.int32),
            is_open=part.is_open,
        )
        self._finisher = Agglomeration(
            clusters,
            threshold=self.threshold,
            make_index=(
                None if self._scann is None else scann_factory(self._scann)
            ),
        )
        self._finisher.record(self.record.all())
