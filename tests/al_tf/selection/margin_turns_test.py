"""Margin turns against a loop, the paper's rule, and by hand."""

import dataclasses
import itertools

import numpy as np
from absl.testing import absltest, parameterized

import al_tf
from al_tf.selection import margin_turns
from al_tf.selection.margin_turns import TurnOptions, select_in_turns
from runkit import InputError


def follow(batch, margins, clusters, ids, most, options):
    """Follows the batch one pick at a time; no two margins are equal.

    Returns:
        For each pick, (the place of its cluster, the first place of all, the
        example that its cluster offers).
    """
    members = {c: set(np.flatnonzero(clusters == c)) for c in set(clusters)}
    unlabeled = set(ids.tolist())
    offers = {c: m & unlabeled for c, m in members.items() if m & unlabeled}
    best = {c: min(margins[list(m)]) for c, m in offers.items()}
    if options.counts == "examples":
        candidates = set(sorted(unlabeled, key=lambda i: margins[i])[:most])
    else:
        candidates = set()
        for number, c in enumerate(sorted(offers, key=best.get)):
            if number < most or len(candidates) < len(batch):
                candidates |= offers[c]
    left = {c: m & candidates for c, m in offers.items() if m & candidates}
    size = {c: len(m) for c, m in left.items()}
    taken = {
        c: len(members[c] - unlabeled) if options.goes_on else 0 for c in left
    }

    def place(c):
        by = {"margin": best[c], "smallest": size[c], "largest": -size[c]}
        alone = options.singletons_last and len(members[c]) == 1
        return taken[c], alone, by[options.order]

    lines = []
    for pick in batch.tolist():
        own = clusters[pick]
        first = min(place(c) for c, m in left.items() if m)
        offered = min(left[own], key=lambda i: margins[i])
        lines.append((place(own), first, offered))
        left[own].remove(pick)
        taken[own] += 1
    return lines


class MarginTurnsTest(parameterized.TestCase):
    def test_by_hand(self):
        margins = np.array([0.3, 0.1, 0.2, 0.0, 0.4, 0.5])
        clusters = np.array([0, 0, 1, 1, 2, 2])
        batch = select_in_turns(
            margins, clusters, batch_size=6, margin_batch_size=6
        )
        # Cluster 1 has the smallest margin, then 0, then 2; two passes.
        self.assertEqual(batch.tolist(), [3, 1, 4, 2, 0, 5])

    def test_a_labeled_example_is_a_turn_taken(self):
        margins = np.array([0.3, 0.1, 0.2, 0.0, 0.4, 0.5])
        clusters = np.array([0, 0, 1, 1, 2, 2])
        for goes_on, expected in ((True, [1, 4, 0, 2]), (False, [1, 2, 4, 0])):
            batch = select_in_turns(
                margins,
                clusters,
                batch_size=4,
                margin_batch_size=5,
                unlabeled=np.array([0, 1, 2, 4, 5]),
                options=TurnOptions(goes_on=goes_on),
            )
            self.assertEqual(batch.tolist(), expected)

    def test_two_rounds_are_one(self):
        """The turns go on: two batches are the batch of twice the size."""
        generator = np.random.default_rng(0)
        margins = generator.random(80)
        clusters = generator.integers(0, 9, 80)
        whole = select_in_turns(
            margins, clusters, batch_size=30, margin_batch_size=80
        )
        first = whole[:17]
        left = np.setdiff1d(np.arange(80), first)
        again = select_in_turns(
            margins,
            clusters,
            batch_size=13,
            margin_batch_size=63,
            unlabeled=left,
        )
        taken = np.bincount(clusters[np.concatenate([first, again])])
        room = np.bincount(clusters, minlength=9)
        # All clusters have had as many turns, as far as they have members.
        most = taken.max()
        self.assertTrue((taken >= np.minimum(room, most - 1)).all())

    @parameterized.product(
        order=margin_turns.ORDERS,
        goes_on=(True, False),
        counts=margin_turns.COUNTS,
        singletons_last=(True, False),
    )
    def test_against_one_pick_at_a_time(
        self, order, goes_on, counts, singletons_last
    ):
        options = TurnOptions(
            order=order,
            goes_on=goes_on,
            counts=counts,
            singletons_last=singletons_last,
        )
        for seed, most in itertools.product(range(3), (12, 20)):
            generator = np.random.default_rng(seed)
            margins = generator.permutation(50) / 50
            clusters = generator.integers(0, 30, 50)
            ids = np.sort(generator.permutation(50)[:40])
            batch = select_in_turns(
                margins,
                clusters,
                batch_size=12,
                margin_batch_size=most,
                unlabeled=ids,
                options=options,
            )
            for pick, (own, first, offered) in zip(
                batch,
                follow(batch, margins, clusters, ids, most, options),
                strict=True,
            ):
                self.assertEqual(own, first)
                self.assertEqual(pick, offered)

    @parameterized.parameters(*range(4))
    def test_the_papers_values_give_the_papers_batch(self, seed):
        generator = np.random.default_rng(seed)
        margins = generator.random(60)
        clusters = generator.integers(0, 6, 60)
        paper = TurnOptions("random", "smallest", goes_on=False)
        ours = select_in_turns(
            margins,
            clusters,
            batch_size=50,
            margin_batch_size=50,
            seed=seed,
            options=paper,
        )
        theirs = al_tf.select_batch(
            margins,
            clusters,
            batch_size=50,
            margin_batch_size=50,
            seed=seed,
        )
        # Pass by pass and size by size, the same clusters.
        size = np.bincount(clusters[ours], minlength=6)
        self.assertEqual(
            size[clusters[ours]].tolist(), size[clusters[theirs]].tolist()
        )
        for c in range(6):
            own = [b[clusters[b] == c].tolist() for b in (ours, theirs)]
            self.assertEqual(*own)

    def test_members_are_drawn_by_their_uncertainty(self):
        margins = np.array([0.1, 0.7, 1.0])
        drawn = [
            int(
                select_in_turns(
                    margins,
                    np.zeros(3, int),
                    batch_size=1,
                    margin_batch_size=3,
                    seed=seed,
                    options=TurnOptions(member="drawn"),
                )[0]
            )
            for seed in range(2000)
        ]
        share = np.bincount(drawn, minlength=3) / 2000
        # 0.9 and 0.3 of 1.2; 2000 draws have a standard error of 0.01.
        np.testing.assert_allclose(share, [0.75, 0.25, 0], atol=0.04)

    def test_counting_clusters_reaches_more_of_them(self):
        margins = np.arange(40) / 40
        clusters = np.repeat([0, 1, 2, 3], 10)
        pool = {"batch_size": 4, "margin_batch_size": 4}
        few = select_in_turns(margins, clusters, **pool)
        many = select_in_turns(
            margins, clusters, **pool, options=TurnOptions(counts="clusters")
        )
        self.assertEqual(few.tolist(), [0, 1, 2, 3])
        self.assertEqual(many.tolist(), [0, 10, 20, 30])

    def test_unknown_options_are_named(self):
        for field, value in (
            ("member", "margins"),
            ("order", "small"),
            ("counts", "example"),
        ):
            options = dataclasses.replace(TurnOptions(), **{field: value})
            with self.assertRaisesRegex(InputError, value):
                select_in_turns(
                    np.zeros(3), np.zeros(3, int), batch_size=1, options=options
                )


if __name__ == "__main__":
    absltest.main()
