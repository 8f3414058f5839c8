"""Clustering over parts against one machine: the same bits."""

import contextlib
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

import al_tf
from al_tf.clustering.options import ClusteringOptions
from al_tf.distributed import engine as engines
from al_tf.distributed.cluster import Layout, cluster_shards
from al_tf.distributed.engine import LocalEngine
from al_tf.distributed.stages.preparation import Shard
from al_tf.inputs import preparation
from al_tf.neighbors import tiles


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
    if kind == "copies":
        base = generator.standard_normal((max(2, n // 4), d))
        return base[generator.integers(0, len(base), n)]
    # Ties everywhere, and copies.
    return generator.integers(0, 4, (n, d)) + 1.0


class ClusterShardsTest(parameterized.TestCase):
    def assert_same(self, rows, parts, seed, finish=0, shards=3, **options):
        one = al_tf.cluster_embeddings(rows, exact=True, **options)
        found = cluster_shards(
            LocalEngine(),
            shuffled_shards(rows, shards, seed),
            ClusteringOptions(**options),
            Layout(parts, finish_rows=finish),
        )
        np.testing.assert_array_equal(
            found.merge_distances, one.merge_distances
        )
        np.testing.assert_array_equal(found.cluster_ids, one.cluster_ids)
        return found

    @parameterized.product(
        kind=["plain", "clustered", "copies", "grid"],
        parts=[*range(1, 8)],
        case=[*range(8)],
    )
    def test_the_same_as_one_machine(self, kind, parts, case):
        run_case(self, kind, parts, case)


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
    if case // 4:
        options["target_cluster_size"] = float(generator.uniform(1, 9))
    else:
        options["distance_threshold"] = float(generator.uniform(0, 3))
    if options["metric"] == "cosine":
        rows[~rows.any(1)] = 1
    with small_tiles(message=[1 << 30, 2000][case % 2]):
        test.assert_same(
            rows, parts, seed, [0, 40][case % 3 == 2], **options
        )


if __name__ == "__main__":
    absltest.main()
