"""kill -9 of drivers, workers and nodes at random moments: the same result.

The numbers of kills are those of RAY_DRIVER_KILLS, RAY_WORKER_KILLS and
RAY_NODE_KILLS; fewer are a first look. Skipped as `ray_test` is.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest
from absl.testing import absltest
from pyarrow import parquet

import al_tf
from al_tf.distributed.ray_engine import RayEngine
from al_tf.inputs.pool_files import read_pool
from export.scoring import parallel, shards
from runkit import InputError
from tests.support import ray_cluster

HAS_RAY, OTHER_PYTHON, ROOT = (
    ray_cluster.HAS_RAY,
    ray_cluster.OTHER_PYTHON,
    ray_cluster.ROOT,
)

DRIVER_KILLS = int(os.environ.get("RAY_DRIVER_KILLS", "10"))
WORKER_KILLS = int(os.environ.get("RAY_WORKER_KILLS", "20"))
NODE_KILLS = int(os.environ.get("RAY_NODE_KILLS", "5"))
# Of one run: a task that dies four times ends it.
KILLS_A_RUN = 4
ROWS = 2500


class SlowModel:
    """Scores texts that are numbers; tells a file whom it was asked for."""

    def __init__(self, log):
        self.log = log

    def __call__(self):
        def predict(signature, inputs):
            with pathlib.Path(self.log).open("a") as log:
                log.write(json.dumps(sorted(map(int, inputs["text"]))) + "\n")
            time.sleep(0.3)
            numbers = np.array([int(t) for t in inputs["text"]], np.float32)
            return {"embedding": numbers[:, None], "margin": numbers}

        return predict

    def name(self):
        return "slow"

    def weights(self):
        return ""


def drive(address, state, result):
    """A driver: clusters from its state, writes its result, and ends."""
    join(address)
    print("began", flush=True)
    try:
        found = ray_cluster.clustered(
            RayEngine(), ray_cluster.pool(ROWS), state
        )
    except InputError as error:
        print(error)
        sys.exit(2)
    np.savez(result, h=found.merge_distances, c=found.cluster_ids)


def join(address):
    """Joins a cluster whose workers find this package."""
    import ray

    ray.init(
        address=address,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )


@pytest.mark.slow
@pytest.mark.skipif(
    HAS_RAY or not OTHER_PYTHON, reason="RAY_PYTHON names no Python with Ray"
)
class ElsewhereTest(absltest.TestCase):
    def test_in_a_python_with_ray(self):
        ray_cluster.run_elsewhere(self, __file__)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed")
class KillTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster = ray_cluster.two_nodes()
        cls.rows = ray_cluster.pool(ROWS)
        cls.one = al_tf.cluster_embeddings(
            cls.rows, exact=True, **ray_cluster.OPTIONS
        )
        cls.seconds = 0.0

    @classmethod
    def tearDownClass(cls):
        cls.cluster.shutdown()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.random = np.random.default_rng(0)
        self.runs = 0
        if not self.seconds:
            # An undisturbed run; its length bounds the moments.
            driver = self.start("state")
            began = time.monotonic()
            self.assertEqual(driver.wait(600), 0, driver.stdout.read())
            type(self).seconds = time.monotonic() - began
            self.check()

    def start(self, state):
        """Starts a driver and waits until it has joined the cluster."""
        self.runs += 1
        code = (
            "import sys; sys.path.insert(0, '.')\n"
            "from tests.al_tf.distributed import ray_kill_test as t\n"
            "t.drive(*sys.argv[1:])\n"
        )
        driver = subprocess.Popen(
            [
                *(sys.executable, "-c", code, self.cluster.address),
                *(str(self.folder / state), str(self.folder / "result.npz")),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.assertEqual(driver.stdout.readline().strip(), "began")
        return driver

    def check(self):
        """The result of the run that has just ended; it is taken away."""
        path = self.folder / "result.npz"
        with np.load(path) as found:
            np.testing.assert_array_equal(found["h"], self.one.merge_distances)
            np.testing.assert_array_equal(found["c"], self.one.cluster_ids)
        path.unlink()

    def moment(self):
        return float(self.random.uniform(0, self.seconds))

    def finish(self, driver, state):
        """Waits; a run that ends clearly goes on from its state."""
        while driver.wait(600) == 2:
            self.assertIn("goes on from the state", driver.stdout.read())
            self.assertLess(self.runs, 100)
            driver = self.start(state)
        self.assertEqual(driver.returncode, 0, driver.stdout.read())
        self.check()

    def test_drivers(self):
        kills = states = 0
        while kills < DRIVER_KILLS:
            driver = self.start(f"state-{states}")
            try:
                driver.wait(self.moment())
            except subprocess.TimeoutExpired:
                os.killpg(driver.pid, signal.SIGKILL)
                driver.wait()
                kills += 1
                continue
            # It was faster: another run is killed.
            self.finish(driver, f"state-{states}")
            states += 1
        self.finish(self.start(f"state-{states}"), f"state-{states}")
        print(f"{kills} drivers killed in {self.runs} runs")

    def test_workers(self):
        kills = states = 0
        while kills < WORKER_KILLS:
            driver, now = self.start(f"state-{states}"), 0
            began = time.monotonic()
            moments = sorted(self.moment() for _ in range(KILLS_A_RUN))
            while driver.poll() is None and now < KILLS_A_RUN:
                # A task is short: it is looked for often, and seldom seen.
                time.sleep(0.01)
                if time.monotonic() - began < moments[now]:
                    continue
                now += ray_cluster.kill_a_worker(os.getpid(), self.random)
            kills += now
            self.finish(driver, f"state-{states}")
            states += 1
        print(f"{kills} workers killed in {self.runs} runs")

    def test_nodes(self):
        for number in range(NODE_KILLS):
            node = [*self.cluster.worker_nodes][0]
            driver = self.start(f"state-{number}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                driver.wait(self.moment())
            self.cluster.remove_node(node, allow_graceful=False)
            self.finish(driver, f"state-{number}")
            self.cluster.add_node(**ray_cluster.SMALL_NODE)
        print(f"{NODE_KILLS} nodes removed in {self.runs} runs")

    def test_scoring(self):
        """Workers that score are killed: every file once, every id once."""
        for number in range(12):
            at = np.arange(5 * number, 5 * number + 5)
            path = self.folder / "pool" / f"{number:02d}.parquet"
            path.parent.mkdir(exist_ok=True)
            texts = [str(i) for i in at]
            parquet.write_table(pa.table({"id": at, "text": texts}), path)
        out, log = self.folder / "out", self.folder / "log"
        code = (
            "import sys; sys.path.insert(0, '.')\n"
            "from tests.al_tf.distributed import ray_kill_test as t\n"
            "t.drive_scores(*sys.argv[1:])\n"
        )
        driver = subprocess.Popen(
            [
                *(sys.executable, "-c", code, self.cluster.address),
                *(str(self.folder / "pool"), str(out), str(log)),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        kills = 0
        # A file whose worker dies four times ends a scoring.
        while driver.poll() is None and kills < KILLS_A_RUN - 1:
            time.sleep(0.05)
            if log.exists() and self.random.random() < 0.2:
                kills += ray_cluster.kill_a_worker(os.getpid(), self.random)
        printed, _ = driver.communicate(timeout=600)
        self.assertEqual(driver.returncode, 0, printed)
        self.assertGreater(kills, 0)
        pool = read_pool(out / "scores")
        self.assertEqual(pool.ids.tolist(), [*range(60)])
        self.assertLen([*(out / "done").iterdir()], 12)
        # A file whose worker died is scored again, and no other.
        asked = log.read_text().splitlines()
        self.assertLen(set(asked), 12)
        self.assertLessEqual(len(asked), 12 + kills)


def drive_scores(address, pool, out, log):
    """A driver that scores."""
    join(address)
    files = shards.pool_files(f"parquet:{pool}/*.parquet:text", "id", "pool")
    parallel.score_files(RayEngine(), SlowModel(log), files, out)


if __name__ == "__main__":
    absltest.main()
