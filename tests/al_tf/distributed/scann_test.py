"""ScaNN's neighbors over parts: measured, and nearly the exact clusters."""

import pathlib
from unittest import mock

import numpy as np
import pytest
from absl.testing import absltest, parameterized
from sklearn.metrics import adjusted_rand_score

import al_tf
from al_tf.clustering.options import ClusteringOptions
from al_tf.distributed import asking
from al_tf.distributed.cluster import Layout, cluster_shards
from al_tf.distributed.engine import LocalEngine
from al_tf.distributed.stages import scann_search
from al_tf.distributed.stages.parts import new_part
from al_tf.distributed.stages.preparation import Shard
from al_tf.distributed.stages.search import Queries
from al_tf.neighbors import scann_index
from runkit import InputError

OPTIONS = {"metric": "sqeuclidean", "target_cluster_size": 8.0}


def families(n, d, seed):
    generator = np.random.default_rng(seed)
    centers = generator.standard_normal((n // 8, d))
    rows = centers[generator.integers(0, len(centers), n)]
    return rows + 0.3 * generator.standard_normal((n, d))


def clustered(rows, parts, engine=None, state=None, finish=0):
    order = np.random.default_rng(0).permutation(len(rows))
    return cluster_shards(
        engine or LocalEngine(),
        [
            Shard(rows[at], f"shard {i}", at)
            for i, at in enumerate(np.array_split(order, 3))
        ],
        ClusteringOptions(exact=False, **OPTIONS),
        Layout(parts, finish_rows=finish),
        state=state,
    )


class ScannTest(parameterized.TestCase):
    def test_lists_of_parts_are_lists_of_the_pool(self):
        rows = families(1200, 6, 0)
        variance = np.random.default_rng(1).random(1200)
        halves = [
            new_part(
                rows[a:b], np.arange(a, b), np.ones(600), np.ones(600, bool), 4
            )._replace(variance=variance[a:b])
            for a, b in ((0, 600), (600, 1200))
        ]
        queries = Queries(
            rows[590:610].astype(np.float32),
            variance[590:610],
            np.arange(590, 610),
        )
        with mock.patch.object(scann_search, "SMALL_PART", 10):
            made = [scann_search.scann_part(h, 4, 0, queries) for h in halves]
        answer = scann_search.scann_answered(queries, *(m[1] for m in made))
        square = ((rows[590:610, None] - rows) ** 2).sum(2) + variance
        square[np.arange(20), np.arange(590, 610)] = np.inf
        nearest = np.argsort(square, axis=1)[:, :4]
        # Trees of 75 leaves of 8 rows: nearly all is found.
        found = [
            len(set(a) & set(b))
            for a, b in zip(answer.ids, nearest, strict=True)
        ]
        self.assertGreaterEqual(sum(found), 76)
        whole = np.array(found) == 4
        bound = np.sort(square, axis=1)[:, 3] + variance[590:610]
        np.testing.assert_allclose(answer.bound[whole], bound[whole], rtol=1e-5)

    def test_close_to_exact(self):
        rows = families(4000, 8, 1)
        exact = al_tf.cluster_embeddings(rows, exact=True, **OPTIONS)
        with (
            mock.patch.object(scann_search, "SMALL_PART", 100),
            mock.patch.object(asking, "CHEAP_WORK", 0),
        ):
            found = clustered(rows, 3)
        self.assertBetween(found.recall, 0.95, 1.0)
        self.assertGreater(found.rounds, 3)
        self.assertEqual(len(found.merge_distances), len(exact.merge_distances))
        self.assertGreaterEqual(
            adjusted_rand_score(exact.cluster_ids, found.cluster_ids), 0.99
        )

    @pytest.mark.slow
    def test_close_to_exact_at_twenty_thousand(self):
        rows = families(20_000, 32, 2).astype(np.float32)
        exact = al_tf.cluster_embeddings(rows, exact=True, **OPTIONS)
        found = clustered(rows, 4, finish=1000)
        self.assertGreaterEqual(
            adjusted_rand_score(exact.cluster_ids, found.cluster_ids), 0.99
        )

    def test_goes_on_from_its_state_only(self):
        rows = families(600, 4, 3)
        state = self.create_tempdir().full_path + "/state"
        first = clustered(rows, 2, state=state)
        engine = LocalEngine()
        again = clustered(rows, 2, engine, state)
        np.testing.assert_array_equal(again.cluster_ids, first.cluster_ids)
        self.assertEqual(again.recall, first.recall)
        self.assertNotIn("recall", engine.costs)
        with self.assertRaisesRegex(InputError, "another options"):
            cluster_shards(
                LocalEngine(),
                [Shard(rows, "s", np.arange(600))],
                ClusteringOptions(**OPTIONS),
                Layout(2, finish_rows=0),
                state=state,
            )

    def test_without_scann(self):
        state = pathlib.Path(self.create_tempdir().full_path) / "state"
        with (
            mock.patch.object(scann_index, "is_available", lambda: False),
            self.assertRaisesRegex(InputError, "ScaNN is not installed"),
        ):
            clustered(families(100, 3, 0), 2, state=str(state))
        self.assertFalse(state.exists())


if __name__ == "__main__":
    absltest.main()
