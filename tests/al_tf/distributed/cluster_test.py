"""Clustering over parts against one machine: the same bits."""

import contextlib
from unittest import mock

import numpy as np
import pytest
from absl.testing import absltest, parameterized

import al_tf
from al_tf.clustering.options import ClusteringOptions
from al_tf.distributed import engine as engines
from al_tf.distributed.cluster import Layout, cluster_shards
from al_tf.distributed.engine import LocalEngine
from al_tf.distributed.stages.preparation import Shard
from al_tf.inputs import preparation
from al_tf.neighbors import exact_index, tiles
from runkit import InputError


@contextlib.contextmanager
def small_tiles(rows=8, message=1 << 30):
    """Tiles of few rows, so that a small pool has many parts."""
    with (
        mock.patch.object(tiles, "TILE_ROWS", rows),
        mock.patch.object(preparation, "SUMMED_ROWS", rows),
        mock.patch.object(engines, "MAX_MESSAGE_BYTES", message),
    ):
        yield


def shuffled_shards(rows, count, seed):
    order = np.random.default_rng(seed).permutation(len(rows))
    return [
        Shard(rows[places], f"shard {i}", places)
        for i, places in enumerate(np.array_split(order, count))
    ]


def pool(kind, n, d, seed):
    generator = np.random.default_rng(seed)
    if kind == "plain":
        return generator.standard_normal((n, d))
    if kind == "clustered":
        centers = generator.standard_normal((max(2, n // 12), d)) * 3
        which = generator.integers(0, len(centers), n)
        return centers[which] + 0.1 * generator.standard_normal((n, d))
    if kind == "families":
        # Like embeddings: groups, and few directions that tell most.
        axes = generator.standard_normal((d, d)) * 0.7 ** np.arange(d)[:, None]
        centers = generator.standard_normal((max(2, n // 12), d)) @ axes
        noise = generator.standard_normal((n, d)) @ axes
        return centers[generator.integers(0, len(centers), n)] + 0.2 * noise
    if kind == "copies":
        base = generator.standard_normal((max(2, n // 4), d))
        return base[generator.integers(0, len(base), n)]
    # Ties everywhere, and copies.
    return generator.integers(0, 4, (n, d)) + 1.0


KINDS = ("plain", "clustered", "copies", "grid")


class ClusterShardsTest(parameterized.TestCase):
    def assert_same(
        self, rows, parts, seed, finish=0, shards=3, engine=None, **options
    ):
        one = al_tf.cluster_embeddings(rows, exact=True, **options)
        found = cluster_shards(
            engine or LocalEngine(),
            shuffled_shards(rows, shards, seed),
            ClusteringOptions(**options),
            Layout(parts, finish_rows=finish),
        )
        np.testing.assert_array_equal(
            found.merge_distances, one.merge_distances
        )
        np.testing.assert_array_equal(found.cluster_ids, one.cluster_ids)
        return found

    @parameterized.product(kind=KINDS, parts=[*range(1, 8)])
    def test_the_same_as_one_machine(self, kind, parts):
        run_case(self, kind, parts, parts)

    @parameterized.product(kind=KINDS, parts=[*range(1, 8)], case=[*range(8)])
    @pytest.mark.slow
    def test_the_same_in_many_cases(self, kind, parts, case):
        run_case(self, kind, parts, case)

    @parameterized.product(kind=["clustered", "families"], parts=[3, 7])
    @pytest.mark.slow
    def test_the_same_with_real_tiles(self, kind, parts):
        """20,000 rows: whole tiles, a contraction, and 200 rows to finish."""
        rows = pool(kind, 20_000, 24, parts).astype(np.float32)
        engine = LocalEngine()
        found = self.assert_same(
            rows,
            parts,
            parts,
            200,
            engine=engine,
            metric="sqeuclidean",
            target_cluster_size=12.0,
        )
        self.assertGreater(found.rounds, 3)
        self.assertIn("contraction", engine.costs)

    @parameterized.parameters(1, 2, 5)
    def test_the_same_with_a_contraction(self, parts):
        rows = pool("families", 300, 20, parts)
        engine = LocalEngine()
        with (
            small_tiles(),
            mock.patch.object(exact_index, "MANY_QUERIES", 20),
            mock.patch.object(exact_index, "MUCH_WORK", 0),
        ):
            self.assert_same(
                rows,
                parts,
                parts,
                engine=engine,
                metric="sqeuclidean",
                target_cluster_size=4.0,
            )
        self.assertIn("contraction", engine.costs)

    @parameterized.parameters(2, 5)
    def test_ties_that_only_a_scan_tells_apart(self, parts):
        # Unit vectors: all distances are equal, and above what float32 proves.
        engine = LocalEngine()
        with small_tiles():
            self.assert_same(
                np.eye(60),
                parts,
                parts,
                engine=engine,
                num_neighbors=3,
                target_cluster_size=10.0,
            )
        self.assertIn("scan", engine.costs)

    def test_rounds_are_made_over_parts(self):
        rows = pool("plain", 200, 3, 0)
        options = {"metric": "sqeuclidean", "target_cluster_size": 5.0}
        with small_tiles():
            over_parts = self.assert_same(rows, 5, 0, **options)
            finished = self.assert_same(rows, 5, 0, 1000, **options)
        self.assertGreater(over_parts.rounds, 5)
        self.assertEqual(finished.rounds, 0)

    @parameterized.parameters(1, 2, 3)
    def test_tiny_pools(self, n):
        rows = np.arange(2.0 * n).reshape(n, 2)
        self.assert_same(
            rows, 3, 0, shards=1, metric="sqeuclidean", distance_threshold=99.0
        )

    @parameterized.parameters("equal", "one cluster", "a star", "halves")
    def test_messages_are_bounded(self, shape):
        """By a constant, whatever the pool looks like."""
        n, d, parts, most = 300, 4, 3, 3000
        rows = np.ones((n, d))
        if shape != "equal":
            rows += 1e-3 * np.random.default_rng(0).standard_normal((n, d))
        if shape == "halves":
            # A giant cluster of copies, and as many single points.
            rows[: n // 2] = 1.0
        if shape == "a star":
            # One row is the nearest of all others, wherever they are.
            rows = np.concatenate([np.ones((1, 40)), np.eye(40)])
        engine = LocalEngine()
        # One row at least: itself and 2 x 4 candidates with their moments.
        most = max(most, 9 * (8 * rows.shape[1] + 16))
        with small_tiles(message=most):
            self.assert_same(
                rows,
                parts,
                1,
                engine=engine,
                metric="cosine" if shape == "a star" else "sqeuclidean",
                num_neighbors=2,
                distance_threshold=9.0,
            )
        # A part: its rows, evenly cut, in whole tiles.
        rows_of_part = -(-len(rows) // parts) + 8
        part = rows_of_part * (3 * 8 * rows.shape[1] + 4 * 2 * 2 + 128)
        for stage, cost in engine.costs.items():
            self.assertLessEqual(cost.largest_message, most, stage)
            self.assertLessEqual(cost.largest_kept, max(part, most), stage)

    def test_workers_without_the_memory(self):
        with (
            mock.patch.object(LocalEngine, "worker_bytes", lambda _: 1000),
            self.assertRaisesRegex(
                InputError, "memory of a worker.*at most 1,000, .*More|more"
            ),
        ):
            self.assert_same(
                pool("plain", 500, 2, 0), 2, 0, target_cluster_size=4.0
            )

    def test_parts_that_messages_cannot_tell_of(self):
        with (
            small_tiles(message=2000),
            self.assertRaisesRegex(InputError, "parts are too large"),
        ):
            self.assert_same(
                pool("plain", 500, 2, 0), 2, 0, target_cluster_size=4.0
            )


class Stopped(Exception):
    """Ends a run in its middle."""


class StoppingEngine(LocalEngine):
    """Stops a run before its m-th stage."""

    def __init__(self, stages):
        super().__init__()
        self._left = stages

    def map(self, *args, **options):
        self._left -= 1
        if self._left < 0:
            raise Stopped
        return super().map(*args, **options)


class ResumeTest(parameterized.TestCase):
    @parameterized.parameters(0, 1)
    def test_a_stopped_run_goes_on(self, seed):
        rows = pool("families", 150, 4, seed)
        options = {"metric": "sqeuclidean", "target_cluster_size": 4.0}
        state = self.create_tempdir().full_path
        generator = np.random.default_rng(seed)
        stops = 0
        with small_tiles():
            one = al_tf.cluster_embeddings(rows, exact=True, **options)
            # Every stop comes later than the last: the run gets somewhere.
            for stages in [*generator.integers(5, 160, 3), 10**6]:
                try:
                    found = cluster_shards(
                        StoppingEngine(stages),
                        shuffled_shards(rows, 3, 0),
                        ClusteringOptions(**options),
                        Layout(4, finish_rows=0),
                        state=state,
                        save_seconds=0,
                    )
                    break
                except Stopped:
                    stops += 1
        self.assertGreater(stops, 0)
        np.testing.assert_array_equal(
            found.merge_distances, one.merge_distances
        )
        np.testing.assert_array_equal(found.cluster_ids, one.cluster_ids)


def run_case(test, kind, parts, case):
    """Clusters a random pool both ways."""
    seed = 8 * parts + case
    generator = np.random.default_rng(seed)
    n, d = int(generator.integers(20, 260)), int(generator.integers(1, 7))
    rows = pool(kind, n, d, seed).astype([np.float32, np.float64][case % 2])
    options = {
        "num_neighbors": int(generator.integers(1, 6)),
        "metric": ["sqeuclidean", "cosine"][case // 2 % 2],
    }
    if case // 4 % 2:
        options["target_cluster_size"] = float(generator.uniform(1, 9))
    else:
        options["distance_threshold"] = float(generator.uniform(0, 3))
    with small_tiles(
        message=[1 << 30, n * 24 // min(parts, n // 8) + 500][case % 2]
    ):
        test.assert_same(rows, parts, seed, [0, 40][case % 3 == 2], **options)


if __name__ == "__main__":
    absltest.main()
