"""Ray as the engine: two local nodes, and workers that die.

Skipped where Ray cannot be imported. `RAY_PYTHON` may name a Python that can
(with this project's packages); then the tests of this file run in it.
"""

import importlib.util
import os
import pathlib
import signal
import time

import numpy as np
import pytest
from absl.testing import absltest, parameterized

import al_tf
from al_tf.distributed import ray_engine
from runkit import InputError
from tests.support import ray_cluster

HAS_RAY, OTHER_PYTHON, OPTIONS, ROOT = (
    ray_cluster.HAS_RAY,
    ray_cluster.OTHER_PYTHON,
    ray_cluster.OPTIONS,
    ray_cluster.ROOT,
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
    HAS_RAY or not ray_cluster.OTHER_PYTHON,
    reason="RAY_PYTHON names no Python with Ray",
)
class ElsewhereTest(absltest.TestCase):
    def test_in_a_python_with_ray(self):
        ray_cluster.run_elsewhere(self, __file__)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed")
class TwoNodesTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        import ray

        cls.cluster = ray_cluster.two_nodes()
        # The workers import this module by its name.
        ray.init(
            address=cls.cluster.address,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        )
        cls.rows = ray_cluster.pool(2500)
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
        found = ray_cluster.clustered(engine, self.rows)
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
            ray_cluster.clustered(engine, rows)


if __name__ == "__main__":
    absltest.main()
