"""Ray as the engine: two local nodes, killed workers, a killed driver.

Skipped where Ray cannot be imported. `RAY_PYTHON` may name a Python that can
(with this project's packages); then the tests of this file run in it.
"""

import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
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


def failing(path):
    """Ends its worker the first time."""
    if not pathlib.Path(path).exists():
        pathlib.Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return np.array([7])


def dying():
    """Ends its worker every time."""
    os.kill(os.getpid(), signal.SIGKILL)


class AddressTest(parameterized.TestCase):
    @parameterized.parameters("somewhere", "host:", ":1", "h:99999", "ray://h")
    def test_no_address(self, address):
        with self.assertRaisesRegex(InputError, "is not an address"):
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


@pytest.mark.slow
@pytest.mark.skipif(
    HAS_RAY or not OTHER_PYTHON, reason="RAY_PYTHON names no Python with Ray"
)
class ElsewhereTest(absltest.TestCase):
    def test_in_a_python_with_ray(self):
        command = [OTHER_PYTHON, "-m", "pytest", "-q", "-n0", __file__]
        done = subprocess.run(
            [*command, "-m", "slow or not slow"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_PYTHON": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed")
class TwoNodesTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        import ray
        from ray.cluster_utils import Cluster

        small = {"num_cpus": 1, "object_store_memory": 100 << 20}
        cls.cluster = Cluster(
            initialize_head=True,
            head_node_args={**small, "include_dashboard": False},
        )
        cls.cluster.add_node(**small)
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

    def test_a_refusal_comes_through(self):
        engine = ray_engine.RayEngine()
        rows = self.rows.copy()
        rows[77] = np.nan
        with self.assertRaisesRegex(InputError, "NaN.*1 rows; example ids 77"):
            clustered(engine, rows)


@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed")
class KilledTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def start(self, name):
        """A driver with a cluster of its own; prints its result at the end."""
        code = (
            "import sys; sys.path.insert(0, '.')\n"
            "import numpy as np, ray\n"
            "from al_tf.distributed.ray_engine import RayEngine\n"
            "from tests.al_tf.distributed import ray_test as t\n"
            "ray.init(num_cpus=2, include_dashboard=False,\n"
            "    object_store_memory=100 << 20, log_to_driver=False,\n"
            "    runtime_env={'env_vars': {'PYTHONPATH': sys.argv[3]}})\n"
            "engine = RayEngine()\n"
            "print('began', flush=True)\n"
            "found = t.clustered(engine, t.pool(2500), sys.argv[1])\n"
            "np.savez(sys.argv[2], h=found.merge_distances, "
            "c=found.cluster_ids)\n"
            "print(sorted(engine.costs))\n"
        )
        arguments = [str(self.folder / "state"), str(self.folder / name)]
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments, str(ROOT)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def check(self, name):
        one = al_tf.cluster_embeddings(pool(2500), exact=True, **OPTIONS)
        with np.load(self.folder / name) as found:
            np.testing.assert_array_equal(found["h"], one.merge_distances)
            np.testing.assert_array_equal(found["c"], one.cluster_ids)

    def wait_for(self, pattern):
        for _ in range(1200):
            if [*self.folder.glob(f"state/{pattern}/snapshot.json")]:
                return
            time.sleep(0.05)
        self.fail(f"no {pattern}")

    @pytest.mark.slow
    def test_a_killed_driver_goes_on(self):
        first = self.start("first.npz")
        self.wait_for("parts-00003")
        # Its group; the cluster that it started ends without it.
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        self.assertFalse((self.folder / "first.npz").exists())
        second = self.start("second.npz")
        printed, _ = second.communicate(timeout=300)
        self.assertEqual(second.returncode, 0)
        # What was prepared and searched is not made again.
        self.assertNotIn("copies", printed)
        self.check("second.npz")

    @pytest.mark.slow
    def test_killed_workers_are_replaced(self):
        driver = self.start("only.npz")
        generator = np.random.default_rng(0)
        killed = 0
        self.wait_for("parts-00000")
        while driver.poll() is None and killed < 4:
            # A task is short: it is looked for often, and seldom seen.
            time.sleep(0.01)
            killed += kill_a_worker(driver.pid, generator)
        printed, _ = driver.communicate(timeout=300)
        self.assertEqual(driver.returncode, 0, printed)
        self.assertGreater(killed, 0)
        self.check("only.npz")


def kill_a_worker(driver, generator):
    """Kills one process below a driver that computes a task of Ray's."""
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
