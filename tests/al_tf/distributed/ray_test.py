"""Ray as the engine: two local nodes, killed workers, a killed driver.

Skipped where Ray cannot be imported. `RAY_PYTHON` may name a Python that can
(with this project's packages); then the tests of this file run in it.
"""

import importlib.util
import os
import pathlib
import signal
import subprocess
import time

import numpy as np
import pytest
from absl.testing import absltest, parameterized

import al_tf
from al_tf.clustering.options import ClusteringOptions
from al_tf.distributed import ray_engine
from al_tf.distributed.cluster import Layout, cluster_shards
from al_tf.distributed.stages.preparation import Shard
from runkit import InputError

ROOT = pathlib.Path(__file__).absolute().parents[3]
HAS_RAY = importlib.util.find_spec("ray") is not None
OTHER_PYTHON = os.environ.get("RAY_PYTHON", "")
SMALL_NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}
OPTIONS = {"metric": "sqeuclidean", "target_cluster_size": 6.0}


def pool(n):
    generator = np.random.default_rng(3)
    centers = generator.standard_normal((n // 10, 5))
    rows = centers[generator.integers(0, len(centers), n)]
    return rows + 0.1 * generator.standard_normal(rows.shape)


def shards(rows, count=4):
    order = np.random.default_rng(1).permutation(len(rows))
    return [
        Shard(rows[at], f"shard {i}", at)
        for i, at in enumerate(np.array_split(order, count))
    ]


def clustered(engine, rows, state=None):
    return cluster_shards(
        engine,
        shards(rows),
        ClusteringOptions(**OPTIONS),
        Layout(4, finish_rows=0),
        state=state,
        save_seconds=0,
    )


def two_nodes():
    """A cluster of two nodes of one core each, on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={**SMALL_NODE, "include_dashboard": False},
    )
    cluster.add_node(**SMALL_NODE)
    return cluster


def failing(path):
    """Ends its worker the first time."""
    if not pathlib.Path(path).exists():
        pathlib.Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return np.array([7])


def dying():
    """Ends its worker every time."""
    os.kill(os.getpid(), signal.SIGKILL)


class Counter:
    """Something that a worker keeps."""

    def __init__(self):
        self.count = 0

    def next(self, number):
        self.count += 1
        time.sleep(0.05)
        return number, os.getpid(), self.count


def failing_with(counter, path):
    """Ends its worker the first time."""
    return failing(path)


def dying_with(counter):
    """Ends its worker every time."""
    dying()


class AddressTest(parameterized.TestCase):
    @parameterized.parameters("somewhere", "host:", ":1", "h:99999", "ray://h")
    def test_no_address(self, address):
        with self.assertRaisesRegex(InputError, "is no address"):
            ray_engine.check_address(address)

    def test_an_address_that_does_not_answer(self):
        # Port 1 of this machine: refused at once.
        with self.assertRaisesRegex(InputError, "nobody answers.*ray start"):
            ray_engine.check_address("127.0.0.1:1")

    def test_without_ray(self):
        with (
            absltest.mock.patch.object(
                importlib.util, "find_spec", return_value=None
            ),
            self.assertRaisesRegex(InputError, r"pip install 'spactor-al\[ray"),
        ):
            ray_engine.RayEngine()


def run_elsewhere(test, file):
    """Runs a file of tests in the Python that has Ray."""
    command = [OTHER_PYTHON, "-m", "pytest", "-q", "-n0", "-s", file]
    done = subprocess.run(
        [*command, "-m", "slow or not slow"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_PYTHON": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    test.assertEqual(done.returncode, 0, done.stdout[-3000:])


@pytest.mark.slow
@pytest.mark.skipif(
    HAS_RAY or not OTHER_PYTHON, reason="RAY_PYTHON names no Python with Ray"
)
class ElsewhereTest(absltest.TestCase):
    def test_in_a_python_with_ray(self):
        run_elsewhere(self, __file__)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed")
class TwoNodesTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        import ray

        cls.cluster = two_nodes()
        # The workers import this module by its name.
        ray.init(
            address=cls.cluster.address,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        )
        cls.rows = pool(2500)
        cls.one = al_tf.cluster_embeddings(cls.rows, exact=True, **OPTIONS)

    @classmethod
    def tearDownClass(cls):
        import ray

        ray.shutdown()
        cls.cluster.shutdown()
        super().tearDownClass()

    def assert_same(self, found):
        np.testing.assert_array_equal(
            found.merge_distances, self.one.merge_distances
        )
        np.testing.assert_array_equal(found.cluster_ids, self.one.cluster_ids)

    def test_the_same_as_one_machine(self):
        engine = ray_engine.RayEngine()
        found = clustered(engine, self.rows)
        self.assert_same(found)
        self.assertGreater(found.rounds, 3)

    def test_a_worker_that_dies_once_is_replaced(self):
        path = self.create_tempdir().full_path + "/died"
        engine = ray_engine.RayEngine()
        made = engine.map("stage", failing, [(path,)])
        self.assertEqual(engine.get(made)[0][0], 7)

    def test_a_shard_whose_worker_always_dies_is_named(self):
        engine = ray_engine.RayEngine()
        with self.assertRaisesRegex(InputError, "some stage, part 0.*died"):
            engine.map("some stage", dying, [()])

    def test_states_that_are_made_once(self):
        engine = ray_engine.RayEngine()
        done = []
        made = engine.map_with_state(
            "stage",
            Counter,
            Counter.next,
            [(i,) for i in range(6)],
            lambda number, _: done.append(number),
        )
        # Two workers, one state each: counts go on from task to task.
        self.assertEqual([i for i, _, _ in made], [*range(6)])
        self.assertCountEqual(done, range(6))
        counts = {}
        for _, worker, count in made:
            counts.setdefault(worker, []).append(count)
        self.assertLessEqual(len(counts), 2)
        for own in counts.values():
            self.assertCountEqual(own, range(1, len(own) + 1))
        self.assertEqual(engine.costs["stage"].tasks, 6)

    def test_a_worker_with_a_state_that_dies_is_replaced(self):
        path = self.create_tempdir().full_path + "/died"
        engine = ray_engine.RayEngine()
        made = engine.map_with_state(
            "stage", Counter, failing_with, [(path,), (path,)]
        )
        self.assertEqual([m[0] for m in made], [7, 7])
        with self.assertRaisesRegex(InputError, "stage, part 0.*died"):
            engine.map_with_state("stage", Counter, dying_with, [()])

    def test_memory_of_the_poorest(self):
        engine = ray_engine.RayEngine()
        self.assertBetween(engine.worker_bytes(), 50 << 20, 100 << 20)

    def test_a_refusal_comes_through(self):
        engine = ray_engine.RayEngine()
        rows = self.rows.copy()
        rows[77] = np.nan
        with self.assertRaisesRegex(InputError, "NaN.*1 rows; example ids 77"):
            clustered(engine, rows)


def kill_a_worker(driver, generator):
    """Kills one process below another that computes a task of Ray's."""
    parents, titles = {}, {}
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            titles[int(path.name)] = (path / "cmdline").read_bytes()
        except OSError:
            continue
        parents[int(path.name)] = int(fields[1])
    workers = []
    for pid, title in titles.items():
        above = pid
        while above in parents and above != driver:
            above = parents[above]
        # A busy worker is called by its task; Ray's own agents must live.
        is_busy = title.startswith(b"ray::") and b", part " in title
        if above == driver and is_busy:
            workers.append(pid)
    if not workers:
        return 0
    os.kill(int(generator.choice(workers)), signal.SIGKILL)
    return 1


if __name__ == "__main__":
    absltest.main()
